"""The federation in sentences: who gains, who loses, and whom the others would miss.

As in `verdicts`, nothing is claimed that verdicts over shoppers do not show.
"""

from collections.abc import Sequence

from server.reporting.results import Cell, Summary
from server.reporting.wording import says, spoken

from ..statistics import Verdict
from .report import Contribution

_NAMED = 5
_FEW = 10


def sentences(cells: Sequence[Cell], contributions: Sequence[Contribution], *, seeds: int) -> tuple[str, ...]:
    """Return what is clear of everybody at the agreed level.

    Args:
        cells: Of every merchant and task.
        contributions: Of those that were left out in turn.
        seeds: Of a single one the noise of one training may be it.
    """
    return tuple(filter(None, (of_everybody(cells), of_contributions(contributions, seeds=seeds))))


def of_everybody(cells: Sequence[Cell]) -> str:
    """Return how many merchants gain, and which ones lose.

    >>> of_everybody([])
    ''
    """
    merchants = list(dict.fromkeys(cell.merchant for cell in cells))
    if not merchants:
        return ""
    gain, lose = (_with_verdict(cells, verdict) for verdict in ("gains", "loses"))
    if not gain and not lose:
        return f"For none of {len(merchants)} merchants do the test rows show a gain or a loss clearly."
    won = f"{len(gain)} of {len(merchants)} merchants gain clearly on a task or more"
    if not lose:
        return f"{won}; none loses clearly on any."
    lost = f"{_named(lose)} {_verb('lose', lose)} clearly on a task or more"
    both = [name for name in lose if name in gain]
    besides = f" ({_named(both)} {_verb('gain', both)} on another)" if both else ""
    return f"{won}; {lost}{besides}."


def of_its_like(found: Sequence[Summary]) -> str:
    """Return what joining does on average to the merchants of a group; empty for a group of one.

    One merchant's test rows often show nothing either way, where those of many like it do.
    """
    several = [one for one in found if one.merchants > 1 and one.low is not None and one.high is not None]
    if not several:
        return ""
    most = max(one.merchants for one in several)
    parts = [
        f"{verb} {_listed([_with_bounds(one) for one in clear])}"
        for verdict, verb in (("gains", "helps"), ("loses", "hurts"))
        if (clear := [one for one in several if says(one.low, one.high) == verdict])
    ]
    shown = " and ".join(parts) if parts else "shows no clear difference on any task"
    hint = f", a hint only of fewer than {_FEW}" if most < _FEW else ""
    return f"On average over {most} merchants of its group, {several[0].group}, joining {shown}{hint}."


def of_contributions(found: Sequence[Contribution], *, seeds: int) -> str:
    """Return whom the others would miss, and without whom they would do better; empty for one left out."""
    merchants = {one.merchant for one in found}
    if len(merchants) < 2:
        return ""
    parts = [
        f"{verb} {_listed([f'{one.merchant} ({spoken(one.task)})' for one in clear[:_NAMED]])}{_more(clear)}"
        for verdict, verb in (("gains", "would clearly miss"), ("loses", "would clearly do better without"))
        if (clear := _strongest(found, verdict))  # type: ignore[arg-type]
    ]
    if not parts:
        return f"Of {len(merchants)} merchants left out in turn, the others would clearly miss none."
    doubt = "" if seeds > 1 else "; with one seed that may be the noise of one training"
    return f"Of {len(merchants)} merchants left out in turn, the others {' and '.join(parts)}{doubt}."


def _with_bounds(one: Summary) -> str:
    """Return a task and by how many per cent of the metric alone it changes, with its 95 % interval."""
    scale = 100 / abs(one.alone) if one.alone else 0.0
    near, far = sorted(abs(scale * (bound or 0.0)) for bound in (one.low, one.high))
    return f"{spoken(one.task)} ({abs(scale * (one.gain or 0.0)):.1f} %, between {near:.1f} and {far:.1f} %)"


def _with_verdict(cells: Sequence[Cell], verdict: Verdict) -> list[str]:
    return list(dict.fromkeys(cell.merchant for cell in cells if cell.verdict == verdict))


def _strongest(found: Sequence[Contribution], verdict: Verdict) -> list[Contribution]:
    clear = [one for one in found if one.gain.verdict == verdict]
    return sorted(clear, key=lambda one: -abs(one.gain.percent or 0.0))


def _named(names: Sequence[str]) -> str:
    return _listed(names) if len(names) <= _NAMED else str(len(names))


def _verb(verb: str, names: Sequence[str]) -> str:
    return f"{verb}s" if len(names) == 1 else verb


def _more(clear: Sequence[object]) -> str:
    return f" and {len(clear) - _NAMED} more" if len(clear) > _NAMED else ""


def _listed(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
