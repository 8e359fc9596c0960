"""The agent as a process of its own: closed to others, one for each state, and killed without harm."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from client.agent import __main__, program
from client.agent.addresses import owner_socket
from client.agent.record import journal_file
from client.agent.stub import AgentStub, owner_status
from client.state import load_round
from shared_model import journal
from shared_model.errors import ConfigError, Refused
from shared_model.protocol import SharedArrays
from shared_model.schema import Federation, load_federation
from tests.client import shops
from tests.client.agent.desk import contract, signed
from tests.client.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]
NOBODY = 65534
CONNECT = {"address": "localhost:8443", "socket": "run/agent.sock"}
QUICK, SLOW = 3, 20_000
"""Steps of a round: nothing, and some ten seconds."""


@dataclass(frozen=True)
class Shop:
    """A merchant's folder with a [connect] table."""

    file: Path

    @classmethod
    def in_folder(cls, folder: Path, *, steps: int = QUICK) -> "Shop":
        return cls(shops.write(folder, agreement=contract(local_steps=steps), connect=CONNECT)[0])

    @property
    def folder(self) -> Path:
        return self.file.parent

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "agent.sock"

    @property
    def federation(self) -> Federation:
        return load_federation(self.folder / "federation.toml")

    def at_work(self) -> object:
        told = owner_status(self.state)
        return told and told["at_work"]

    def trained(self, patience_seconds: float) -> SharedArrays:
        arrays = shops.start(self.federation)
        stub = AgentStub(self.socket, patience_seconds=patience_seconds)
        return stub.train(signed(self.federation, arrays), arrays).arrays


def started(shop: Shop) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "client.agent", str(shop.file), "--seed", "0"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SHOP_PASSWORD": "secret-4711"}
    return subprocess.Popen(command, env=environment, cwd="/", stderr=subprocess.PIPE, text=True)


@contextmanager
def running(shop: Shop) -> Iterator["subprocess.Popen[str]"]:
    """Run the agent until it is ready, and not longer than the block."""
    with started(shop) as agent:
        try:
            eventually(lambda: ready(shop, agent), seconds=60, what="an agent that is ready")
            yield agent
        finally:
            agent.kill()


def ready(shop: Shop, agent: "subprocess.Popen[str]") -> bool:
    assert agent.poll() is None, agent.communicate()[1]
    try:
        return AgentStub(shop.socket, patience_seconds=0.1).describe().name == "acme"
    except Refused:
        return False


# --- one that runs ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with tempfile.TemporaryDirectory() as folder:
        yield Shop.in_folder(Path(folder), steps=SLOW)


@pytest.fixture(scope="module")
def agent(shop: Shop) -> Iterator["subprocess.Popen[str]"]:
    with running(shop) as process:
        yield process


def test_its_command_line_which_all_may_read_holds_no_secret(agent: "subprocess.Popen[str]") -> None:
    assert "secret-4711" not in Path(f"/proc/{agent.pid}/cmdline").read_text()


def test_all_that_it_wrote_is_for_its_own_user_alone(shop: Shop, agent: "subprocess.Popen[str]") -> None:
    written = [shop.state, *shop.state.rglob("*"), shop.socket.parent, shop.socket]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in written}
    assert [name for name, mode in modes.items() if mode & 0o077] == []
    assert {"journal.jsonl", "agent.lock", "owner.sock", "agent.sock"} <= modes.keys()


def test_a_second_one_for_the_same_state_is_refused(shop: Shop, agent: "subprocess.Popen[str]") -> None:
    with started(shop) as second:
        _, said = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"the agent of acme runs already (process {agent.pid})" in said
    assert ready(shop, agent)


def test_told_to_stop_it_stops_at_once_in_the_middle_of_a_round(
    shop: Shop, agent: "subprocess.Popen[str]"
) -> None:
    caller = threading.Thread(target=ignoring_refusals, args=(shop,))
    caller.start()
    eventually(shop.at_work, what="a round at work")
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(5) == 0
    caller.join(10)
    assert not shop.socket.exists()
    assert not owner_socket(shop.state).exists()
    assert load_round(shop.state, shop.federation.fingerprint, shops.LINEAGE) is None


def ignoring_refusals(shop: Shop) -> None:
    with suppress(Refused):
        shop.trained(patience_seconds=0.1)


# --- closed to others ---------------------------------------------------------------------------------

# Its user is `nobody` where the tests run as root, since root may read everything. A process that changed its
# user is closed at first; it is opened again, as one is that was started by that user.
_AS_ITS_USER = """
import ctypes, os, sys
from client.agent.hardening import refuse_inspection
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
if sys.argv[1] == "closed":
    refuse_inspection()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(("how", "readable"), [("open", True), ("closed", False)])
@pytest.mark.parametrize("secret", ["environ", "maps", "auxv"])
def test_once_closed_it_cannot_be_read_by_another_process_of_the_same_user(
    how: str, readable: bool, secret: str
) -> None:
    user = NOBODY if os.getuid() == 0 else None
    command = [sys.executable, "-c", _AS_ITS_USER, how]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        looked = subprocess.run(
            ["cat", f"/proc/{process.pid}/{secret}"],
            user=user, group=user, extra_groups=None if user is None else [], capture_output=True,
        )  # fmt: skip
        process.kill()
    assert (looked.returncode == 0) == readable
    assert readable or b"Permission denied" in looked.stderr


def test_the_agent_closes_itself_before_it_does_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_possible_here() -> None:
        raise OSError("not possible here")

    monkeypatch.setattr(__main__, "refuse_inspection", not_possible_here)
    monkeypatch.setattr(sys, "argv", ["client.agent", "/no/such/merchant.toml"])
    with pytest.raises(OSError, match="not possible here"):
        __main__.main()


# --- one that is killed -------------------------------------------------------------------------------


def test_a_killed_one_trains_the_round_once_more_and_stores_it_once(tmp_path: Path) -> None:
    shop, answers = Shop.in_folder(tmp_path, steps=2_000), list[SharedArrays]()
    caller = threading.Thread(target=lambda: answers.append(shop.trained(patience_seconds=60)))
    with running(shop) as first:
        caller.start()
        eventually(shop.at_work, what="a round at work")
        first.kill()
        first.wait()
    assert shop.socket.exists()  # it had no time to clean up
    with running(shop):
        caller.join(60)
        assert same(shop.trained(patience_seconds=1), answers[0])
    stored = load_round(shop.state, shop.federation.fingerprint, shops.LINEAGE)
    assert stored is not None
    assert same({name: tensor.numpy() for name, tensor in stored.reply.items()}, answers[0])
    events = [line["event"] for line in journal.read(journal_file(shop.state))]
    assert events == ["started", "started", "trained"]


def same(a: SharedArrays, b: SharedArrays) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[n], b[n]) for n in a)


# --- what does not start ------------------------------------------------------------------------------


@pytest.fixture
def this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets `program.run` begin here, since it is to fail; what it changes in the process is put back."""
    monkeypatch.setattr(program, "_log_to_stderr", lambda: None)
    umask, threads = os.umask(0o022), torch.get_num_threads()
    yield
    os.umask(umask)
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("this_process")
def test_a_contract_that_nobody_signs_for_is_refused(tmp_path: Path) -> None:
    path, _ = shops.write(tmp_path, connect=CONNECT)
    with pytest.raises(ConfigError, match=r"coordinator_key is missing; allowed: .*fedbazaar-server init"):
        program.run(path)


@pytest.mark.usefixtures("this_process")
def test_under_privacy_no_draw_can_be_repeated(tmp_path: Path) -> None:
    agreement = contract(full_batch=True) | {"privacy": {"epsilon": 8.0, "delta": 1e-6}}
    path, _ = shops.write(tmp_path, agreement=agreement, connect=CONNECT)
    with pytest.raises(ConfigError, match="--seed is 7"):
        program.run(path, seed=7)


@pytest.mark.usefixtures("this_process")
def test_a_merchant_without_a_connect_table_is_told_how_to_get_one(tmp_path: Path) -> None:
    path, _ = shops.write(tmp_path, agreement=contract())
    with pytest.raises(ConfigError, match="fedbazaar-client init"):
        program.run(path)
