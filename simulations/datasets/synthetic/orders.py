"""Draw the orders of one synthetic shop.

Shoppers arrive, choose an item, wait for it, are pleased or not, and some of them come back: each wave of
orders is what the wave before it led to.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from . import mechanics as x
from .catalogue import REMOTENESS, Items, Places
from .mechanics import Floats, Mechanics, happens
from .options import SyntheticMarket

_HOURS = np.array([1, 1, 1, 1, 1, 1, 2, 3, 5, 6, 7, 7, 7, 7, 7, 7, 7, 7, 8, 9, 10, 9, 6, 3])
"""Orders in each hour of the day, relative to one another."""

_PROMISE = 1.4
"""Promised days over quoted days, before rounding up: about one order in ten is late."""

_STARS = {True: ((1, 2, 3), (0.45, 0.25, 0.30)), False: ((4, 5), (0.35, 0.65))}
"""Whether the shopper is displeased -> stars and their shares."""


@dataclass(frozen=True, kw_only=True)
class Shop:
    """All that decides what happens in a shop."""

    options: SyntheticMarket
    mechanics: Mechanics
    items: Items
    places: Places


def draw_orders(shop: Shop, expected: float, generator: np.random.Generator) -> pl.DataFrame:
    """Return the orders of the shop's whole history, one row each, sorted by day.

    Args:
        shop: The shop.
        expected: Number of orders, about.
        generator: Source of every draw.

    Returns:
        One row per order, days counted from the start of the history as fractions: `day`, `shopper`, `item`
        (an index), `region` (an index), `distance_km`, `orders_before`, `unit_price`, `quantity`,
        `promised_days`, `delivery_days`, `delay_days`, `bad`, `stars`, `reviewed`, `returned`, `cancelled`,
        `comes_back`.
    """
    wave = _first_visits(shop, max(1, round(expected * (1 - shop.options.repeat))), generator)
    waves = []
    while len(wave):
        placed = _place(shop, wave, generator)
        waves.append(placed)
        wave = _next_visits(shop, placed, generator)
    return pl.concat(waves).sort("day", "shopper")


def _first_visits(shop: Shop, n: int, generator: np.random.Generator) -> pl.DataFrame:
    """Each shopper's first order: day, shopper, region, distance."""
    options, places = shop.options, shop.places
    days = np.arange(options.days)
    demand = 1 + 0.3 * min(options.season, 3.0) * x.season(
        days.astype(float) + options.start.timetuple().tm_yday
    )
    day = generator.choice(days, n, p=demand / demand.sum())
    hour = generator.choice(24, n, p=_HOURS / _HOURS.sum()) + generator.random(n)
    region = generator.choice(len(REMOTENESS), n, p=places.mix)
    log_km = places.log_distance[region] + 0.4 * generator.normal(size=n)
    return pl.DataFrame(
        {
            "day": day + hour / 24,
            "shopper": np.arange(n),
            "region": region,
            "distance_km": np.round(np.expm1(np.maximum(log_km, 0.7)), 1),
            "orders_before": np.zeros(n, dtype=np.int64),
            "category_before": np.full(n, -1),
        }
    )


def _next_visits(shop: Shop, placed: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """The orders that `placed` lead to, inside the history."""
    back = placed.filter("comes_back")
    waited = back["delivery_days"].to_numpy() + 0.5 + generator.exponential(6.0, len(back))
    return back.select(
        pl.col("day") + waited,
        "shopper",
        "region",
        "distance_km",
        pl.col("orders_before") + 1,
        pl.Series("category_before", shop.items.category[back["item"].to_numpy()]),
    ).filter(pl.col("day") < shop.options.days)


def _place(shop: Shop, visits: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """What comes of each visit (the columns of `draw_orders`)."""
    n = len(visits)
    item = _choose(shop, visits, generator)
    promotion = np.where(generator.random(n) < 0.15, 0.85, 1.0)
    drawn = visits.with_columns(
        item=item,
        unit_price=np.round(shop.items.list_price[item] * promotion, 2),
        quantity=1 + generator.poisson(np.exp(-1.5 - 0.7 * x.price(shop.items.list_price[item]))),
        cancelled=generator.random(n) < 0.015,
    )
    return _follow_up(shop, _deliver(shop, drawn, generator), generator)


def _choose(shop: Shop, visits: pl.DataFrame, generator: np.random.Generator) -> NDArray[np.int64]:
    """Index of the item that each visitor takes: the largest utility plus Gumbel noise, a softmax draw."""
    items, day = shop.items, visits["day"].to_numpy()[:, None]
    of_year = day + shop.options.start.timetuple().tm_yday
    utility = items.popularity + shop.mechanics.score(
        "choice",
        price=x.price(items.list_price),
        season=x.season(of_year, items.of_category("peak")),
        affinity=(visits["category_before"].to_numpy()[:, None] == items.category).astype(float),
    )
    utility = np.where(items.launch_day <= day, utility, -np.inf)
    return np.asarray(np.argmax(utility + generator.gumbel(size=utility.shape), axis=1))


def _deliver(shop: Shop, drawn: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Add when each order is promised and when it arrives."""
    day, item = drawn["day"].to_numpy(), drawn["item"].to_numpy()
    remoteness = np.array(list(REMOTENESS.values()))[drawn["region"].to_numpy()]
    route = {"distance": x.distance(drawn["distance_km"].to_numpy()), "remoteness": remoteness}
    weekday = (np.floor(day) + shop.options.start.weekday()) % 7
    log_days = shop.mechanics.score(
        "delivery",
        **route,
        weight=x.weight(shop.items.weight_g[item]),
        weekend=(weekday >= 4).astype(float),
        season=x.season(day + shop.options.start.timetuple().tm_yday),
    )
    log_days = log_days + x.DELIVERY_NOISE * generator.normal(size=len(day))
    taken = np.expm1(np.clip(log_days, 0.3, 4.5))
    quoted = np.expm1(np.clip(shop.mechanics.score("delivery", **route), 0.3, 4.5))
    promised = np.ceil(_PROMISE * quoted)
    return drawn.with_columns(promised_days=promised, delivery_days=taken, delay_days=taken - promised)


def _follow_up(shop: Shop, delivered: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Add how each shopper takes it: displeased, stars, sent back, comes back."""
    n, item = len(delivered), delivered["item"].to_numpy()
    cost = x.price(delivered["unit_price"].to_numpy())
    complexity, score = shop.items.of_category("complexity")[item], shop.mechanics.score
    bad = happens(
        score(
            "bad_review",
            delay=x.delay(delivered["delay_days"].to_numpy()),
            days=x.days_taken(np.log1p(delivered["delivery_days"].to_numpy())),
            price=cost,
            grade=shop.items.grade[item].astype(float),
            complexity=complexity,
        ),
        generator,
    )
    displeased = bad.astype(float)
    returned = score("returned", bad=displeased, price=cost, complexity=complexity)
    before = np.minimum(delivered["orders_before"].to_numpy(), 2).astype(float)
    loyalty = shop.items.of_category("loyalty")[item]
    back = score("rebuy", bad=displeased, loyalty=loyalty, price=cost, orders_before=before)
    return delivered.with_columns(
        bad=bad,
        stars=np.where(bad, _stars(True, n, generator), _stars(False, n, generator)),
        reviewed=generator.random(n) < 0.85,
        returned=happens(returned, generator),
        comes_back=happens(back, generator) & ~delivered["cancelled"].to_numpy(),
    )


def _stars(displeased: bool, n: int, generator: np.random.Generator) -> Floats:
    stars, shares = _STARS[displeased]
    return generator.choice(np.array(stars, dtype=float), n, p=shares)
