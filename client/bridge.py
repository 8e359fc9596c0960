"""The bridge: one warm process that answers what the node receives, in the place of Flower's own executor.

Flower starts a new process for every message and runs in it the code that the coordinator sent. The bridge
takes the same tasks over the same local API (`flower-supernode --isolation process`), but hands every
message to our own ClientApp. It is started with `python -m client.bridge`.

Guarantees:
    * Nothing that the coordinator sends is ever unpacked, imported or run; no module that could do so is
      even loaded.
    * Every message gets exactly one valid reply. What our ClientApp does not answer is answered with a code
      of `shared_model.protocol.Refusal`, without text; what was at hand when the bridge was killed is
      answered as lost by the next one.
    * A node that is lost, a run that was stopped, a message that never comes whole, a push that fails: the
      bridge goes on.
    (`tests/client/test_bridge.py`)

This is the only module at the merchant that uses Flower's private interfaces; the same test pins them.
"""

import argparse
import base64
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from shared_model.errors import Refused
from shared_model.protocol import Refusal

from .flower_version import check_flower

check_flower()  # before what follows, which another version may not have

# ruff: noqa: E402
import httpx
from flwr.app.message import remove_content_from_message
from flwr.common.constant import ErrorCode, SubStatus
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullAppMessagesRequest,
    PullTaskInputRequest,
    PushAppMessagesRequest,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import TaskType
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
    make_push_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectUnavailableError,
    pull_and_inflate_object_from_tree,
    push_objects,
)
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.retry import RetryInvoker, exponential
from flwr.supercore.runtime import RuntimeHttpClient

_log = logging.getLogger("client.bridge")

_POLL_SECONDS = 0.1
_LOST_SECONDS = 0.5
"""Between two tries while the node is away."""
_HEARTBEAT_SECONDS = 10.0
"""A node takes a task for lost after 30 s, later after 60 s, without a sign of life."""
_INCOMPLETE_SECONDS = 1.0
"""While a message is not whole, the node is asked so often whether it goes on with another one."""
_LARGEST_MESSAGE = 2**30
"""Bytes; contracts stay far below."""
_ACQUIRE = "/flwr.proto.Runtime/AcquireTask"

Task = tuple[str, str]
"""Its type, and the token that whoever works on it shows."""


@dataclass(frozen=True, kw_only=True)
class BridgeConfig:
    """Where the bridge stands.

    Attributes:
        runtime: Address of the node's local API, `host:port`.
        secret: File with the secret that the node shares with the bridge alone.
        agent: Socket of the agent.
        at_hand: File that names the message at work, so that none is forgotten when the bridge is killed.
    """

    runtime: str
    secret: Path
    agent: Path
    at_hand: Path


def serve(config: BridgeConfig, app: ClientApp, *, stop: threading.Event) -> None:
    """Take tasks of the node and answer their messages, one after another, until `stop` is set."""
    _answer_what_was_lost(config)
    with _acquirer(config) as node:
        lost, found = "", None
        while not stop.is_set():
            try:
                found = found or _acquired(node)
            except Exception as error:  # the node restarts, or never came up: its supervisor's business
                problem = _problem(error)
                if problem != lost:
                    _log.warning("%s; trying on", problem)
                lost = problem
                stop.wait(_LOST_SECONDS)
                continue
            if lost:
                _log.info("the node is back")
                lost = ""
            if found is None:
                stop.wait(_POLL_SECONDS)
            else:
                found = _work(config, app, found, lambda: _acquired(node))


def _acquired(node: RuntimeHttpClient) -> Task | None:
    """Return a task, or None where nothing is to be done."""
    # Tasks of agent apps are none of ours; but the node waits for a reply, whatever it has received.
    wanted = [TaskType.CLIENT_APP, TaskType.AGENT_APP]
    found = node.AcquireTask(AcquireTaskRequest(supported_task_types=wanted))
    if not found.HasField("task") or not found.token:
        return None
    return found.task.type, found.token


class _GivenUpError(Exception):
    """The node stopped receiving the message at hand, and has the next task already."""

    def __init__(self, following: Task) -> None:
        super().__init__()
        self.following = following


def _work(
    config: BridgeConfig, app: ClientApp, task: Task, acquire: Callable[[], Task | None]
) -> Task | None:
    """Answer the message of one task. Whatever fails here, the bridge goes on; return the next task if known.

    Args:
        config: Where the bridge stands.
        app: Answers.
        task: Which.
        acquire: Asks the node for another one, while the message of this one is not whole.
    """
    kind, token = task
    try:
        with _task_client(config, token) as node, _heartbeats(node):
            _note(config.at_hand, token)
            _answer(config, app if kind == TaskType.CLIENT_APP else None, node, token, acquire)
    except _GivenUpError as given_up:
        _log.warning("the node received only a part of a message and goes on with the next one")
        return given_up.following
    except Exception as error:
        # No output is pushed: the node itself answers for a task without a sign of life, once.
        _log.error("a message was not answered: %s", _problem(error))
    finally:
        config.at_hand.unlink(missing_ok=True)
    return None


def _answer(
    config: BridgeConfig,
    app: ClientApp | None,
    node: RuntimeHttpClient,
    token: str,
    acquire: Callable[[], Task | None],
) -> None:
    identity = node.PullTaskInput(PullTaskInputRequest())
    own = Node(node_id=identity.context.node_id)
    found = node.PullMessages(PullAppMessagesRequest())
    if not found.messages_list:
        raise LookupError("the task came without a message")
    letter, tree = found.messages_list[0], found.message_object_trees[0]
    _note(config.at_hand, token, letter)
    question = message_from_proto(letter)
    try:
        context = Context(
            run_id=question.metadata.run_id,
            node_id=own.node_id,
            node_config={"agent": str(config.agent)},
            state=RecordDict(),
            run_config={},
        )
        reply = _replied(app, _pulled(node, tree, own, question.metadata.run_id, acquire), context)
    except _GivenUpError:  # and no reply: the node would take it for the one to its next message
        _let_go(node, own, question, tree)
        with suppress(Exception):
            node.PushTaskOutput(PushTaskOutputRequest(sub_status=SubStatus.FAILED, details=""))
        raise
    except Exception as error:
        _log.exception("a message was refused")
        reply = _refusal(question, error)
        _let_go(node, own, question, tree)
    _seal(reply)
    _note(config.at_hand, token, letter, reply.metadata.message_id)
    _push(node, reply, own)
    config.at_hand.unlink(missing_ok=True)  # from here on nobody must answer it again
    node.PushTaskOutput(PushTaskOutputRequest(sub_status=SubStatus.COMPLETED, details=""))


def _let_go(node: RuntimeHttpClient, own: Node, question: Message, tree: ObjectTree) -> None:
    """Free the node's memory of what was not pulled to the end."""
    with suppress(Exception):
        node.ConfirmMessageReceived(
            ConfirmMessageReceivedRequest(
                node=own, run_id=question.metadata.run_id, message_object_id=tree.object_id
            )
        )


def _replied(app: ClientApp | None, question: Message, context: Context) -> Message:
    if app is None:
        raise Refused(Refusal.FAILED, "the task is none for a ClientApp")
    reply = app(message=question, context=context)
    if reply.metadata.reply_to_message_id != question.metadata.message_id:
        raise Refused(Refusal.FAILED, "the reply is none to this message")
    return reply


def _refusal(question: Message, error: Exception) -> Message:
    code = error.code if isinstance(error, Refused) else Refusal.FAILED
    return Message(Error(int(code)), reply_to=question)


# --- what was at hand when a bridge was killed -----------------------------------------------------------


def _note(at_hand: Path, token: str, letter: MessageProto | None = None, reply: str = "") -> None:
    """Remember the task; the envelope of its message, never its content; the id of a reply on its way."""
    envelope = "" if letter is None else base64.b64encode(letter.SerializeToString()).decode()
    temporary = at_hand.with_suffix(".new")
    with suppress(OSError):  # a full disk: without the note, the node notices a killed bridge in a minute
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(handle, "w", encoding="utf-8") as file:
            json.dump({"token": token, "message": envelope, "reply": reply}, file)
        temporary.replace(at_hand)


def _answer_what_was_lost(config: BridgeConfig) -> None:
    """Answer for the message that a killed bridge had at hand, if the node still waits for it."""
    try:
        noted = json.loads(config.at_hand.read_text(encoding="utf-8"))
        token, reply = str(noted["token"]), str(noted["reply"])
        envelope = base64.b64decode(noted["message"])
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError):
        config.at_hand.unlink(missing_ok=True)
        return
    try:
        with _task_client(config, token) as node:
            letter = MessageProto.FromString(envelope) if envelope else _unread(node)
            _answer_as_lost(node, message_from_proto(letter), reply)
        _log.warning("the message that a killed bridge had at hand was given up")
    except Exception as error:
        _log.info("the node does not wait any more for what a killed bridge had at hand: %s", _problem(error))
    finally:
        config.at_hand.unlink(missing_ok=True)


def _unread(node: RuntimeHttpClient) -> MessageProto:
    with suppress(httpx.HTTPStatusError):  # the task was begun before
        node.PullTaskInput(PullTaskInputRequest())
    found = node.PullMessages(PullAppMessagesRequest())
    if not found.messages_list:
        raise LookupError("its message is gone")
    letter: MessageProto = found.messages_list[0]
    return letter


def _answer_as_lost(node: RuntimeHttpClient, question: Message, announced: str) -> None:
    """Answer that the ClientApp is gone, or let go of a reply that was announced and never came whole.

    A second reply to one message would be taken for the reply to the next, and the node waits for ever for
    parts that nobody has; without the announced reply it goes on with the next message.
    """
    own = Node(node_id=question.metadata.dst_node_id)
    if announced:
        run = question.metadata.run_id
        node.ConfirmMessageReceived(
            ConfirmMessageReceivedRequest(node=own, run_id=run, message_object_id=announced)
        )
    else:
        reply = Message(Error(ErrorCode.CLIENT_APP_CRASHED), reply_to=question)
        _seal(reply)
        _push(node, reply, own)
    node.PushTaskOutput(PushTaskOutputRequest(sub_status=SubStatus.FAILED, details=""))


# --- transport -------------------------------------------------------------------------------------------


def _pulled(
    node: RuntimeHttpClient, tree: ObjectTree, own: Node, run: int, acquire: Callable[[], Task | None]
) -> Message:
    """Return the message with all of its content, which the node may itself still be receiving."""
    pull = _unless_given_up(make_pull_object_fn_protobuf(node.PullObject, own, run), acquire)
    message: Message = pull_and_inflate_object_from_tree(
        tree,
        _limited(pull, _LARGEST_MESSAGE),
        make_confirm_message_received_fn_protobuf(node.ConfirmMessageReceived, own, run),
        return_type=Message,
        max_tries_per_object=None,
        initial_backoff=0.02,
        backoff_cap=0.25,
    )
    message.metadata.__dict__["_message_id"] = tree.object_id  # the bytes cannot hold their own digest
    return message


def _unless_given_up(
    pull: Callable[[str], bytes], acquire: Callable[[], Task | None]
) -> Callable[[str], bytes]:
    """Return `pull`, which gives up as soon as the node has another task.

    A node receives one message after another; when a run ends in the middle of one, it leaves that as it is,
    tells nobody, and goes on.
    """
    looking, due = threading.Lock(), time.monotonic() + _INCOMPLETE_SECONDS

    def patient(identity: str) -> bytes:
        nonlocal due
        try:
            return pull(identity)
        except ObjectUnavailableError:
            with looking, suppress(httpx.HTTPError):
                if time.monotonic() >= due:
                    due = time.monotonic() + _INCOMPLETE_SECONDS
                    if (following := acquire()) is not None:
                        raise _GivenUpError(following) from None
            raise

    return patient


def _limited(pull: Callable[[str], bytes], largest: int) -> Callable[[str], bytes]:
    """Return `pull`, which refuses to go on once all that it returned is larger than `largest` bytes."""
    taken = 0
    counting = threading.Lock()

    def limited(identity: str) -> bytes:
        nonlocal taken
        found = pull(identity)
        with counting:
            taken += len(found)
            if taken > largest:
                raise Refused(Refusal.ARRAYS, f"the message has more than {largest} bytes")
        return found

    return limited


def _seal(reply: Message) -> None:
    """Give a reply its id, which is the digest of its content."""
    reply.metadata.__dict__["_message_id"] = reply.object_id


def _push(node: RuntimeHttpClient, reply: Message, own: Node) -> None:
    with no_object_id_recompute():
        taken = node.PushMessages(
            PushAppMessagesRequest(
                messages_list=[message_to_proto(remove_content_from_message(reply))],
                message_object_trees=[get_object_tree(reply)],
            )
        )
        push_objects(
            get_all_nested_objects(reply),
            make_push_object_fn_protobuf(
                node.PushObject, own, run_id=reply.metadata.run_id, session_id=taken.session_id
            ),
            object_ids_to_push=set(taken.objects_to_push),
        )


@contextmanager
def _acquirer(config: BridgeConfig) -> Iterator[RuntimeHttpClient]:
    """Yield a client that may acquire tasks, and nothing else."""
    signature = SuperExecAuthHttpInterceptor(
        master_secret=config.secret.read_bytes(), protected_methods={_ACQUIRE}
    )
    with RuntimeHttpClient.from_server_address(
        server_address=config.runtime,
        insecure=True,
        root_certificates=None,
        interceptors=[RuntimeVersionHttpInterceptor(component_name="SuperExec"), signature],
    ) as client:
        yield client


@contextmanager
def _task_client(config: BridgeConfig, token: str) -> Iterator[RuntimeHttpClient]:
    """Yield a client for one task. Only a broken connection is tried again, and not for long.

    Flower's own way of trying again ends the process where a task is not known any more.
    """
    again = RetryInvoker(
        lambda: exponential(base_delay=0.1, max_delay=2), httpx.TransportError, max_tries=5, max_time=None
    )
    with RuntimeHttpClient.from_server_address(
        server_address=config.runtime,
        insecure=True,
        root_certificates=None,
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="flwr-clientapp"),
            RuntimeTokenHttpInterceptor(token),
        ],
        retry_invoker=again,
    ) as client:
        yield client


@contextmanager
def _heartbeats(node: RuntimeHttpClient) -> Iterator[None]:
    """Tell the node for the length of the block that its task is at work."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(_HEARTBEAT_SECONDS):
            with suppress(Exception):  # a task that is not known any more shows when the reply is pushed
                node.SendTaskHeartbeat(SendTaskHeartbeatRequest())

    beating = threading.Thread(target=beat, name="heartbeats", daemon=True)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()


def _problem(error: Exception) -> str:
    """Say what happened, without a token, an address with a query or a body."""
    if isinstance(error, httpx.HTTPStatusError):
        status = error.response.status_code
        if status == httpx.codes.UNAUTHORIZED:
            return "the node does not know the bridge's secret, or the task any more (status 401)"
        return f"the node answers with status {status}"
    if isinstance(error, httpx.TransportError):
        return f"the node does not answer ({type(error).__name__})"
    return f"{type(error).__name__}: {error}"


# --- the program ----------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> None:
    """Run the bridge until it is stopped. The arguments are an address and paths, never a secret."""
    from .app import app

    parser = argparse.ArgumentParser(prog="python -m client.bridge", description=__doc__)
    parser.add_argument("--runtime", required=True, help="Address of the node's local API, host:port.")
    parser.add_argument("--secret", required=True, type=Path, help="File with the secret shared with it.")
    parser.add_argument("--agent", required=True, type=Path, help="Socket of the agent.")
    parser.add_argument("--at-hand", required=True, type=Path, help="File that names the message at work.")
    config = BridgeConfig(**vars(parser.parse_args(arguments)))
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    _log.setLevel(logging.INFO)
    _log.info("answering for the node at %s", config.runtime)
    with suppress(KeyboardInterrupt):
        serve(config, app, stop=threading.Event())


if __name__ == "__main__":
    main()
