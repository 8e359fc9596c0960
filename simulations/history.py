"""What happened in the rounds of a training, read from its directory.

Guarantee: a training that was killed and resumed tells of all its rounds, as one that was never killed does
(`tests/integration/test_resume.py`). Who answered stands in the coordinator's journal; the validation losses,
which no coordinator could know, in a file of their own beside it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from server import checkpoint, wire
from server.coordinator import JOURNAL, RoundSummary
from server.reporting.results import Round
from shared_model import journal
from shared_model.journal import Journal
from shared_model.protocol import SharedArrays

VALIDATION = "validation.jsonl"

Losses = Callable[[SharedArrays], Mapping[str, float | None]]
"""Validation loss of every task under these shared arrays."""


@contextmanager
def recorded(
    directory: Path, losses: Losses, due: Callable[[int], bool]
) -> Iterator[Callable[[RoundSummary], None]]:
    """Yield a function to call after every round, which writes down the losses where they are due.

    A round whose checkpoint was written but whose losses were not, because the process was killed in between,
    is made up for at once.
    """
    seen = {line["round"] for line in journal.read(directory / VALIDATION)}
    with Journal(directory / VALIDATION) as log:

        def look(number: int, arrays: SharedArrays) -> None:
            if number not in seen and due(number):
                log.append("validation", round=number, losses=dict(losses(arrays)))

        last = checkpoint.latest(directory)
        if last is not None and last.progress.round:
            look(last.progress.round, wire.rounded(last.progress.iterate))
        yield lambda summary: look(summary.round, summary.arrays)


def rounds(directory: Path) -> tuple[Round, ...]:
    """Return the rounds of the training in `directory`, in order.

    Raises:
        StateError: A line of one of the two files was changed.
    """
    losses = {line["round"]: line["losses"] for line in journal.read(directory / VALIDATION)}
    closed = _closed(journal.read(directory / JOURNAL))
    return tuple(_round(closed[number], losses.get(number, {})) for number in sorted(closed))


def _closed(lines: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Round number -> its closing line, with how many were asked and missing in that attempt.

    A round that was closed twice, since the process was killed before its checkpoint, counts as it ended.
    """
    found: dict[int, dict[str, Any]] = {}
    asked = missing = 0
    for line in lines:
        if line["event"] == "round_opened":
            asked, missing = len(line["asked"]), 0
        elif line["event"] == "reply_missing":
            missing += 1
        elif line["event"] == "round_closed":
            found[line["round"]] = line | {"asked": asked, "missing": missing}
    return found


def _round(closed: Mapping[str, Any], losses: dict[str, float | None]) -> Round:
    accepted = len(closed["accepted"])
    return Round(
        round=closed["round"],
        seconds=round(closed["seconds"], 4),
        accepted=accepted,
        refused=closed["asked"] - accepted - closed["missing"],
        missing=closed["missing"],
        validation=losses,
    )
