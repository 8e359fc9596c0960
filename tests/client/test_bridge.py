"""Every message that a node receives gets one valid reply, and nothing that came with it is run.

The node here is Flower's own local API with its own state, in this process; only the network is missing.
"""

import ast
import hashlib
import inspect
import json
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
)
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import NodeStateFactory

from client import bridge, flower_version
from client.bridge import BridgeConfig, serve
from shared_model.errors import ConfigError
from shared_model.protocol import Refusal
from tests.client.superlinks import free_port
from tests.client.waiting import eventually

NODE, RUN, SECRET = 7, 11, "lamps for Ada"
BUNDLE = b"not even a zip archive"
HASH = hashlib.sha256(BUNDLE).hexdigest()


@dataclass
class Node:
    """A SuperNode without its SuperLink: messages are put into its state, and replies taken out."""

    port: int
    secret: bytes
    objects: ObjectStoreFactory = field(default_factory=ObjectStoreFactory)

    def __post_init__(self) -> None:
        self.begin_anew()
        TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = RUN, 1, 1

    def begin_anew(self) -> None:
        """Forget everything, as a restart does."""
        self.objects = ObjectStoreFactory()
        self.states = NodeStateFactory(objectstore_factory=self.objects)
        self.state, self.store = self.states.state(), self.objects.store()
        self.state.set_node_id(NODE)
        run = Run.create_empty(RUN)
        run.fab_hash = HASH
        self.state.store_run(run)
        self.state.store_fab(Fab(HASH, BUNDLE, {}))
        context = Context(RUN, NODE, {"agent": "another.sock"}, RecordDict(), {})
        self.state.set_run_series_context(run.series_id, context)

    def start(self) -> None:
        api = create_app(state_factory=self.states, superexec_auth_secret=self.secret)
        config = uvicorn.Config(api, host="127.0.0.1", port=self.port, log_level="error", ws="none")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        eventually(lambda: self.server.started, what="the node's local API")

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()

    def receive(
        self,
        content: RecordDict | None = None,
        message_type: str = MessageType.TRAIN,
        task_type: str = TaskType.CLIENT_APP,
        *,
        all_of_it: bool = True,
    ) -> str:
        """Take a message as if it had come from the SuperLink; return its id."""
        message = Message(content or RecordDict(), NODE, message_type)
        message.metadata.__dict__["_message_id"] = message.object_id
        self.store.preregister(RUN, get_object_tree(message))
        self.state.store_message(message)
        assert self.state.create_task(task_type=task_type, run_id=RUN, fab_hash=HASH)
        self.arriving = get_all_nested_objects(message)
        if all_of_it:
            self.arrive()
        return message.metadata.message_id

    def arrive(self) -> None:
        """Take the content of the last message."""
        for identity, part in self.arriving.items():
            self.store.put(identity, part.deflate())

    def replies(self) -> list[Message]:
        return list(self.state.get_messages_legacy(is_reply=True))

    def reply(self) -> Message:
        """Wait for a reply and return it; fail when there is more than one."""
        found: list[Message] = []
        eventually(lambda: found.extend(self.replies()) or found, what="a reply")
        (one,) = found
        return one

    def tasks(self) -> list[str]:
        return [task.status.sub_status for task in self.state.get_tasks()]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    secret = b"only for node and bridge"
    (tmp_path / "secret").write_bytes(secret)
    running = Node(free_port(), secret)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def config(node: Node, tmp_path: Path) -> BridgeConfig:
    return BridgeConfig(
        runtime=f"127.0.0.1:{node.port}",
        secret=tmp_path / "secret",
        agent=tmp_path / "agent.sock",
        at_hand=tmp_path / "at-hand.json",
    )


@pytest.fixture
def bridged(config: BridgeConfig) -> Iterator[Callable[[ClientApp], threading.Thread]]:
    stop, started = threading.Event(), []

    def start(app: ClientApp) -> threading.Thread:
        thread = threading.Thread(target=lambda: serve(config, app, stop=stop))
        started.append(thread)
        thread.start()
        return thread

    yield start
    stop.set()
    for thread in started:
        thread.join()


Start = Callable[[ClientApp], threading.Thread]


def app_that(answer: Callable[[Message, Context], Message]) -> ClientApp:
    app = ClientApp()
    app.train()(answer)
    return app


def echo(message: Message, context: Context) -> Message:
    return Message(message.content, reply_to=message)


def arrays(values: list[float]) -> RecordDict:
    return RecordDict({"arrays": ArrayRecord({"w": Array(np.array(values, np.float32))})})


# --- one reply for every message -----------------------------------------------------------------------


def test_a_message_is_answered_by_our_own_app(node: Node, bridged: Start) -> None:
    bridged(app_that(echo))
    sent = node.receive(arrays([1.0, 2.0]))
    reply = node.reply()
    assert reply.metadata.reply_to_message_id == sent
    assert not reply.has_error()
    eventually(lambda: node.tasks() == ["completed"])


def test_the_content_arrives_whole_at_both_ends(node: Node, bridged: Start) -> None:
    seen: list[list[float]] = []

    def answer(message: Message, context: Context) -> Message:
        seen.append(message.content.array_records["arrays"]["w"].numpy().tolist())
        return echo(message, context)

    bridged(app_that(answer))
    node.receive(arrays([1.5, -2.0]))
    reply = node.reply()
    assert seen == [[1.5, -2.0]]
    # Parts that are announced and never come would be waited for by the node, for ever.
    eventually(lambda: node.tasks() == ["completed"])
    tree = node.store.get_object_tree(reply.metadata.message_id)
    parts = [part.object_id for part in iterate_object_tree(tree)]
    assert len(parts) == 5  # message, content, record, array, its one chunk
    assert all(node.store.get(part) for part in parts)


def test_content_that_the_node_still_receives_is_waited_for(node: Node, bridged: Start) -> None:
    bridged(app_that(echo))
    node.receive(arrays([1.0]), all_of_it=False)
    eventually(lambda: [t.status.status for t in node.state.get_tasks()] == ["running"])
    assert node.replies() == []
    node.arrive()
    assert not node.reply().has_error()


def test_content_that_the_node_gave_up_receiving_is_not_waited_for_once_another_message_is_there(
    node: Node, bridged: Start
) -> None:
    bridged(app_that(echo))
    node.receive(arrays([1.0]), all_of_it=False)
    eventually(lambda: [t.status.status for t in node.state.get_tasks()] == ["running"])
    following = node.receive(arrays([2.0]))  # as after a run that ended in the middle of a message
    reply = node.reply()
    assert reply.metadata.reply_to_message_id == following
    assert not reply.has_error()
    eventually(lambda: sorted(node.tasks()) == ["completed", "failed"])
    assert node.replies() == []  # a second one would be taken for the reply to the message after that


def test_messages_are_answered_one_after_another(node: Node, bridged: Start) -> None:
    bridged(app_that(echo))
    for _ in range(3):
        sent = node.receive(arrays([1.0]))
        assert node.reply().metadata.reply_to_message_id == sent


def test_the_app_learns_where_the_agent_is_from_the_bridge_alone(
    node: Node, bridged: Start, config: BridgeConfig
) -> None:
    seen: list[Context] = []

    def answer(message: Message, context: Context) -> Message:
        seen.append(context)
        return echo(message, context)

    bridged(app_that(answer))
    node.receive()
    node.reply()
    assert seen[0].node_config == {"agent": str(config.agent)}
    assert seen[0].run_config == {}


def _raise(error: BaseException) -> Callable[[Message, Context], Message]:
    def answer(message: Message, context: Context) -> Message:
        raise error

    return answer


def _to_another(message: Message, context: Context) -> Message:
    other = Message(RecordDict(), NODE, MessageType.TRAIN)
    other.metadata.__dict__["_message_id"] = "another"
    return Message(RecordDict(), reply_to=other)


@pytest.mark.parametrize(
    "answer",
    [_raise(ValueError(SECRET)), _raise(MemoryError(SECRET)), _to_another, lambda *_: SECRET],
    ids=["raises", "runs out of memory", "answers another message", "returns no message"],
)
def test_what_goes_wrong_in_the_app_leaves_as_a_code_without_text(
    node: Node, bridged: Start, answer: Callable[[Message, Context], Message]
) -> None:
    bridged(app_that(answer))
    node.receive()
    reply = node.reply()
    assert reply.error.code == Refusal.FAILED
    assert not reply.error.reason


@pytest.mark.parametrize("message_type", [MessageType.EVALUATE, MessageType.QUERY, "train.unheard_of"])
def test_a_message_without_a_handler_gets_a_code(node: Node, bridged: Start, message_type: str) -> None:
    bridged(app_that(echo))
    node.receive(message_type=message_type)
    assert node.reply().error.code == Refusal.FAILED


def test_a_task_for_an_agent_app_is_answered_too_but_never_run(node: Node, bridged: Start) -> None:
    bridged(app_that(echo))
    node.receive(task_type=TaskType.AGENT_APP)
    assert node.reply().error.code == Refusal.FAILED


def test_a_message_that_is_too_large_is_refused_and_let_go(
    node: Node, bridged: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "_LARGEST_MESSAGE", 10_000)
    bridged(app_that(echo))
    sent = node.receive(arrays([1.0] * 5_000))  # 20 000 bytes
    assert node.reply().error.code == Refusal.ARRAYS
    assert node.store.get(sent) is None


def test_the_next_message_is_answered_after_any_failure(node: Node, bridged: Start) -> None:
    bridged(app_that(echo))
    node.receive(message_type=MessageType.QUERY)
    assert node.reply().has_error()
    node.receive(arrays([1.0]))
    assert not node.reply().has_error()


# --- nodes, runs and bridges that go away ---------------------------------------------------------------


def test_a_node_that_comes_up_late_is_waited_for(node: Node, bridged: Start) -> None:
    node.stop()
    bridged(app_that(echo))
    node.start()
    node.receive(arrays([1.0]))
    assert not node.reply().has_error()


def test_a_node_that_forgot_everything_at_work_is_served_again(node: Node, bridged: Start) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    def answer(message: Message, context: Context) -> Message:
        at_work.set()
        assert go_on.wait(10)
        return echo(message, context)

    bridged(app_that(answer))
    node.receive(arrays([1.0]))
    assert at_work.wait(10)
    node.stop()
    node.begin_anew()
    node.start()
    go_on.set()
    sent = node.receive(arrays([2.0]))
    assert node.reply().metadata.reply_to_message_id == sent


def test_a_node_with_another_secret_gives_no_task(
    node: Node, config: BridgeConfig, bridged: Start, caplog: pytest.LogCaptureFixture
) -> None:
    config.secret.write_bytes(b"another secret")
    bridged(app_that(echo))
    node.receive(arrays([1.0]))
    eventually(lambda: "does not know the bridge's secret" in caplog.text)
    assert node.replies() == []
    assert "another secret" not in caplog.text


def test_a_task_is_kept_alive_while_it_is_at_work(
    node: Node, bridged: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "_HEARTBEAT_SECONDS", 0.02)
    beats: list[int] = []
    heard = node.state.acknowledge_task_heartbeat
    monkeypatch.setattr(node.state, "acknowledge_task_heartbeat", lambda t: beats.append(t) or heard(t))

    def answer(message: Message, context: Context) -> Message:
        eventually(lambda: len(beats) >= 2)
        return echo(message, context)

    bridged(app_that(answer))
    node.receive(arrays([1.0]))
    assert not node.reply().has_error()


def killed_at_work(node: Node, config: BridgeConfig, app: str) -> None:
    """Start a bridge of its own process whose app runs `app`, and kill it while it does."""
    program = (
        "import os, signal, threading\nfrom pathlib import Path\nfrom flwr.clientapp import ClientApp\n"
        f"from client import bridge\napp = ClientApp()\n{app}\n"
        f"config = bridge.BridgeConfig(runtime={config.runtime!r}, secret=Path({str(config.secret)!r}),"
        f" agent=Path('a.sock'), at_hand=Path({str(config.at_hand)!r}))\n"
        "bridge.serve(config, app, stop=threading.Event())"
    )
    ended = subprocess.run([sys.executable, "-c", program], timeout=60, capture_output=True, text=True)
    assert ended.returncode == -9, ended.stderr


IN_THE_APP = "@app.train()\ndef die(message, context): os.kill(os.getpid(), signal.SIGKILL)"
DIE = "lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)"
BEFORE_THE_MESSAGE = f"bridge._answer = {DIE}"
ANSWERS = (
    "from flwr.app import Message\n@app.train()\n"
    "def echo(message, context): return Message(message.content, reply_to=message)"
)


@pytest.mark.parametrize("where", [IN_THE_APP, BEFORE_THE_MESSAGE], ids=["in the app", "before the message"])
def test_what_a_killed_bridge_had_at_hand_is_answered_as_lost_by_the_next(
    node: Node, config: BridgeConfig, bridged: Start, where: str
) -> None:
    sent = node.receive(arrays([1.0]))
    killed_at_work(node, config, where)
    assert node.replies() == []
    bridged(app_that(echo))
    reply = node.reply()
    assert reply.metadata.reply_to_message_id == sent
    assert reply.error.code == ErrorCode.CLIENT_APP_CRASHED
    node.receive(arrays([1.0]))
    assert not node.reply().has_error()
    eventually(lambda: not config.at_hand.exists())


def test_a_reply_that_a_killed_bridge_left_half_is_let_go_and_never_followed_by_another(
    node: Node, config: BridgeConfig, bridged: Start
) -> None:
    sent = node.receive(arrays([1.0]))
    killed_at_work(node, config, f"{ANSWERS}\nbridge.push_objects = {DIE}")
    half = node.reply()  # announced, and the node would wait for its parts for ever
    assert node.store.get(half.metadata.message_id) == b""
    bridged(app_that(echo))
    eventually(lambda: node.store.get(half.metadata.message_id) is None)
    node.state.delete_messages(message_ids=[sent, half.metadata.message_id])
    following = node.receive(arrays([2.0]))
    assert node.reply().metadata.reply_to_message_id == following


def test_a_bridge_killed_after_its_reply_answers_nothing_twice(
    node: Node, config: BridgeConfig, bridged: Start
) -> None:
    node.receive(arrays([1.0]))
    killed_at_work(node, config, f"{ANSWERS}\nbridge.PushTaskOutputRequest = {DIE}")
    assert not node.reply().has_error()
    bridged(app_that(echo))
    following = node.receive(arrays([2.0]))
    assert node.reply().metadata.reply_to_message_id == following


def test_the_note_of_what_is_at_hand_is_for_the_own_user_only(
    node: Node, config: BridgeConfig, bridged: Start
) -> None:
    modes: list[int] = []

    def answer(message: Message, context: Context) -> Message:
        modes.append(stat.S_IMODE(config.at_hand.stat().st_mode))
        assert SECRET not in config.at_hand.read_text()
        return echo(message, context)

    bridged(app_that(answer))
    node.receive(RecordDict({"told": ConfigRecord({"what": SECRET})}))
    assert not node.reply().has_error()
    assert modes == [0o600]


@pytest.mark.parametrize("note", ["", "{", json.dumps({"token": "x" * 9, "message": "", "reply": ""}), "[]"])
def test_a_note_that_means_nothing_is_dropped(
    node: Node, config: BridgeConfig, bridged: Start, note: str
) -> None:
    config.at_hand.write_text(note)
    bridged(app_that(echo))
    node.receive(arrays([1.0]))
    assert not node.reply().has_error()


# --- what is not run ------------------------------------------------------------------------------------


def test_no_module_that_could_install_a_bundle_is_loaded() -> None:
    code = "import client.bridge, client.app, sys; print(*sorted(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert "flwr.supercore.runtime" in loaded
    assert loaded.isdisjoint(
        {
            "flwr.cli.install",
            "flwr.clientapp.utils",
            "flwr.supercore.superexec.dependency_installer",
            "flwr.supernode.runtime.run_clientapp",
            "torch",
            "polars",
            "opacus",
        }
    )


# --- Flower's private interfaces ------------------------------------------------------------------------

_USED = {
    "flwr.app.message:remove_content_from_message": ("message",),
    "flwr.common.serde:message_from_proto": ("message_proto",),
    "flwr.common.serde:message_to_proto": ("message",),
    "flwr.supercore.inflatable.inflatable_object:get_all_nested_objects": ("obj",),
    "flwr.supercore.inflatable.inflatable_object:get_object_tree": ("obj",),
    "flwr.supercore.inflatable.inflatable_object:no_object_id_recompute": (),
    "flwr.supercore.inflatable.inflatable_protobuf_utils:make_confirm_message_received_fn_protobuf": (
        "confirm_message_received_protobuf", "node", "run_id",
    ),
    "flwr.supercore.inflatable.inflatable_protobuf_utils:make_pull_object_fn_protobuf": (
        "pull_object_protobuf", "node", "run_id",
    ),
    "flwr.supercore.inflatable.inflatable_protobuf_utils:make_push_object_fn_protobuf": (
        "push_object_protobuf", "node", "run_id", "session_id",
    ),
    "flwr.supercore.inflatable.inflatable_utils:ObjectUnavailableError": (),
    "flwr.supercore.inflatable.inflatable_utils:pull_and_inflate_object_from_tree": (
        "object_tree", "pull_object_fn", "confirm_object_received_fn", "return_type", "max_tries_per_object",
        "initial_backoff", "backoff_cap",
    ),
    "flwr.supercore.inflatable.inflatable_utils:push_objects": (
        "objects", "push_object_fn", "object_ids_to_push",
    ),
    "flwr.supercore.interceptors:RuntimeTokenHttpInterceptor": ("token",),
    "flwr.supercore.interceptors:RuntimeVersionHttpInterceptor": ("component_name",),
    "flwr.supercore.interceptors:SuperExecAuthHttpInterceptor": ("master_secret", "protected_methods"),
    "flwr.supercore.retry:RetryInvoker": (
        "wait_gen_factory", "recoverable_exceptions", "max_tries", "max_time",
    ),
    "flwr.supercore.retry:exponential": ("base_delay", "max_delay"),
    "flwr.supercore.runtime:RuntimeHttpClient.from_server_address": (
        "server_address", "insecure", "root_certificates", "interceptors", "retry_invoker",
    ),
    "flwr.supercore.runtime:RuntimeHttpClient.AcquireTask": ("self", "request"),
    "flwr.supercore.runtime:RuntimeHttpClient.SendTaskHeartbeat": ("self", "request"),
    "flwr.supercore.runtime:RuntimeHttpClient.PullTaskInput": ("self", "request"),
    "flwr.supercore.runtime:RuntimeHttpClient.PullMessages": ("self", "request"),
    "flwr.supercore.runtime:RuntimeHttpClient.PullObject": ("self", "request"),
    "flwr.supercore.runtime:RuntimeHttpClient.ConfirmMessageReceived": ("self", "request"),
    "flwr.supercore.runtime:RuntimeHttpClient.PushMessages": ("self", "request"),
    "flwr.supercore.runtime:RuntimeHttpClient.PushObject": ("self", "request"),
    "flwr.supercore.runtime:RuntimeHttpClient.PushTaskOutput": ("self", "request"),
}  # fmt: skip

_MESSAGES = {
    "flwr.proto.runtime_pb2:AcquireTaskRequest": {"supported_task_types"},
    "flwr.proto.runtime_pb2:AcquireTaskResponse": {"task", "token"},
    "flwr.proto.runtime_pb2:PullTaskInputRequest": set(),
    "flwr.proto.runtime_pb2:PullTaskInputResponse": {"context"},
    "flwr.proto.runtime_pb2:PullAppMessagesRequest": set(),
    "flwr.proto.runtime_pb2:PullAppMessagesResponse": {"messages_list", "message_object_trees"},
    "flwr.proto.runtime_pb2:PushAppMessagesRequest": {"messages_list", "message_object_trees"},
    "flwr.proto.runtime_pb2:PushAppMessagesResponse": {"objects_to_push", "session_id"},
    "flwr.proto.runtime_pb2:PushTaskOutputRequest": {"sub_status", "details"},
    "flwr.proto.runtime_pb2:SendTaskHeartbeatRequest": set(),
    "flwr.proto.message_pb2:ConfirmMessageReceivedRequest": {"node", "run_id", "message_object_id"},
    "flwr.proto.message_pb2:Message": {"metadata"},
    "flwr.proto.message_pb2:ObjectTree": {"object_id"},
    "flwr.proto.node_pb2:Node": {"node_id"},
    "flwr.proto.task_pb2:Task": {"type"},
}


def found(where: str) -> object:
    module, _, path = where.partition(":")
    here: object = import_module(module)
    for name in path.split("."):
        here = getattr(here, name)
    return here


@pytest.mark.parametrize(("where", "wanted"), _USED.items(), ids=list(_USED))
def test_a_private_function_takes_what_we_pass(where: str, wanted: tuple[str, ...]) -> None:
    assert set(wanted) <= set(inspect.signature(found(where)).parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize(("where", "wanted"), _MESSAGES.items(), ids=list(_MESSAGES))
def test_a_private_message_has_the_fields_that_we_use(where: str, wanted: set[str]) -> None:
    assert wanted <= set(found(where).DESCRIPTOR.fields_by_name)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("flwr.common.constant:SubStatus.COMPLETED", "completed"),
        ("flwr.common.constant:SubStatus.FAILED", "failed"),
        ("flwr.common.constant:ErrorCode.CLIENT_APP_CRASHED", 8),
        ("flwr.supercore.constant:TaskType.CLIENT_APP", "flwr-clientapp"),
        ("flwr.supercore.constant:TaskType.AGENT_APP", "flwr-agentapp"),
    ],
)
def test_a_private_constant_has_its_value(where: str, value: object) -> None:
    assert found(where) == value


def test_nothing_private_is_used_without_being_pinned() -> None:
    tree = ast.parse(Path(inspect.getsourcefile(bridge) or "").read_text())
    imported = {
        f"{statement.module}:{alias.name}"
        for statement in ast.walk(tree)
        if isinstance(statement, ast.ImportFrom) and statement.module
        for alias in statement.names
        if statement.module.startswith("flwr.") and statement.module not in ("flwr.app", "flwr.clientapp")
    }
    pinned = {where.partition(".")[0] and where for where in (*_USED, *_MESSAGES)}
    tops = {f"{where.partition(':')[0]}:{where.partition(':')[2].partition('.')[0]}" for where in pinned}
    assert imported <= tops | {
        "flwr.common.constant:ErrorCode",
        "flwr.common.constant:SubStatus",
        "flwr.supercore.constant:TaskType",
    }


def test_another_version_of_flower_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flower_version, "version", lambda _: "1.42.0")
    with pytest.raises(ConfigError, match=r"flwr: version is '1.42.0'; allowed: 1.41\.\*"):
        flower_version.check_flower()


def test_the_bridge_refuses_another_version_before_it_uses_anything_private() -> None:
    code = (
        "import importlib.metadata as m, sys\nm.version = lambda name: '1.42.0'\n"
        "try:\n    import client.bridge\nexcept Exception as error:\n"
        "    print(type(error).__name__, 'flwr.supercore.runtime' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["ConfigError", "False"]
