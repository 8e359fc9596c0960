"""A market of made-up shops whose mechanics are known.

What real data cannot show, this can: how much merchants gain from one another when the truth is shared, and
that they gain nothing when it is not. Every row is drawn from the formulas in `mechanics.py`, whose
coefficients the market carries in `truth`. Merchants are called `synthetic-01`, `synthetic-02`, ..., and live
in the regions of a country ZZ that does not exist, so no table can be taken for a real shop's.
"""

from pathlib import Path

import numpy as np
import polars as pl

from ... import seeds
from ...market import Market, MerchantTables, tier_of
from .catalogue import draw_items, draw_places
from .events import export_events
from .mechanics import SHARED, draw_mechanics
from .options import SyntheticMarket
from .orders import Shop, draw_orders
from .tables import export_orders

__all__ = ["SyntheticMarket", "generate", "read"]


def read(options: SyntheticMarket, base: Path) -> Market:
    """Return `generate(options)`; there is no file to read below `base`."""
    del base
    return generate(options)


def generate(options: SyntheticMarket) -> Market:
    """Return the market that `options` describe.

    The data of a merchant depend on the options and on its own name only: not on how many other merchants
    there are.

    Returns:
        A market whose `truth` holds, under `shared`, the shared coefficients and, under `merchants`, base and
        coefficients of every merchant (see `Mechanics`).
    """
    names = [f"synthetic-{number:02d}" for number in range(1, options.merchants + 1)]
    drawn = {name: _draw_merchant(options, name) for name in names}
    return Market(
        name="synthetic",
        merchants={name: tables for name, (_, tables) in drawn.items()},
        validation_from=options.validation_from,
        test_from=options.test_from,
        truth={
            "shared": SHARED,
            "merchants": {name: shop.mechanics.to_mapping() for name, (shop, _) in drawn.items()},
        },
    )


def _draw_merchant(options: SyntheticMarket, name: str) -> tuple[Shop, MerchantTables]:
    def draws(stage: str) -> np.random.Generator:
        return seeds.generator(options.seed, name, stage)

    expected = _expected_orders(options, draws("size"))
    shop = Shop(
        options=options,
        mechanics=draw_mechanics(options, draws("mechanics")),
        items=draw_items(options, expected, draws("items")),
        places=draw_places(options, draws("places")),
    )
    lacks = draws("exports").random(3) < (
        options.without_deliveries,
        options.without_reviews,
        options.without_events,
    )
    prefix = name.removeprefix("synthetic-") + "-"
    orders = draw_orders(shop, expected, draws("orders"))
    lines = export_orders(
        shop, orders, draws("export orders"), prefix=prefix, deliveries=not lacks[0], reviews=not lacks[1]
    )
    tier = tier_of(lines.filter(pl.col("order_ts") < options.validation_from)["customer_id"].n_unique())
    return shop, MerchantTables(
        orders=lines,
        items=shop.items.to_frame([f"{prefix}i{i}" for i in range(len(shop.items))]),
        events=None if lacks[2] else export_events(shop, orders, draws("events"), prefix=prefix),
        tier=tier,
        group=tier,
    )


def _expected_orders(options: SyntheticMarket, generator: np.random.Generator) -> float:
    """Log-normal around the median, cut to the options' bounds."""
    drawn = options.median_orders * np.exp(options.sigma_orders * generator.normal())
    return float(np.clip(drawn, options.min_orders, options.max_orders))
