"""Targets of an experiment: the figure that was reached beside the one that was asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from server.reporting.results import Cell, Check, Summary

from .experiment import Target
from .summary import ALL


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What figures are taken from.

    Attributes:
        cells: Of the comparison.
        summary: Of the cells.
        group_of: Merchant -> group.
        newcomers: Cells of merchants that took no part: `prior` is what they are served on their first day,
            `federated` what they are served when they take part.
    """

    cells: Sequence[Cell]
    summary: Sequence[Summary]
    group_of: dict[str, str]
    newcomers: Sequence[Cell]


def checked(targets: Sequence[Target], measured: Measured) -> tuple[Check, ...]:
    """Return every target with its figure; one that could not be measured is not met."""
    return tuple(_check(target, FIGURES[target.figure](target, measured)) for target in targets)


def _check(target: Target, value: float | None) -> Check:
    met = value is not None and (
        (target.at_least is None or value >= target.at_least)
        and (target.at_most is None or value <= target.at_most)
    )
    bound = target.at_most if target.at_least is None else target.at_least
    unit = "%" if target.figure.endswith("percent") else ""
    return Check(id=target.id, value=value, unit=unit, target=bound, met=met, text=target.text)


def _line(target: Target, measured: Measured) -> Summary | None:
    return next((s for s in measured.summary if (s.task, s.group) == (target.task, target.group)), None)


def _gain_percent(target: Target, measured: Measured) -> float | None:
    """Mean gain in percent of the mean metric alone."""
    line = _line(target, measured)
    return line.gain_percent if line else None


def _gain_low(target: Target, measured: Measured) -> float | None:
    """Lower 95 % bound of the mean gain, over merchants."""
    line = _line(target, measured)
    return line.low if line else None


def _worse_percent(target: Target, measured: Measured) -> float | None:
    """Share of merchant-task cells that are more than 2 % worse than alone."""
    lines = [s for s in measured.summary if s.group == target.group and target.task in ("", s.task)]
    merchants = sum(line.merchants for line in lines)
    return 100 * sum(line.worse_than_2_percent for line in lines) / merchants if merchants else None


def _prior_gap_percent(target: Target, measured: Measured) -> float | None:
    """By how much the prior alone is worse than the served model, mean over merchants."""
    members = {name for name, group in measured.group_of.items() if target.group in (ALL, group)}
    return _gap(target.task, [cell for cell in measured.cells if cell.merchant in members])


def _newcomer_gap_percent(target: Target, measured: Measured) -> float | None:
    """The same for merchants that never trained."""
    return _gap(target.task, measured.newcomers)


def _gap(task: str, cells: Sequence[Cell]) -> float | None:
    pairs = [
        (cell.prior, cell.federated)
        for cell in cells
        if cell.task == task and cell.prior is not None and cell.federated is not None
    ]
    if not pairs:
        return None
    prior, served = fmean(p for p, _ in pairs), fmean(s for _, s in pairs)
    return 100 * (prior - served) / served if served else None


FIGURES: dict[str, Callable[[Target, Measured], float | None]] = {
    "gain_percent": _gain_percent,
    "gain_low": _gain_low,
    "worse_percent": _worse_percent,
    "prior_gap_percent": _prior_gap_percent,
    "newcomer_gap_percent": _newcomer_gap_percent,
}
