"""From drawn orders to the tables that a shop exports."""

from datetime import datetime, time

import numpy as np
import polars as pl

from .catalogue import REMOTENESS
from .orders import Shop

_PAYMENT = (("card", "wallet", "transfer", "invoice"), (0.6, 0.2, 0.1, 0.1))
_DELIVERED = ("shipped_ts", "delivered_ts")
_REVIEWED = ("review_score", "review_ts")
_DAY = pl.duration(days=1)


def export_orders(
    shop: Shop,
    drawn: pl.DataFrame,
    generator: np.random.Generator,
    *,
    prefix: str,
    deliveries: bool = True,
    reviews: bool = True,
) -> pl.DataFrame:
    """Return the canonical order lines of a shop as known at the end of its history.

    Args:
        shop: The shop.
        drawn: See `draw_orders`.
        generator: Source of payment types, second lines and the times of reviews and returns.
        prefix: Of every id, so that no two merchants share one.
        deliveries: Export when orders were shipped and arrived.
        reviews: Export reviews.
    """
    n = len(drawn)
    regions = np.array(list(REMOTENESS))
    weight = shop.items.weight_g[drawn["item"].to_numpy()]
    kinds, shares = _PAYMENT
    days = pl.col("day")
    arrival = pl.when(~pl.col("cancelled")).then(days + pl.col("delivery_days"))
    lines = drawn.with_row_index("order").select(
        order_id=prefix + pl.format("o{}", "order"),
        order_ts=_moment(shop, days),
        customer_id=prefix + pl.format("c{}", "shopper"),
        item_id=prefix + pl.format("i{}", "item"),
        quantity="quantity",
        unit_price="unit_price",
        status=pl.when("cancelled").then(pl.lit("cancelled")).otherwise(pl.lit("paid")),
        currency=pl.lit("EUR"),
        shipping=(3 + 0.004 * pl.col("distance_km") + pl.Series(weight) * 0.0006).round(2),
        country=pl.lit("ZZ"),
        region=pl.Series(regions[drawn["region"].to_numpy()]),
        merchant_region=pl.lit(regions[shop.places.home]),
        distance_km="distance_km",
        payment_type=pl.Series(generator.choice(kinds, n, p=shares)),
        installments=pl.Series(1 + generator.binomial(3, 0.1, n)),
        promised_ts=_moment(shop, days + pl.col("promised_days")),
        ship_by_ts=_moment(shop, days + 2),
        shipped_ts=_moment(shop, pl.when(~pl.col("cancelled")).then(days + 0.3 * pl.col("delivery_days"))),
        delivered_ts=_moment(shop, arrival),
        review_score=pl.when("reviewed").then("stars"),
        review_ts=_moment(shop, arrival + 0.5 + pl.Series(generator.exponential(1.5, n))),
        returned=pl.when(~pl.col("cancelled")).then("returned"),
        return_ts=_moment(
            shop, pl.when("returned").then(arrival + 2 + pl.Series(generator.uniform(0, 18, n)))
        ),
    )
    lines = _known_by(lines, datetime.combine(shop.options.end, time.min))
    lines = _second_lines(shop, lines, drawn, generator, prefix=prefix)
    hidden = (() if deliveries else _DELIVERED) + (() if reviews else _REVIEWED)
    return lines.drop(hidden)


def _moment(shop: Shop, days: pl.Expr) -> pl.Expr:
    """Days since the start of the history, as UTC time to the second."""
    start = datetime.combine(shop.options.start, time.min)
    return pl.lit(start).dt.cast_time_unit("us") + pl.duration(seconds=(days * 86_400).round())


def _known_by(lines: pl.DataFrame, export: datetime) -> pl.DataFrame:
    """Blank every outcome that lies after the export."""
    written = pl.col("review_score").is_not_null() & (pl.col("review_ts") < export)
    arrived = pl.col("delivered_ts") < export
    return lines.with_columns(
        shipped_ts=pl.when(pl.col("shipped_ts") < export).then("shipped_ts"),
        delivered_ts=pl.when(arrived).then("delivered_ts"),
        review_score=pl.when(written).then("review_score"),
        review_ts=pl.when(written).then("review_ts"),
        returned=pl.when(arrived).then(pl.col("returned") & (pl.col("return_ts") < export).fill_null(False)),
        return_ts=pl.when(pl.col("return_ts") < export).then("return_ts"),
    )


def _second_lines(
    shop: Shop, lines: pl.DataFrame, drawn: pl.DataFrame, generator: np.random.Generator, *, prefix: str
) -> pl.DataFrame:
    """Give one order in eight a second line: another item of the catalogue on the same order."""
    chosen = np.flatnonzero(generator.random(len(lines)) < 0.125)
    launched = np.argsort(shop.items.launch_day, kind="stable")
    available = np.searchsorted(
        shop.items.launch_day[launched], drawn["day"].to_numpy()[chosen], side="right"
    )
    item = launched[np.floor(generator.random(len(chosen)) * available).astype(np.int64)]
    second = lines[chosen].with_columns(
        item_id=pl.Series([f"{prefix}i{i}" for i in item], dtype=pl.String),
        unit_price=pl.Series(shop.items.list_price[item]),
        quantity=pl.lit(1, dtype=lines.schema["quantity"]),
        shipping=pl.lit(0.0),
    )
    return pl.concat([lines, second]).sort("order_ts", "order_id", maintain_order=True)
