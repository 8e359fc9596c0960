"""What the way through the agent's socket costs: 60 MB up and down, with a merchant that does nothing.

Inside the time: cutting the arrays up, the socket twice, the agent's checks (signature, digest), a line in
its journal, and putting the answer together. Not inside: training, storing the answer.

Both ends are fresh processes. The memory of an end is the growth of its peak during its first two calls, in
copies of the arrays. What the caller holds anyway, the question and the answer, does not count; of the agent
all counts, the buffer too into which it receives.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from client.agent.addresses import owner_socket
from client.agent.guard import Terms
from client.agent.inbox import Inbox
from client.agent.record import Record, journal_file
from client.agent.service import serving
from client.agent.stub import AgentStub, Described
from client.agent.work import Agent
from shared_model import signing
from shared_model.protocol import Answer, Instruction, SharedArrays, digest

from .memory import peak_bytes, resident_bytes
from .report import Result

_NUMBERS = 15_000_000
"""Of four bytes: 60 MB, most of them in one table, as with embeddings."""

_CALLS = 7
_NAME, _SOCKET = "echo", "agent.sock"
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of a hop up and down.

    Attributes:
        seconds: Median over calls, without the first.
        caller: Copies that the caller holds at its peak beside question and answer.
        agent: Copies that the agent holds at its peak.
    """

    seconds: float
    caller: float
    agent: float


def run() -> list[Result]:
    """Return the time of a hop and the copies of memory that it takes at the end that takes more."""
    cost = measured(numbers=_NUMBERS, calls=_CALLS)
    sides = f"copies of the arrays at the peak (caller {cost.caller:.2f}, agent {cost.agent:.2f})"
    megabytes = 4 * _NUMBERS // 10**6
    return [
        Result(id="deployment.hop_s", value=cost.seconds, unit=f"s, {megabytes} MB up and down", target=1.0),
        Result(id="deployment.hop_copies", value=max(cost.caller, cost.agent), unit=sides, target=1.5),
    ]


def measured(*, numbers: int, calls: int) -> Cost:
    """Send so many numbers so often to an agent that sends them back, each end a fresh process."""
    finished = subprocess.run(
        [sys.executable, "-c", f"from {__name__} import print_cost; print_cost({numbers}, {calls})"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return Cost(**json.loads(finished.stdout.splitlines()[-1]))


def print_cost(numbers: int, calls: int) -> None:
    """Call an agent of its own; print the `Cost` as JSON."""
    arrays = _arrays(numbers)
    size = sum(array.nbytes for array in arrays.values())
    key = signing.new_key()
    asked = Instruction(
        kind="train", fingerprint=_NAME, lineage=_NAME, round=1, digest=digest(arrays), merchant=_NAME
    )
    instruction = signing.signed(asked, signing.read_key(key))
    with (
        tempfile.TemporaryDirectory() as folder,
        _echoing(Path(folder), signing.public_key(key), numbers) as agent,
    ):
        stub = AgentStub(Path(folder) / _SOCKET)
        stub.describe()  # whatever is loaded or started once is there now, at both ends
        before, agent_before = resident_bytes(), _grown(agent)[1]
        seconds = [_timed(stub, instruction, arrays) for _ in range(2)]
        cost = {
            "caller": (peak_bytes() - before) / size - 1,
            "agent": (_grown(agent)[0] - agent_before) / size,
        }
        seconds += [_timed(stub, instruction, arrays) for _ in range(calls - 2)]
    sys.stdout.write(json.dumps({"seconds": median(seconds[1:]), **cost}) + "\n")


def echo(folder: str, key: str, numbers: int) -> None:
    """Run an agent that sends back what it got; for each line on stdin print its peak and present size."""
    shapes = {name: (size,) for name, size in _sizes(numbers).items()}
    terms = Terms(merchant=_NAME, fingerprint=_NAME, coordinator_key=key, pace_seconds=0.0, shapes=shapes)
    record = Record(journal_file(Path(folder)))
    inbox = Inbox(Path(folder) / "received.safetensors")
    agent = Agent(_Echo(), terms, record, inbox, last_round=lambda *_: 0, worked_before=False)
    with serving(agent, node=Path(folder) / _SOCKET, group="", owner=owner_socket(Path(folder))):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for _ in sys.stdin:
            sys.stdout.write(f"{peak_bytes()} {resident_bytes()}\n")
            sys.stdout.flush()


class _Echo:
    """A merchant that does nothing."""

    def describe(self) -> Described:
        return Described(name=_NAME, tier="any", tasks=frozenset(), role="train")

    def train(self, instruction: Instruction, arrays: SharedArrays) -> Answer:
        return Answer(arrays)

    def check_release(self, instruction: Instruction, arrays: SharedArrays) -> None:
        """Take any."""

    def adopt(self, instruction: Instruction, arrays: SharedArrays) -> Mapping[str, object]:
        return {}


@contextmanager
def _echoing(folder: Path, key: str, numbers: int) -> "Iterator[subprocess.Popen[str]]":
    program = f"from {__name__} import echo; echo({str(folder)!r}, {key!r}, {numbers})"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as agent:
        try:
            _line(agent)
            yield agent
        finally:
            agent.kill()


def _grown(agent: "subprocess.Popen[str]") -> tuple[int, int]:
    """Return the agent's peak and what it holds now, in bytes."""
    assert agent.stdin is not None
    agent.stdin.write("\n")
    agent.stdin.flush()
    peak, resident = map(int, _line(agent).split())
    return peak, resident


def _line(agent: "subprocess.Popen[str]") -> str:
    assert agent.stdout is not None
    line = agent.stdout.readline()
    if not line:
        raise RuntimeError("the agent of the benchmark ended")
    return line


def _timed(stub: AgentStub, instruction: Instruction, arrays: SharedArrays) -> float:
    started = perf_counter()
    answer = stub.train(instruction, arrays)
    seconds = perf_counter() - started
    if answer.arrays.keys() != arrays.keys():
        raise RuntimeError("the answer holds other arrays")
    return seconds


def _sizes(numbers: int) -> dict[str, int]:
    """A table with nearly all the numbers, and a small layer."""
    return {"encoder.tables.item.weight": numbers - 1000, "bottom.layers.0.weight": 1000}


def _arrays(numbers: int) -> SharedArrays:
    draw = np.random.default_rng(0)
    return {name: draw.standard_normal(size, np.float32) for name, size in _sizes(numbers).items()}
