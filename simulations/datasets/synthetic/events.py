"""Draw the visits to one synthetic shop: sessions, what was looked at, advertisements.

Sessions are drawn until every order has one: those that end in a purchase are the orders' own, at the time
and by the shopper of the order; the others are visits without a purchase.
"""

from datetime import datetime, time

import numpy as np
import polars as pl

from . import mechanics as x
from .mechanics import happens
from .orders import Shop

CHANNELS: dict[str, float] = {"direct": 0.8, "email": 1.0, "search": 0.2, "social": -1.0, "ads": -0.6}
"""Where a visit comes from -> how much its visitors mean to buy."""

DEVICES: dict[str, float] = {"desktop": 1.0, "tablet": 0.0, "phone": -1.0}
"""Device -> its value as a predictor."""

_KNOWN_VISITOR = 0.4
"""Share of visits without a purchase whose shopper is logged in."""


def export_events(
    shop: Shop, drawn: pl.DataFrame, generator: np.random.Generator, *, prefix: str
) -> pl.DataFrame:
    """Return the canonical events of a shop.

    Args:
        shop: The shop.
        drawn: See `draw_orders`.
        generator: Source of every draw.
        prefix: Of every id, so that no two merchants share one.
    """
    sessions = _give_orders(shop, _sessions(shop, len(drawn), generator), drawn, generator)
    events = pl.concat([_clicks(sessions), _advertisements(shop, sessions, generator)])
    start = datetime.combine(shop.options.start, time.min)
    when = pl.col("began") * 86_400 + pl.col("offset")
    return events.sort("began", "session", "offset").select(
        event_ts=pl.lit(start).dt.cast_time_unit("us") + pl.duration(seconds=when.round()),
        event_type="event_type",
        session_id=prefix + pl.format("s{}", "session"),
        customer_id=pl.when(pl.col("shopper") >= 0).then(prefix + pl.format("c{}", "shopper")),
        item_id=prefix + pl.format("i{}", "item"),
        channel="channel",
        device="device",
    )


def _sessions(shop: Shop, orders: int, generator: np.random.Generator) -> pl.DataFrame:
    """Sessions in the order of their draw, up to the one that gives the last order its session."""
    n = 12 * orders + 50
    channel, device = generator.integers(len(CHANNELS), size=n), generator.integers(len(DEVICES), size=n)
    views, carts = 1 + generator.poisson(2.0, n), generator.binomial(2, 0.15, n)
    intent = np.array(list(CHANNELS.values()))[channel]
    bought = happens(
        shop.mechanics.score(
            "session_purchase",
            intent=intent,
            device=np.array(list(DEVICES.values()))[device],
            views=(views - 3) / 1.5,
            cart=np.minimum(carts, 1).astype(float),
        ),
        generator,
    )
    kept = np.cumsum(bought) - bought < orders
    frame = pl.DataFrame(
        {
            "channel": np.array(list(CHANNELS))[channel],
            "device": np.array(list(DEVICES))[device],
            "views": views,
            "carts": carts,
            "intent": intent,
            "bought": bought,
        }
    )
    return frame.filter(kept)


def _give_orders(
    shop: Shop, sessions: pl.DataFrame, drawn: pl.DataFrame, generator: np.random.Generator
) -> pl.DataFrame:
    """Add to each session its beginning (in days), shopper (-1 for a stranger) and item."""
    n, bought = len(sessions), sessions["bought"].to_numpy()
    order = generator.permutation(len(drawn))[: bought.sum()]
    began = generator.uniform(0, shop.options.days, n)
    shopper = np.where(
        generator.random(n) < _KNOWN_VISITOR, generator.choice(drawn["shopper"].to_numpy(), n), -1
    )
    launched = np.argsort(shop.items.launch_day, kind="stable")
    available = np.searchsorted(shop.items.launch_day[launched], began, side="right")
    item = launched[np.floor(generator.random(n) * available).astype(np.int64)]
    length = _purchase_offset(sessions)
    shopper[bought] = drawn["shopper"].to_numpy()[order]
    item[bought] = drawn["item"].to_numpy()[order]
    began[bought] = drawn["day"].to_numpy()[order] - length[bought] / 86_400
    return sessions.with_columns(began=began, shopper=shopper, item=item, length=length).with_row_index(
        "session"
    )


def _purchase_offset(sessions: pl.DataFrame) -> x.Floats:
    """Seconds from the beginning of a session to its purchase, if there is one."""
    return np.asarray(40.0 * sessions["views"].to_numpy() + 30.0 * sessions["carts"].to_numpy() + 60.0)


def _clicks(sessions: pl.DataFrame) -> pl.DataFrame:
    """Views every 40 s, then carts every 30 s, then the purchase."""
    views = _repeated(sessions, "views", "view", first=pl.lit(0.0), step=40.0)
    carts = _repeated(sessions, "carts", "add_to_cart", first=40.0 * pl.col("views"), step=30.0)
    purchases = sessions.filter("bought").with_columns(event_type=pl.lit("purchase"), offset="length")
    return pl.concat([views, carts, purchases.select(views.columns)])


def _repeated(sessions: pl.DataFrame, times: str, event: str, *, first: pl.Expr, step: float) -> pl.DataFrame:
    """As many events of each session as its column `times` says."""
    numbered = sessions.with_columns(number=pl.int_ranges(0, times)).filter(pl.col(times) > 0)
    return numbered.explode("number").select(
        "session", "began", "shopper", "item", "channel", "device",
        event_type=pl.lit(event),
        offset=first + step * pl.col("number"),
    )  # fmt: skip


def _advertisements(shop: Shop, sessions: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Half of the sessions show an advertisement of their item after 15 s; a click follows 10 s later."""
    shown = sessions.filter(pl.Series(generator.random(len(sessions)) < 0.5))
    item = shown["item"].to_numpy()
    devices = np.array([DEVICES[device] for device in shown["device"]])
    log_odds = shop.mechanics.score(
        "ad_click",
        intent=shown["intent"].to_numpy(),
        device=devices,
        price=x.price(shop.items.list_price[item]),
        grade=shop.items.grade[item].astype(float),
    )
    columns = ("session", "began", "shopper", "item", "channel", "device")
    seen = shown.select(*columns, event_type=pl.lit("ad_impression"), offset=pl.lit(15.0))
    clicked = shown.filter(pl.Series(happens(log_odds, generator)))
    return pl.concat([seen, clicked.select(*columns, event_type=pl.lit("ad_click"), offset=pl.lit(25.0))])
