"""What intervals mean, in sentences. Each is a function of numbers that the page shows, and of nothing else.

Nothing is claimed that an interval does not show: one that holds zero says that we cannot tell, and how large
a gain and a loss it leaves open; one that lies within `SMALL` per cent of zero says that it matters little.
"""

from collections.abc import Sequence

from server.reporting.results import Task
from server.reporting.wording import spoken

from ..statistics import Verdict
from .federation import of_its_like
from .report import Contribution, Cost, CurvePoint, Gain, Joined, Line, TakingPart

_ONLY_RECEIVES = "By its size it only receives under this contract, so it adds nothing for the others."
SMALL = 2.0
"""Per cent of the metric alone; a smaller difference is one that matters little."""


def sentences(found: Joined) -> tuple[str, ...]:
    """Return the verdict of every task, then of merchants like it, privacy, own data, taking part, others."""
    tasks = {task.name: task for task in found.tasks}
    agreed = [line for line in found.lines if line.level == found.agreed]
    said = (
        *(sentence(tasks[line.task], line.gain) for line in agreed),
        of_its_like(found.like),
        of_privacy(found.lines),
        of_own_data(found.curve, found.tasks),
        of_taking_part(found.taking_part, seeds=len(found.seeds)),
        for_the_others(found.merchant, found.contributions, seeds=len(found.seeds))
        or (_ONLY_RECEIVES if not found.taking_part else ""),
    )
    return tuple(filter(None, said))


def answer(merchant: str, gains: Sequence[Gain]) -> str:
    """Return whether the merchant should join, from its gain on every task at the agreed level.

    >>> helps = Gain(percent=4.0, low=1.0, high=7.0, verdict="gains")
    >>> answer("acme", [helps])
    'Yes: joining helps acme on 1 of 1 task and hurts on none.'
    """
    helped, hurt = (sum(gain.verdict == verdict for gain in gains) for verdict in ("gains", "loses"))
    tasks = _counted(len(gains), "task")
    if helped and not hurt:
        return f"Yes: joining helps {merchant} on {helped} of {tasks} and hurts on none."
    if helped:
        return (
            f"In part: joining helps {merchant} on {helped} of {tasks} and hurts on {hurt}; it can join "
            "for the former and go alone for the latter."
        )
    if hurt:
        return f"No: joining hurts {merchant} on {hurt} of {tasks} and helps on none that we can tell."
    if gains and all(small(gain) for gain in gains):
        return f"It does not matter: on no task does joining change much for {merchant}."
    return f"We cannot tell: on none of {tasks} do the test rows of {merchant} show a gain or a loss."


def sentence(task: Task, gain: Gain) -> str:
    """Return what joining does for one task.

    >>> task = Task(name="late", kind="binary", metric="log loss", unit="", higher_is_better=False,
    ...             alone_method="linear", alone_candidates={})
    >>> sentence(task, Gain(percent=4.0, low=1.0, high=7.0, verdict="gains"))
    'Joining helps late: 4.0 % lower log loss, between 1.0 and 7.0 %.'
    >>> sentence(task, Gain(percent=2.0, low=-3.0, high=7.0, verdict="cannot tell"))
    'We cannot tell for late: between 3.0 % higher and 7.0 % lower log loss.'
    """
    name = spoken(task.name)
    if gain.percent is None:
        return f"Nothing can be said of {name}: its {task.metric} alone is zero or unknown."
    if gain.percent == 0 and gain.low in (None, 0) and gain.high in (None, 0):
        return f"For {name} nothing changes: what is served is what can be done alone."
    if gain.low is None or gain.high is None:
        return f"We cannot tell for {name}: too few shoppers or items have test rows."
    if gain.verdict == "cannot tell":
        bounds = f"between {_change(task, gain.low)} and {_change(task, gain.high)} {task.metric}"
        if small(gain):
            return f"It matters little for {name}: {bounds}."
        return f"We cannot tell for {name}: {bounds}."
    near, far = sorted((abs(gain.low), abs(gain.high)))
    verb = "helps" if gain.verdict == "gains" else "hurts"
    return (
        f"Joining {verb} {name}: {_change(task, gain.percent)} {task.metric}, "
        f"between {near:.1f} and {far:.1f} %."
    )


def small(gain: Gain) -> bool:
    """Whether an interval lies so near to zero that it matters little on which side."""
    return gain.low is not None and gain.high is not None and max(-gain.low, gain.high) <= SMALL


def of_privacy(lines: Sequence[Line]) -> str:
    """Return what is left of the gains at each level; empty for a single level."""
    levels = list(dict.fromkeys(line.level for line in lines))
    if len(levels) < 2:
        return ""
    parts = []
    for level in levels:
        here = [line for line in lines if line.level == level]
        helped, hurt = (
            [spoken(line.task) for line in here if line.gain.verdict == verdict]
            for verdict in ("gains", "loses")
        )
        clear = f"helps {_listed(helped) if helped else 'none'}, hurts {_listed(hurt) if hurt else 'none'}"
        parts.append(f"{level}: {clear}" if helped or hurt else f"{level}: nothing clear")
    return f"What privacy leaves of it: {'; '.join(parts)}."


def of_own_data(points: Sequence[CurvePoint], tasks: Sequence[Task]) -> str:
    """Return on which tasks more own orders take the place of the others', from the learning curve."""
    better = []
    for task in tasks:
        mine = [point for point in points if point.task == task.name]
        if len(mine) > 1:
            sign = 1.0 if task.higher_is_better else -1.0
            few, all_of_them = mine[0].receiving, mine[-1].alone
            better += [spoken(task.name)] if sign * (few - all_of_them) > 0 else []
    if not better:
        return ""
    few = min(point.share for point in points)
    return (
        f"With {100 * few:g} % of its orders and what the others released it would do better than alone with "
        f"all of them on {_listed(better)} (by the mean on its test rows)."
    )


def of_taking_part(found: Sequence[TakingPart], *, seeds: int) -> str:
    """Return whether it pays to train rather than only to receive."""
    if not found:
        return ""
    helped, hurt = _with_size(found, "gains"), _with_size(found, "loses")
    if not helped and not hurt:
        return (
            "Whether it takes part in training or only receives the release shows no clear difference for "
            "itself; receiving releases nothing."
        )
    parts = [f"is better on {_listed(helped)}"] if helped else []
    parts += [f"is worse on {_listed(hurt)}"] if hurt else []
    return f"Taking part, against only receiving the release, {' and '.join(parts)}{_doubt(seeds)}."


def of_cost(cost: Cost) -> str:
    """Return what it costs, at the level of the contract."""
    if cost.role == "receive":
        traffic = f"It only receives: {_size(cost.bytes_in_all)} once, and nothing about its shoppers leaves"
    else:
        traffic = (
            f"It costs {_size(cost.bytes_in_all)} of traffic over {_counted(cost.rounds, 'round')} and "
            f"{cost.seconds.round * cost.rounds:.1f} s of its processor (measured on this machine)"
        )
    budget = "" if cost.epsilon is None else f", and epsilon {cost.epsilon:.3g} of each shopper's privacy"
    return f"{traffic}{budget if cost.role == 'train' else ''}."


def for_the_others(merchant: str, found: Sequence[Contribution], *, seeds: int) -> str:
    """Return what the merchant adds for the others; of a single seed the noise of one training may be it."""
    mine = [one for one in found if one.merchant == merchant]
    helped, hurt = _with_size(mine, "gains"), _with_size(mine, "loses")
    if not mine:
        return ""
    if not helped and not hurt:
        return f"For the others it makes no clear difference whether {merchant} takes part."
    parts = [f"do better on {_listed(helped)}"] if helped else []
    parts += [f"do worse on {_listed(hurt)}"] if hurt else []
    return f"When {merchant} takes part the others {' and '.join(parts)}{_doubt(seeds)}."


def _with_size(found: Sequence[Contribution] | Sequence[TakingPart], verdict: Verdict) -> list[str]:
    """Return the tasks of a verdict, each with how large the difference is."""
    return [
        f"{spoken(one.task)} (by {abs(one.gain.percent or 0.0):.2g} %)"
        for one in found
        if one.gain.verdict == verdict
    ]


def _doubt(seeds: int) -> str:
    return "" if seeds > 1 else "; with one seed that may be the noise of one training"


def _change(task: Task, gain: float) -> str:
    """Return a gain in the direction of the metric.

    A gain of four per cent is a lower loss, or a higher recall.
    """
    higher = (gain > 0) == task.higher_is_better
    return f"{abs(gain):.1f} % {'higher' if higher else 'lower'}"


def _size(count: int) -> str:
    """Return bytes in words.

    >>> _size(950), _size(25_000), _size(3_400_000)
    ('950 bytes', '25 kB', '3.4 MB')
    """
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1e3:.0f} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"


def _counted(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
