"""The words and numbers that every form of the report shares."""

from collections.abc import Iterable

from shared_model.traffic import Traffic

from .results import Cell, ContractFacts, Merchant, Result, Summary, Task, Verdict

ALL = "all"
NOTHING = "\N{EN DASH}"
"""Stands where a number could not be computed."""

MARKS: dict[Verdict, str] = {"gains": "▲", "loses": "▼", "cannot tell": "●"}
"""A sign beside each verdict, so that it does not hang on colour alone."""


def spoken(name: str) -> str:
    """Return a name from the contract as one says it.

    >>> spoken("delivery_days")
    'delivery days'
    """
    return name.replace("_", " ")


def signed(text: str) -> str:
    """Return a formatted number with a true minus sign in place of a hyphen."""
    return text.replace("-", "\N{MINUS SIGN}")


def number(value: float | None, digits: int = 3) -> str:
    """Return a metric as text.

    >>> number(0.12345)
    '0.123'
    """
    return NOTHING if value is None else signed(f"{value:.{digits}f}")


def percent(value: float | None) -> str:
    """Return a signed percentage.

    >>> percent(12.34)
    '+12.3 %'
    """
    return NOTHING if value is None else signed(f"{value:+.1f} %")


def relative(value: float | None, alone: float | None) -> float | None:
    """Return a gain, or a bound of one, in percent of the metric alone; None where that is not defined."""
    return None if value is None or not alone else 100 * value / abs(alone)


def interval(low: float | None, high: float | None, alone: float | None) -> str:
    """Return the bounds of a gain in percent of the metric alone.

    >>> interval(0.01, 0.03, 0.5)
    '+2.0 % to +6.0 %'
    """
    if low is None or high is None:
        return NOTHING
    return f"{percent(relative(low, alone))} to {percent(relative(high, alone))}"


def axis(task: Task) -> str:
    """Return metric, unit and direction of a task, for an axis or a column."""
    unit = f" ({task.unit})" if task.unit else ""
    return f"{task.metric}{unit}, {'higher' if task.higher_is_better else 'lower'} is better"


def overall(result: Result) -> dict[str, Summary]:
    """Return the summary over all merchants of every task that has one."""
    return {s.task: s for s in result.summary if s.group == ALL}


def says(low: float | None, high: float | None) -> Verdict:
    """Return what the bounds of a gain show."""
    if low is not None and low > 0:
        return "gains"
    return "loses" if high is not None and high < 0 else "cannot tell"


def answer(result: Result) -> str:
    """Return the answer to "does joining pay?" in one or two sentences."""
    summaries = overall(result)
    if not summaries:
        return (
            "This run holds no merchant's metrics: they never leave a merchant. What follows is how it went."
        )
    verdicts = {task: says(s.low, s.high) for task, s in summaries.items()}
    sentences = [
        f"{start} {_listed(spoken(t) for t, v in verdicts.items() if v == verdict)}."
        for verdict, start in _ANSWERS.items()
        if verdict in verdicts.values()
    ]
    return " ".join(sentences)


def sentence(task: Task, summary: Summary) -> str:
    """Return what federating did for one task, over the merchants of one group."""
    if summary.low == summary.high == 0:
        return f"On {spoken(task.name)} every merchant is served what it would be served alone."
    change = (
        "the average gain cannot be computed"
        if summary.gain_percent is None
        else f"the {task.metric} is on average {_change(task, summary.gain_percent)}"
    )
    sure = "" if summary.low is None else f" (95 % interval of the gain: {_bounds(summary)})"
    return (
        f"{summary.wins} of {_counted(summary.merchants, 'merchant')} "
        f"{'does' if summary.wins == 1 else 'do'} better on {spoken(task.name)}; {change}{sure}."
    )


def clear_cases(cells: Iterable[Cell]) -> dict[Verdict, int]:
    """Count the verdicts of cells that have a gain."""
    counts: dict[Verdict, int] = dict.fromkeys(MARKS, 0)
    for cell in cells:
        if cell.gain is not None:
            counts[cell.verdict] += 1
    return counts


def replies(result: Result) -> str:
    """Return how the rounds went: replies used, refused, missing."""
    if not result.rounds:
        return "No rounds are on record."
    used, refused, missing = (
        sum(getattr(r, field) for r in result.rounds) for field in ("accepted", "refused", "missing")
    )
    return (
        f"{_counted(len(result.rounds), 'round')}: {_counted(used, 'reply', 'replies')} used, "
        f"{refused} refused, {missing} missing."
    )


def sent(contract: ContractFacts) -> str:
    """Return what a training moves between its two sides."""
    moved = Traffic(down=contract.bytes_down, up=contract.bytes_up)
    return f"{_counted(contract.rounds, 'round')}, {moved.said(contract.merchants_per_round)} asked"


def by_size(merchants: Iterable[Merchant]) -> list[Merchant]:
    """Return merchants, the largest first."""
    return sorted(merchants, key=lambda m: (-m.orders, m.name))


_ANSWERS: dict[Verdict, str] = {
    "gains": "On average, merchants do better together on",
    "loses": "On average, merchants do worse together on",
    "cannot tell": "No clear difference shows on",
}


def _bounds(summary: Summary) -> str:
    return interval(summary.low, summary.high, summary.alone)


def _change(task: Task, gain: float) -> str:
    higher = (gain > 0) == task.higher_is_better
    return f"{abs(gain):.1f} % {'higher' if higher else 'lower'}"


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
