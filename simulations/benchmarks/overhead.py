"""What the platform itself costs per merchant and round, with merchants that do nothing.

Inside the time of a message: making the question, handing it to the merchant's thread, the merchant reading
the arrays and packing them again, checking the reply, adding it up; and, shared by the merchants of a round,
the digest, the server step and a durable checkpoint and journal. Not inside: training, a network.
"""

import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from server import coordinator, wire
from server.config import RunSettings
from server.coordinator import RoundSummary
from server.roster import Member, registered
from shared_model import protocol
from shared_model.protocol import Instruction, Report
from shared_model.schema import Federation, parse_federation
from simulations.in_process import InProcessGrid

from .memory import peak_bytes
from .report import Result

_SMALL, _LARGE = 1_000, 1_000_000
"""Numbers in the model: 4 KB and 4 MB."""

_MERCHANTS = 50
_FEW, _MANY = 10, 200


def run() -> list[Result]:
    """Return the time of a message for a small and a large model, and the growth of memory with merchants."""
    small = message_milliseconds(merchants=_MERCHANTS, parameters=_SMALL, rounds=20)
    large = message_milliseconds(merchants=_MERCHANTS, parameters=_LARGE, rounds=4)
    ratio = peak_memory(merchants=_MANY) / peak_memory(merchants=_FEW)
    return [
        Result(id="overhead.small_ms", value=small, unit="ms per message", target=1.0),
        Result(id="overhead.large_ms", value=large, unit="ms per message", target=10.0),
        Result(
            id="overhead.memory_ratio", value=ratio, unit=f"{_MANY} to {_FEW} merchants, peak", target=1.3
        ),
    ]


def message_milliseconds(*, merchants: int, parameters: int, rounds: int) -> float:
    """Return the median over rounds, without the first, of a round's milliseconds per merchant."""
    ends = train_idle(merchants=merchants, parameters=parameters, rounds=rounds)
    seconds = [after - before for before, after in pairwise(ends)]
    return 1000 * median(seconds) / merchants


def peak_memory(*, merchants: int) -> int:
    """Return the largest resident set, in bytes, of a fresh process that trains 4 MB for two rounds."""
    program = f"from {__name__} import print_peak; print_peak({merchants}, {_LARGE})"
    folder = Path(__file__).resolve().parents[2]
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True
    )
    return int(finished.stdout.splitlines()[-1])


def train_idle(*, merchants: int, parameters: int, rounds: int) -> list[float]:
    """Train with merchants that send back what they got; return when each round's checkpoint was written."""
    grid = InProcessGrid(_idle(), {f"merchant-{i}": {} for i in range(merchants)})
    members = {node: Member(name=name, tier="any", tasks=frozenset()) for name, node in grid.node_ids.items()}
    ends: list[float] = []

    def note_end(summary: RoundSummary) -> None:
        ends.append(perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        coordinator.train(
            grid,
            _federation(rounds),
            {"weight": np.zeros(parameters, np.float32)},
            settings=RunSettings(directory=Path(folder), lineage="benchmark", seed=0),
            roster=registered(members),
            moved_by={},
            on_round=note_end,
        )
    return ends


def _federation(rounds: int) -> Federation:
    return parse_federation(
        {
            "federation": {"name": "overhead", "rounds": rounds, "quorum": 1.0},
            "features": {"price": {"kind": "numeric"}},
            "tasks": {"late": {"kind": "binary"}},
            "bottom": {"architecture": "wide"},
        }
    )


def _idle() -> ClientApp:
    app = ClientApp()

    @app.train()
    def _train(message: Message, context: Context) -> Message:
        sent, asked = message.content[protocol.ARRAYS], message.content[protocol.INSTRUCTION]
        if not (isinstance(sent, ArrayRecord) and isinstance(asked, ConfigRecord)):
            raise TypeError("Expected arrays and an instruction.")
        instruction = Instruction.from_mapping(dict(asked))
        arrays = {name: array.numpy() for name, array in sent.items()}
        report = Report(lineage=instruction.lineage, round=instruction.round)
        content = RecordDict(
            {protocol.ARRAYS: wire.pack(arrays), protocol.REPORT: ConfigRecord({**report.to_mapping()})}
        )
        return Message(content, reply_to=message)

    return app


def print_peak(merchants: int, parameters: int) -> None:
    """Train two rounds and print this process's largest resident set in bytes."""
    train_idle(merchants=merchants, parameters=parameters, rounds=2)
    sys.stdout.write(f"{peak_bytes()}\n")
