"""What the agent remembers of what it was asked, in `<state>/journal.jsonl`, and how it tells its owner.

Events: `started`, `trained`, `repeated`, `received` (a release), `adopted`, `refused`. All of them stay at
the merchant.

Guarantees (`tests/client/agent/test_record.py`):
    * Every answer that left has a line that was on the disk before it.
    * Refusals cannot fill the disk: of each code at most ten lines a minute are written, the rest is counted.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from client.merchant_file import masked
from shared_model.errors import FedbazaarError
from shared_model.journal import Journal, read
from shared_model.protocol import Instruction, Refusal

from .codes import code_of

_log = logging.getLogger(__name__)

_LINES, _SECONDS = 10, 60.0
SHOWN_REFUSALS = 20
"""The last so many are told; the journal holds all."""


def journal_file(state: Path) -> Path:
    """Return the journal of the merchant with this state folder."""
    return state / "journal.jsonl"


class Record:
    """An open journal; may be written from any thread."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the journal at `path` (errors as in `Journal`)."""
        self.path = path
        self._journal, self._lock = Journal(path, durable=True), threading.Lock()
        self._limits: dict[Refusal, _Limit] = {}
        self._clock = clock

    def note(self, event: str, **facts: Any) -> None:
        """Write one line (errors as in `Journal.append`)."""
        self._append(event, facts)
        _log.info("%s %s", event, " ".join(f"{k}={v}" for k, v in facts.items() if not isinstance(v, dict)))

    def refuse(self, call: str, error: Exception, instruction: Instruction | None = None) -> Refusal:
        """Note that a call was refused, and return the code. It never fails; a full disk is only logged.

        Args:
            call: `train` or `adopt`.
            error: Why.
            instruction: What was asked, once it is known to be the coordinator's.
        """
        code = code_of(error)
        with self._lock:
            unlisted = self._limits.setdefault(code, _Limit()).passed(self._clock())
        if unlisted is None:
            return code
        facts: dict[str, Any] = {"call": call, "code": code.name, "reason": _reason(error)}
        if instruction is not None:
            facts |= {"lineage": instruction.lineage, "round": instruction.round}
        if unlisted:
            facts["unlisted"] = unlisted
        unexpected = code is Refusal.FAILED
        _log.warning(
            "%s refused with %s: %s", call, code.name, facts["reason"], exc_info=error if unexpected else None
        )
        try:
            self._append("refused", facts)
        except OSError as problem:
            _log.error("the journal takes no more lines: %s", problem)
        return code

    def _append(self, event: str, facts: Mapping[str, Any]) -> None:
        with self._lock:
            self._journal.append(event, at=now(), **facts)

    def lines(self) -> list[dict[str, Any]]:
        """Return all lines, oldest first."""
        with self._lock:
            return read(self.path)

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()


class _Limit:
    """So many lines in so many seconds."""

    def __init__(self) -> None:
        self._since, self._written, self._unlisted = -math.inf, 0, 0

    def passed(self, moment: float) -> int | None:
        """Return None where no line is to be written, and otherwise how many were left out before it."""
        if moment - self._since >= _SECONDS:
            self._since, self._written = moment, 0
        if self._written >= _LINES:
            self._unlisted += 1
            return None
        self._written += 1
        unlisted, self._unlisted = self._unlisted, 0
        return unlisted


def history(lines: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what an owner wants to know of the past, as JSON values.

    Returns:
        `trainings`: per lineage the number of answered rounds, the last one and when. `refusals`: the last
        ones, oldest first. `adopted`: the last adoption, with the evidence per task, or None. `started`: when
        the agent started last, or None.
    """
    trainings: dict[str, dict[int, str]] = {}
    refusals: list[dict[str, Any]] = []
    last: dict[str, Any] = {"started": None, "adopted": None}
    for line in lines:
        match line["event"]:
            case "trained" | "repeated":  # after a crash the second may be the only sign of a round
                rounds = trainings.setdefault(line["lineage"], {})
                rounds.setdefault(line["round"], line["at"])
            case "refused":
                refusals.append({key: value for key, value in line.items() if key != "event"})
            case "adopted":
                last["adopted"] = {key: value for key, value in line.items() if key != "event"}
            case "started":
                last["started"] = line["at"]
    return {
        **last,
        "trainings": [
            {"lineage": lineage, "rounds": len(rounds), "last_round": max(rounds), "at": rounds[max(rounds)]}
            for lineage, rounds in trainings.items()
        ],
        "refusals": refusals[-SHOWN_REFUSALS:],
    }


def history_of(state: Path) -> dict[str, Any]:
    """Return the `history` that the files of a merchant tell, whether or not its agent runs.

    Raises:
        StateError: The journal was changed.
    """
    return history(read(journal_file(state)))


def evidence(accepted: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what `Merchant.adopt` accepted per task as JSON values; None for what is not a number."""
    return {
        task: {
            "choice": found.choice,
            "needed": found.needed,
            "rivals": {
                name: {key: _number(value) for key, value in rival._asdict().items()}
                for name, rival in found.rivals.items()
            },
        }
        for task, found in accepted.items()
    }


def now() -> str:
    """Return this moment in UTC, for people; nothing is computed from it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _reason(error: Exception) -> str:
    """Errors of ours, and of the system, say what to do; of others the text is in the log alone."""
    told = str(error) if isinstance(error, FedbazaarError | OSError) else ""
    return masked(told) or type(error).__name__
