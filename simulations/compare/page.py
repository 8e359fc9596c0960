"""Results as Markdown, for people to read and for the documents."""

from collections.abc import Iterator, Sequence

from ..summary import ALL
from .moved import Moved
from .plan import Claim, Plan
from .table import Line, Results


def page(plan: Plan, found: Results, notes: str = "") -> str:
    """Return the whole page.

    Args:
        plan: What was compared.
        found: The numbers.
        notes: Markdown that follows the introduction.
    """
    parts = [_introduction(plan, found), notes, *_claims(plan, found)]
    parts += _rules(found)
    for dataset in dict.fromkeys(d.name for d in plan.dataset):
        parts += [f"## {dataset}", *_tables(found, dataset)]
    parts += [*_moved(found), "## What was tuned", *_tuned(plan, found)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _introduction(plan: Plan, found: Results) -> str:
    return (
        f"# Results: {found.name}\n\n"
        f"Made by `{found.command}`; do not edit. {len(found.seeds)} seeds. Test rows lie after all "
        "rows that trained or chose anything. A value is the mean over merchants, each counting once; in "
        f"brackets the gain over **{found.reference}** in percent of its value, above zero is better, with "
        "a 95 % interval over merchants (bootstrap). An interval that holds zero shows nothing either way. "
        "`alone`: every merchant trains on its own rows; `pooled`: all rows in one place, which no "
        "federation may do."
    )


def _tables(found: Results, dataset: str) -> Iterator[str]:
    lines = [line for line in found.lines if line.dataset == dataset and line.first]
    tasks = list(dict.fromkeys((line.task, line.measure) for line in lines))
    groups = [ALL, *sorted({line.group for line in lines} - {ALL})]
    methods = list(dict.fromkeys((line.family, line.method, line.where) for line in lines))
    for group in groups:
        here = {(line.method, line.task): line for line in lines if line.group == group}
        count = max((line.merchants for line in here.values()), default=0)
        title = "All merchants" if group == ALL else f"Merchants of group {group}"
        rows = [
            ("", "method", *(f"{task}, {measure}" for task, measure in tasks)),
            *(
                (family, f"{method} ({where})", *(_cell(here.get((method, task))) for task, _ in tasks))
                for family, method, where in methods
            ),
        ]
        yield f"### {title} ({count})\n\n{_markdown(rows)}"


def _cell(line: Line | None) -> str:
    if line is None:
        return ""
    if line.gain_percent is None or line.low is None or line.high is None or not line.gain:
        return f"{line.value:.4g}"
    scale = line.gain_percent / line.gain
    mark = "**" if line.low > 0 or line.high < 0 else ""
    bounds = f"[{line.low * scale:+.1f}, {line.high * scale:+.1f}]"
    return f"{line.value:.4g} ({mark}{line.gain_percent:+.1f}{mark} {bounds})"


def _claims(plan: Plan, found: Results) -> Iterator[str]:
    if not plan.claim:
        return
    rows: list[tuple[str, ...]] = [
        ("predicted", "data set, task", "method", "measure", "reached", "constant", "gain, points", "asked")
    ]
    for claim in plan.claim:
        for dataset, task in claim.tasks.items():
            rows += _claim(claim, found, dataset, task)
    yield (
        "## What was claimed for such methods, and what is there\n\n"
        f"Gains are over {found.reference}, in points out of 100, with a 95 % interval over merchants. "
        "`above median`: whether a number is above the median of the merchant's training rows. As many test "
        "rows are called high, those with the largest predictions, as the share of training rows above it "
        "says; equal predictions at that border are not, so a constant calls none high.\n\n" + _markdown(rows)
    )


def _claim(claim: Claim, found: Results, dataset: str, task: str) -> Iterator[tuple[str, ...]]:
    at = {
        (line.method, line.measure): line
        for line in found.lines
        if line.dataset == dataset and line.task == task and line.group == ALL
    }
    for measure in dict.fromkeys((*claim.points, *claim.levels)):
        line = at.get((claim.method, measure))
        if line is None:
            continue
        constant = next((at[m, measure] for m in ("constant", "popularity") if (m, measure) in at), None)
        yield (
            claim.name,
            f"{dataset}, {task}",
            claim.method,
            measure,
            f"{line.value:.4g}",
            "" if constant is None else f"{constant.value:.4g}",
            _points(line),
            _asked(claim, measure, line),
        )


def _points(line: Line) -> str:
    if line.gain is None or line.low is None or line.high is None:
        return ""
    return f"{100 * line.gain:+.1f} [{100 * line.low:+.1f}, {100 * line.high:+.1f}]"


def _asked(claim: Claim, measure: str, line: Line) -> str:
    said = []
    if measure in claim.points:
        met = line.gain is not None and 100 * line.gain >= claim.points[measure]
        said.append(f"{claim.points[measure]:+g} points, {'met' if met else 'not met'}")
    if measure in claim.levels:
        level, error = claim.levels[measure], measure.startswith("MSE")
        met = line.value <= level if error else line.value >= level
        said.append(f"{'at most' if error else 'at least'} {level:g}, {'met' if met else 'not met'}")
    return "; ".join(said)


def _rules(found: Results) -> Iterator[str]:
    if not found.rules:
        return
    rows: list[tuple[str, ...]] = [
        ("data set", "training", "rule", "gain over alone, %", "of what the oracle gains", "harm", "replaced")
    ]
    rows += [
        (
            line.dataset,
            line.training,
            line.rule,
            f"{line.gain_percent:+.2f}",
            "" if line.kept is None else f"{100 * line.kept:.0f} %",
            f"{100 * line.harm:.1f} %",
            f"{100 * line.replaced:.0f} %",
        )
        for line in found.rules
        if line.task == ALL
    ]
    yield (
        "## Choosing what is served\n\n"
        "What every merchant gains, all tasks together, if it serves of a release what a rule chooses on its "
        "validation rows; alone is its own linear model, for an item choice a ranking. Harm: merchant-task "
        "pairs that are more than 2 % worse than alone. Replaced: pairs for which something else than the "
        "federated model, or for an item choice the ranking, was chosen. The oracle sees the test rows.\n\n"
        + _markdown(rows)
    )


def _moved(found: Results) -> Iterator[str]:
    if not found.moved:
        return
    datasets = list(dict.fromkeys(one.dataset for one in found.moved))
    trainings = list(dict.fromkeys(one.training for one in found.moved))
    at = {(one.training, one.dataset): one for one in found.moved}
    rows = [("training", *datasets)]
    rows += [
        (training, *(_bytes(at.get((training, dataset))) for dataset in datasets)) for training in trainings
    ]
    yield (
        "## What moved\n\n"
        "Of federated trainings: rounds, and the bytes of arrays that a merchant gets + sends in a round "
        "that asks it, on average.\n\n" + _markdown(rows)
    )


def _bytes(moved: Moved | None) -> str:
    return "" if moved is None else f"{moved.rounds} rounds, {moved.bytes_down:,} + {moved.bytes_up:,}"


def _tuned(plan: Plan, found: Results) -> Iterator[str]:
    tuned = [t for t in plan.training if len(t.grid) > 1]
    if not tuned:
        yield "Nothing."
        return
    yield (
        "On validation rows, with the first seed, for each data set by itself: of every training's grid the "
        "point whose predictions are best over tasks, relative to the constant. No test row chose anything."
    )
    rows = [("training", "tried", *(d.key for d in plan.dataset))]
    rows += [
        (
            t.name,
            "; ".join(map(_plain, t.grid)),
            *(_plain(found.chosen.get(d.key, {}).get(t.name, "")) for d in plan.dataset),
        )
        for t in tuned
    ]
    yield _markdown(rows)


def _plain(change: object, prefix: str = "") -> str:
    if not isinstance(change, dict):
        return f"{prefix} {change}".strip()
    inner = (_plain(value, f"{prefix}.{key}".lstrip(".")) for key, value in change.items())
    return ", ".join(inner) or "as declared"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body)]
    return "\n".join(lines)
