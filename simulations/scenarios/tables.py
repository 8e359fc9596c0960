"""Merchants of a scenario as ready tables, which `simulations.partition` writes."""

import numpy as np
import polars as pl

from shared_model import schema

from ..market import MerchantTables, tier_of
from .drawing import Drawn, draw
from .outcomes import OUTCOMES
from .world import World

TIME, UNIT = "Day", "Shopper"
"""Names that no feature of a contract can have; so are those of labels."""


def merchant_tables(world: World, number: int) -> MerchantTables:
    """Return what merchant `number` holds: one row per example, in the order of days."""
    drawn = draw(world, number)
    frame = table(world, drawn)
    shoppers = np.unique(drawn.shopper[world.part(drawn.day) == 0])
    features = [c for c in frame.columns if c not in (TIME, UNIT) and not c.startswith(_LABEL)]
    return MerchantTables(
        table=frame,
        time=TIME,
        unit=UNIT,
        columns={column: column for column in features},
        labels={task: _LABEL + task for task in drawn.labels},
        tasks=() if len(drawn.labels) == len(world.contract.tasks) else drawn.character.tasks,
        tier=tier(world.contract, len(shoppers)),
        domain=_domain(world, drawn),
        group=_kind(world, drawn, len(shoppers)),
    )


def table(world: World, drawn: Drawn) -> pl.DataFrame:
    """Return the rows with a column per feature, and `Label <task>` per task."""
    start = np.datetime64(world.options.start, "us")
    columns = {TIME: pl.Series(start + drawn.day * np.timedelta64(1, "D")), UNIT: names(drawn)}
    for one, behind in zip(world.inputs, drawn.behind, strict=True):
        columns |= one.columns(behind, drawn.character.name)
    for task, label in drawn.labels.items():
        spec = world.contract.tasks[task]
        columns[_LABEL + task] = OUTCOMES[spec.kind].column(spec, label, drawn.character.name)
    return pl.DataFrame(columns)


_LABEL = "Label "


def names(drawn: Drawn) -> pl.Series:
    """Return what the shopper of every row is called; of those that buy elsewhere too, the one name."""
    own, numbers = drawn.character.name, drawn.shopper.tolist()
    return pl.Series([f"{own}-p{p}" if p >= 0 else f"synthetic-shopper-{-1 - p}" for p in numbers])


def tier(contract: schema.Federation, shoppers: int) -> str:
    """Return the contract's largest tier that asks for no more than `shoppers`; empty for the lowest."""
    fitting = {name: t.shoppers for name, t in contract.tiers.items() if t.shoppers <= shoppers}
    return max(fitting, key=lambda name: fitting[name]) if fitting else ""


def _domain(world: World, drawn: Drawn) -> str:
    """Groups are dealt to the contract's domains in turn."""
    adaptation = world.contract.adaptation
    if adaptation is None:
        return ""
    return adaptation.domains[drawn.character.group % len(adaptation.domains)]


def _kind(world: World, drawn: Drawn, shoppers: int) -> str:
    """The group that a report averages over."""
    if drawn.character.stranger:
        return "strangers"
    return f"group-{drawn.character.group + 1}" if world.options.groups > 1 else tier_of(shoppers)
