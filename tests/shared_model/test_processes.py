"""A supervisor keeps its children running and leaves nothing behind, however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared_model import guardian, processes
from shared_model.errors import StateError
from shared_model.processes import Ending

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0

SUPERVISOR = """
import json, os, sys
from pathlib import Path
from shared_model.processes import Child, Ending, supervise
folder = Path(sys.argv[1])
children = [
    Child(name=name, command=[sys.executable, "-c", code], environment=dict(os.environ),
          log=folder / f"{name}.log", ready=(lambda path=folder / ready: path.exists()) if ready else None,
          grace_seconds=grace,
          endings=[Ending(pattern="no room", reason="the disk is full", delay_seconds=0.0)])
    for name, code, ready, grace in json.loads(sys.argv[2])
]
supervise(children, announce=lambda *said: print(json.dumps(said), flush=True))
"""

SLEEPS = "import time; time.sleep(600)"
DEAF = (
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('deaf', flush=True)\n"
    "time.sleep(600)\n"
)
LEAVES_ONE_IN_ITS_OWN_SESSION = (
    "import os, subprocess\n"
    "left = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
    "open(os.environ['LEFT'], 'w').write(str(left.pid))\n"
)


@dataclass(frozen=True)
class Supervisor:
    """A supervisor in a process of its own.

    Attributes:
        process: Its process.
        folder: With the children's logs.
        heard: What it announced until now.
    """

    process: "subprocess.Popen[str]"
    folder: Path
    heard: Path

    def said(self) -> list[list[str]]:
        return [json.loads(line) for line in self.heard.read_text().splitlines()]

    def events(self, name: str) -> list[str]:
        return [event for child, event, _ in self.said() if child == name]

    def child(self, name: str) -> int:
        """Process id of a child's command, once it runs."""
        file = self.folder / f"{name}.pid"
        until(lambda: file.exists() and file.read_text().endswith("\n"))
        return int(file.read_text())


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


Start = Callable[..., Supervisor]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a supervisor of children: (name, Python code, file that means ready, grace in seconds)."""
    started: list[subprocess.Popen[str]] = []

    def begin(*children: tuple[str, str, str, float]) -> Supervisor:
        heard = tmp_path / "heard"
        with heard.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", SUPERVISOR, str(tmp_path), json.dumps(children)],
                env=os.environ | {"PYTHONPATH": str(ROOT), "LEFT": str(tmp_path / "left")},
                stdout=output,
                text=True,
            )
        started.append(process)
        return Supervisor(process, tmp_path, heard)

    yield begin
    for process in started:
        process.terminate()
        process.wait()


# --- starting -------------------------------------------------------------------------------------------


def test_a_child_waits_until_the_one_before_it_is_ready(start: Start) -> None:
    supervisor = start(("first", SLEEPS, "first is ready", 1.0), ("second", SLEEPS, "", 1.0))
    supervisor.child("first")
    assert supervisor.said() == [["first", "starting", ""]]
    (supervisor.folder / "first is ready").touch()
    until(lambda: supervisor.events("second") == ["starting", "ready"])
    assert supervisor.events("first") == ["starting", "ready"]


def test_what_a_child_writes_is_in_its_log_and_what_the_start_before_wrote_beside_it(start: Start) -> None:
    supervisor = start(("clock", "import time; print(time.monotonic_ns())", "", 1.0))
    until(lambda: supervisor.events("clock").count("ended") >= 2)
    log = supervisor.folder / "clock.log"
    assert int((supervisor.folder / "clock.log.1").read_text()) < int(log.read_text())
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    guardian = [sys.executable, processes.guardian.__file__, str(os.getpid()), "1", str(tmp_path / "pid")]
    ran = subprocess.run([*guardian, "/no/such"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (127, "/no/such cannot be started: No such file or directory\n")


# --- starting again ---------------------------------------------------------------------------------------


def test_a_killed_child_is_started_again(start: Start) -> None:
    supervisor = start(("one", SLEEPS, "", 1.0))
    until(lambda: "ready" in supervisor.events("one"))
    first = supervisor.child("one")
    os.kill(first, signal.SIGKILL)
    until(lambda: supervisor.events("one") == ["starting", "ready", "ended", "starting", "ready"])
    assert supervisor.child("one") != first
    assert supervisor.said()[2][2] == "killed by SIGKILL; next start in 1 s"


def test_an_ending_that_is_known_is_explained(start: Start) -> None:
    supervisor = start(("one", "raise SystemExit('no room for this')", "", 1.0))
    until(lambda: "ended" in supervisor.events("one"))
    assert supervisor.said()[-1][2].startswith("the disk is full; next start in ")


def test_a_child_that_keeps_failing_is_started_ever_more_rarely(start: Start) -> None:
    supervisor = start(("one", "raise SystemExit(3)", "", 1.0))
    until(lambda: supervisor.events("one").count("ended") == 3)
    reasons = [reason for _, event, reason in supervisor.said() if event == "ended"]
    assert reasons == [f"exit code 3; next start in {seconds} s" for seconds in (1, 2, 4)]


def test_what_a_killed_child_left_behind_is_gone_before_it_is_started_again(start: Start) -> None:
    supervisor = start(("one", LEAVES_ONE_IN_ITS_OWN_SESSION + SLEEPS, "", 5.0))
    left = supervisor.folder / "left"
    until(lambda: left.exists() and left.read_text() != "")
    orphan = int(left.read_text())
    os.kill(supervisor.child("one"), signal.SIGKILL)
    until(lambda: "ended" in supervisor.events("one"))
    assert not alive(orphan)


def test_an_unknown_ending_repeats_the_last_line() -> None:
    assert processes.explained("a\nthe reason\n\n", 1, []).reason == "exit code 1: the reason"


def test_the_first_ending_that_is_found_counts() -> None:
    endings = [Ending(pattern="Exit Code: 305", reason="refused"), Ending(pattern="Exit", reason="other")]
    assert processes.explained("[ERROR] Exit Code: 305", 1, endings).reason == "refused"


# --- stopping -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_children_last_one_first(start: Start, number: signal.Signals) -> None:
    supervisor = start(("first", SLEEPS, "", 5.0), ("second", SLEEPS, "", 5.0))
    children = [supervisor.child("first"), supervisor.child("second")]
    supervisor.process.send_signal(number)
    assert supervisor.process.wait(PATIENCE) == 0
    stopped = [name for name, event, _ in supervisor.said() if event == "stopped"]
    assert stopped == ["second", "first"]
    assert not any(map(alive, children))


def test_a_child_that_does_not_listen_is_killed(start: Start) -> None:
    supervisor = start(("deaf", DEAF, "", 0.5))
    child = supervisor.child("deaf")
    until(lambda: (supervisor.folder / "deaf.log").read_text() == "deaf\n")
    supervisor.process.terminate()
    assert supervisor.process.wait(PATIENCE) == 0
    assert not alive(child)


def test_stopping_ends_what_moved_into_a_session_of_its_own(start: Start) -> None:
    supervisor = start(("one", LEAVES_ONE_IN_ITS_OWN_SESSION + SLEEPS, "", 5.0))
    left = supervisor.folder / "left"
    until(lambda: left.exists() and left.read_text() != "")
    supervisor.process.terminate()
    supervisor.process.wait(PATIENCE)
    assert not alive(int(left.read_text()))


def test_a_killed_supervisor_leaves_nothing_behind(start: Start) -> None:
    supervisor = start(("one", LEAVES_ONE_IN_ITS_OWN_SESSION + DEAF, "", 0.5), ("two", SLEEPS, "", 0.5))
    left = supervisor.folder / "left"
    until(lambda: left.exists() and left.read_text() != "")
    family = [supervisor.child("one"), supervisor.child("two"), int(left.read_text())]
    supervisor.process.kill()
    until(lambda: not any(map(alive, family)))


def test_a_killed_guardian_takes_its_command_along_and_is_replaced(start: Start) -> None:
    supervisor = start(("one", SLEEPS, "", 1.0))
    until(lambda: "ready" in supervisor.events("one"))
    child = supervisor.child("one")
    guardian = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(guardian, signal.SIGKILL)
    until(lambda: supervisor.events("one").count("ready") == 2)
    assert not alive(child)


def test_a_process_that_the_system_hides_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(guardian, "open", hidden, raising=False)
    assert guardian._descendants(os.getppid()) == set()


# --- one at a time ---------------------------------------------------------------------------------------


def test_only_one_holds_a_lock(tmp_path: Path) -> None:
    lock = tmp_path / "up.lock"
    with (
        processes.only_one(lock, what="The coordinator of market/"),
        pytest.raises(StateError, match=rf"market/ runs already \(process {os.getpid()}\)"),
        processes.only_one(lock, what="The coordinator of market/"),
    ):
        pass


def test_a_lock_that_was_given_back_can_be_taken_again(tmp_path: Path) -> None:
    lock = tmp_path / "up.lock"
    with processes.only_one(lock, what="it"):
        assert processes.is_held(lock)
    assert not processes.is_held(lock)
    with processes.only_one(lock, what="it"):
        assert processes.is_held(lock)


def test_a_lock_that_nobody_ever_took_is_free(tmp_path: Path) -> None:
    assert not processes.is_held(tmp_path / "up.lock")
