"""A Flower grid inside one process: merchants answer one after another, by a plain call.

The ServerApp's strategy and the merchants' ClientApp are the real ones, and so are the records they
exchange; what is missing is the network. This is the only module that uses private Flower API: the identity
of a server process (`_bind_identity`), the ids that a grid writes on messages, and the empty run.

Simulated time: merchants of a federation work at the same time, these work one after another. So each has
the whole deadline of the round to itself, counted from the moment its message is handed to it.
"""

import copy
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

Node = NodeInfo
"""What Flower says of a node; its own name for it is private."""

NodeConfig = Mapping[str, bool | float | int | str]
"""What Flower's `--node-config` would say at this merchant."""

Record = ArrayRecord | ConfigRecord | MetricRecord

_RUN_ID = 1
_SERVER_NODE = 1
_FIRST_NODE = 1001
_CLIENT_APP_RAISED = 2
"""Flower's code for a ClientApp that ended with an exception."""

logger = logging.getLogger(__name__)


class InProcessGrid(Grid):
    """Calls a ClientApp for named nodes.

    Guarantees:
        * At any time at most one reply is alive in `send_and_receive`, however many merchants there are.
        * A merchant that raises, hangs or is offline stops nobody else. A call that outlasts its deadline
          is abandoned; its node is not called again before that call has ended.
        * What a merchant does to a message's records is seen by no other; the arrays' bytes are shared.
        * Changes to `context.state` are kept only when the call ends well and in time, as in Flower's Ray
          simulation.
        (`tests/simulations/test_in_process.py`)

    Attributes:
        node_ids: Name -> node id, in the order given.
        offline: Names of nodes that do not answer; change it at will.
    """

    def __init__(self, app: ClientApp, nodes: Mapping[str, NodeConfig]) -> None:
        """Make a node for each name in `nodes`, with its node config."""
        _bind_identity()
        self.node_ids = {name: _FIRST_NODE + position for position, name in enumerate(nodes)}
        self.offline: set[str] = set()
        self._names = {node: name for name, node in self.node_ids.items()}
        self._app = app
        self._contexts = {
            self.node_ids[name]: Context(_RUN_ID, self.node_ids[name], dict(config), RecordDict(), {})
            for name, config in nodes.items()
        }
        self._worker = _Worker()
        self._abandoned: dict[int, Future[Message]] = {}
        self._pushed: dict[str, Message] = {}
        self._sent = 0

    @property
    def run(self) -> Run:
        """An empty run."""
        return Run.create_empty(_RUN_ID)

    def set_run(self, run: Run) -> None:
        """There is only one."""

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a message to a node."""
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> list[int]:
        """Return the ids of all nodes; like a SuperLink, without knowing yet who will not answer."""
        return list(self._contexts)

    def get_nodes(self) -> list[NodeInfo]:
        """Return all nodes with their names."""
        return [NodeInfo(node_id=node, name=name) for node, name in self._names.items()]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Take messages; `pull_messages` delivers them."""
        numbered = [self._numbered(message) for message in messages]
        self._pushed |= {message.metadata.message_id: message for message in numbered}
        return [message.metadata.message_id for message in numbered]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Deliver the messages with these ids and return the replies; nothing limits their time."""
        wanted = [self._pushed.pop(identity) for identity in message_ids if identity in self._pushed]
        return [reply for message in wanted if (reply := self._deliver(message, None)) is not None]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        """Yield replies as merchants answer, one at a time.

        Args:
            messages: All are numbered before the first is delivered.
            timeout: Seconds each merchant has from being handed its message; None for no limit.
        """
        yield from self._one_by_one([self._numbered(message) for message in messages], timeout)

    def _one_by_one(self, numbered: Iterable[Message], timeout: float | None) -> Iterator[Message]:
        for message in numbered:
            reply = self._deliver(message, timeout)
            if reply is not None:
                yield reply
            del reply  # or it would stay alive during the next merchant's call

    def _numbered(self, message: Message) -> Message:
        self._sent += 1
        message.metadata.__dict__["_message_id"] = f"message-{self._sent}"
        return message

    def _deliver(self, message: Message, timeout: float | None) -> Message | None:
        """Return the reply of the message's node, or None when there is none in time."""
        node = message.metadata.dst_node_id
        if not self._is_reachable(node):
            return None
        context = _own_context(self._contexts[node])
        question = Message(content=_own_records(message.content), metadata=copy.copy(message.metadata))  # type: ignore[call-overload]
        call = self._worker.submit(lambda: self._app(message=question, context=context))
        try:
            reply = call.result(timeout)
        except TimeoutError:
            if not call.done():
                self._abandon(node, call)
                return None
            return _failed(question, call)
        except Exception:
            return _failed(question, call)
        self._contexts[node] = context
        return reply

    def _is_reachable(self, node: int) -> bool:
        return node in self._contexts and self._names[node] not in self.offline and not self._is_stuck(node)

    def _is_stuck(self, node: int) -> bool:
        call = self._abandoned.get(node)
        if call is not None and call.done():
            del self._abandoned[node]
        return node in self._abandoned

    def _abandon(self, node: int, call: Future[Message]) -> None:
        logger.warning("%s did not answer in time; its call is abandoned", self._names[node])
        self._abandoned[node] = call
        self._worker.leave()
        self._worker = _Worker()


class _Worker:
    """A daemon thread that makes calls, one after another."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Message], Future[Message]] | None] = SimpleQueue()
        Thread(target=_work, args=(self._calls,), name="merchant", daemon=True).start()

    def submit(self, call: Callable[[], Message]) -> "Future[Message]":
        """Return the future result of `call`."""
        future: Future[Message] = Future()
        self._calls.put((call, future))
        return future

    def leave(self) -> None:
        """Let the thread end after the calls it has."""
        self._calls.put(None)

    def __del__(self) -> None:
        self.leave()


def _work(calls: "SimpleQueue[tuple[Callable[[], Message], Future[Message]] | None]") -> None:
    while (job := calls.get()) is not None:
        _perform(*job)
        del job  # the reply belongs to whoever asked


def _perform(call: Callable[[], Message], future: "Future[Message]") -> None:
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


def _bind_identity() -> None:
    """Say which server this process is; without it no message can be made."""
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, _RUN_ID, _SERVER_NODE


def _failed(question: Message, call: "Future[Message]") -> Message:
    """Return what a SuperNode sends for an exception, less its text: that would leave the merchant."""
    logger.warning("a ClientApp raised", exc_info=call.exception())
    return Message(Error(_CLIENT_APP_RAISED, "the ClientApp raised an exception"), reply_to=question)


def _own_records(content: RecordDict) -> RecordDict:
    """Return a copy of all records of a message or a context; arrays' bytes are shared."""
    own = content.copy()
    for key, record in content.items():
        own[key] = _own_record(record)
    return own


def _own_record(record: Record) -> Record:
    """Return a copy of a record. Values are numbers, texts or bytes, lists of them, or arrays."""
    own = record.copy()
    for key, value in record.items():
        if isinstance(value, list | Array):
            own[key] = copy.copy(value)  # type: ignore[assignment]
    return own


def _own_context(context: Context) -> Context:
    """Return a copy of what a node keeps from one call to the next."""
    state, config = _own_records(context.state), dict(context.node_config)
    return Context(context.run_id, context.node_id, config, state, dict(context.run_config))
