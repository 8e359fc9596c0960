"""A plan on a terminal: one table per tier, and what it costs in words."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group as Lines
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from shared_model.privacy.words import meaning

from .facts import Calculation, MerchantFacts, Planned, TierFacts


def of_contract(plan: Planned) -> RenderableType:
    """Return what a contract's plan says."""
    lines: list[RenderableType] = [Text(f"{plan.name}, contract {plan.fingerprint[:12]}", style="bold")]
    if plan.tiers:
        first = plan.tiers[0]
        lines += [Text(meaning(first.epsilon, first.delta, first.unit)), Text(_LETTERS, style="dim")]
    for alike in _alike(plan.tiers):
        lines += [_tier(alike), _epsilon(alike[0])]
        lines += [text for tier in alike for text in _costs(tier, plan.merchants)]
    if plan.receiving:
        lines.append(Text(f"Only receiving, at no cost: {', '.join(plan.receiving)}."))
    if plan.layer is not None:
        lines.append(_layer(plan.layer, plan.merchants))
    lines.append(Text(f"What travels: {plan.traffic.said(plan.merchants)}."))
    return Lines(*lines, *_warned(plan.warnings))


def of_calculation(found: Calculation) -> RenderableType:
    """Return what a calculation says."""
    table = Table(show_header=False)
    table.add_row("noise multiplier", f"{found.noise_multiplier:.4f}", style="bold")
    table.add_row("sampling rate q", f"{found.sampling_rate:.4g}")
    table.add_row("noisy steps", f"{found.steps:,}")
    table.add_row("noise on a step's mean gradient, over C", f"{found.noise_on_mean:.3g}")
    table.add_row(*_spent(found.epsilon, found.delta))
    for name, value in found.cross_checks.items():
        table.add_row(f"... says {name}", f"{value:.4f}")
    return Lines(table, *_warned(found.warnings))


def _alike(tiers: Sequence[TierFacts]) -> list[list[TierFacts]]:
    """Return the tiers in groups that run one and the same mechanism."""
    found: dict[tuple[object, ...], list[TierFacts]] = {}
    for tier in tiers:
        same = (tier.sampling_rate, tier.divisor, tier.steps, tier.rounds, tier.groups)
        found.setdefault(same, []).append(tier)
    return list(found.values())


def _tier(alike: Sequence[TierFacts]) -> Table:
    tier, names = alike[0], ", ".join(tier.tier for tier in alike)
    title = (
        f"{'tiers' if len(alike) > 1 else 'tier'} {names}: q {tier.sampling_rate:.4g}, B {tier.divisor:g}, "
        f"K {tier.steps}, R {tier.rounds}"
    )
    table = Table(
        "clip group", "C", "sensitivity", "noise multiplier", "noise on the sum", "on the mean, over C",
        title=title, title_justify="left",
    )  # fmt: skip
    for group in tier.groups:
        figures = (group.clipping_norm, group.sensitivity, group.noise_multiplier, group.noise_std)
        table.add_row(group.name, *(f"{figure:.4g}" for figure in figures), f"{group.noise_on_mean:.3g}")
    table.add_section()
    table.add_row("a step as a whole", "", "", f"{tier.noise_multiplier:.4g}", "", "", style="bold")
    if tier.statistics_multiplier is not None:
        table.add_row("statistics, once", "", "", f"{tier.statistics_multiplier:.4g}", "", "")
    if tier.counts_std is not None:
        table.add_row("items and weeks, once", "", "", "", f"{tier.counts_std:.4g}", "")
    if tier.telemetry_std is not None:
        table.add_row("telemetry, each round", "", "", "", f"{tier.telemetry_std:.4g}", "")
    return table


def _epsilon(tier: TierFacts) -> Text:
    return Text(": ".join(_spent(tier.epsilon, tier.delta)) + _checks(tier.cross_checks))


def _costs(tier: TierFacts, merchants: int) -> Iterator[Text]:
    yield Text(
        f"{tier.tier}, assuming M = {merchants} such merchants of {tier.shoppers:,} {tier.unit}s each in a "
        f"round: the mean of their sums has noise of {_loudest(tier)} C on every number and round."
    )
    yield Text(
        f"  Signal over noise, N / sqrt(M) with N {tier.unit}s in all, is {tier.index:,.0f}, which is worth "
        f"{tier.comparable:,.0f} at epsilon 8, delta 1e-06. Seen on Olist at such a figure: {tier.reading}."
    )


def _loudest(tier: TierFacts) -> str:
    figures = sorted({f"{group.noise_on_mean:.3g}" for group in tier.groups}, key=float)
    return " to ".join(dict.fromkeys([figures[0], figures[-1]]))


def _layer(layer: MerchantFacts, merchants: int) -> Text:
    return Text(
        f"Merchants, on top: epsilon {layer.epsilon:g} at delta {layer.delta:g} takes a noise multiplier of "
        f"{layer.noise_multiplier:.4g}; with {merchants} merchants of one weight the noise on every "
        f"coordinate of the mean update is {layer.noise_on_mean:.3g} of the clipping norm."
    )


def _spent(epsilon: float, delta: float) -> tuple[str, str]:
    return f"epsilon of the whole plan at delta {delta:g}", f"{epsilon:.4f}"


def _checks(found: Mapping[str, float]) -> str:
    said = ", ".join(f"{name} says {value:.4f}" for name, value in found.items())
    return f" (other accountants, less exact from above: {said})" if said else ""


_LETTERS = (
    "q: chance that a step takes a unit in; B: what every sum is divided by; K: steps in a round; R: rounds; "
    "C: the most that one unit's gradient may weigh; noise multiplier: noise over what one unit can move."
)


def _warned(warnings: tuple[str, ...]) -> Iterator[Text]:
    return (Text(f"Warning: {warning}", style="yellow") for warning in warnings)
