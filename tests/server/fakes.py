"""Small merchants and a small contract for tests of the coordinator."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from server import wire
from server.config import RunSettings
from server.coordinator import JOURNAL, RoundSummary, train
from server.roster import Member, Roster, registered
from shared_model import journal, protocol
from shared_model.protocol import Instruction, Report, SharedArrays
from shared_model.schema import Federation, parse_federation
from simulations.in_process import InProcessGrid

Behaviour = Callable[[Message], Message]
"""What a fake merchant does with a question."""


def make_federation(
    *,
    rounds: int = 1,
    server: Mapping[str, Any] | None = None,
    tiers: Mapping[str, Any] | None = None,
    privacy: Mapping[str, Any] | None = None,
    **terms: Any,
) -> Federation:
    tables = {
        "federation": {"name": "harbour", "rounds": rounds, "attempts": 1, **terms},
        "features": {"price": {"kind": "numeric"}},
        "tasks": {"late": {"kind": "binary"}, "units": {"kind": "count"}},
        "bottom": {"architecture": "wide"},
        "server": dict(server or {}),
    }
    if tiers:
        tables["tiers"] = tiers
    if privacy is not None:
        tables["federation"]["full_batch"] = True
        tables["privacy"] = {"epsilon": 8.0, "delta": 1e-6, **privacy}
    return parse_federation(tables)


def arrays(value: float, *, names: tuple[str, ...] = ("w",), size: int = 3) -> SharedArrays:
    return {name: np.full(size, value, np.float32) for name in names}


def instruction(question: Message) -> Instruction:
    return Instruction.from_mapping(dict(question.content[protocol.INSTRUCTION]))


def received(question: Message) -> dict[str, Any]:
    return wire.unpack(question.content[protocol.ARRAYS])  # type: ignore[arg-type]


def answer(question: Message, values: Mapping[str, Any], **changes: Any) -> Message:
    asked = instruction(question)
    report = Report(lineage=asked.lineage, round=asked.round).to_mapping()
    content = RecordDict(
        {protocol.ARRAYS: wire.pack(values), protocol.REPORT: ConfigRecord({**report, **changes})}
    )
    return Message(content, reply_to=question)


def moves(step: float, **changes: Any) -> Behaviour:
    """A merchant whose training adds `step` to every number."""
    return lambda question: answer(
        question, {name: array + np.float32(step) for name, array in received(question).items()}, **changes
    )


def make_app(behaviours: Mapping[str, Behaviour]) -> ClientApp:
    app = ClientApp()

    @app.train()
    def _train(message: Message, context: Context) -> Message:
        return behaviours[str(context.node_config["name"])](message)

    return app


def make_grid(behaviours: Mapping[str, Behaviour]) -> InProcessGrid:
    return InProcessGrid(make_app(behaviours), {name: {"name": name} for name in behaviours})


def roster_of(grid: InProcessGrid, **members: Member) -> Roster:
    """Every node of the grid trains every task in the tier `any`, but for the `members` given."""
    default = {
        name: Member(name=name, tier="any", tasks=frozenset({"late", "units"})) for name in grid.node_ids
    }
    return registered({grid.node_ids[name]: member for name, member in (default | members).items()})


def settings_in(directory: Path, **changes: Any) -> RunSettings:
    return RunSettings(**{"directory": directory, "lineage": "first", "seed": 0, "durable": False, **changes})


def run(
    directory: Path,
    behaviours: Mapping[str, Behaviour],
    federation: Federation,
    *,
    grid: InProcessGrid | None = None,
    initial: SharedArrays | None = None,
    on_round: Callable[[RoundSummary], None] | None = None,
    ledgers: Mapping[str, str] | None = None,
    **settings: Any,
) -> SharedArrays:
    grid = grid or make_grid(behaviours)
    return train(
        grid,
        federation,
        initial or arrays(0.0),
        settings=settings_in(directory, **settings),
        roster=roster_of(grid),
        moved_by={},
        ledgers=ledgers,
        on_round=on_round,
    )


def events(directory: Path, kind: str) -> list[dict[str, Any]]:
    """Return the journal's lines of one kind, without their time."""
    lines = [line for line in journal.read(directory / JOURNAL) if line["event"] == kind]
    return [{k: v for k, v in line.items() if k not in ("event", "at")} for line in lines]
