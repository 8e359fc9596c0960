"""A shop in which no shopper's rows say anything about another's.

Private training clips what each unit contributes. That protects a shopper only where, without that shopper,
the rows of all other units stay exactly as they are. The tables are read and cleaned as for `shop.load`; this
is what is done otherwise, or why it need not be:

* Lines of one order that belong to different shoppers are different orders; so are the parts of a session.
  What nobody put a name to belongs to the first shopper who is named in the session.
* Where the tables end is not asked of the last row: they are taken to be complete until validation begins,
  and where that is the merchant's file says.
* Each shopper counts for one item only (`item_window.first_items`), and an item's rows depend on the lines
  that count for it and on nothing else.
* Trailing columns are left out; noised ones take their place (`statistics.py`).
* Reading, typing and dropping a line looks at that line alone. A table that cannot be read (several
  currencies, too many unreadable values) is an error: nothing is released then.
* The items table describes the assortment, which is the merchant's own and not a shopper's. One read from
  order lines must say the same of an item whoever bought it, but for its list price. Only sessions read that,
  so with sessions such a table is refused (`private_checks.check_private_items`).
* Rows stand in the order of time, then of the export; nothing looks at a row's position but to choose among
  the rows of one unit.

With `unit = "record"` a record is an order or a session with all it holds. Two records of one shopper are two
units, so nobody is known again: there is no history, and whether somebody comes back has no label.
"""

import polars as pl

from client.config import MerchantConfig
from shared_model.schema import Privacy

from . import shop
from .rows.shop import Shop, in_order
from .split import Bounds

_SHOPPER = pl.col("customer_id").cast(pl.UInt64)


def load(config: MerchantConfig, privacy: Privacy, split: Bounds) -> Shop:
    """Return the shop of the merchant's tables; every unit has what it had before, but on its own.

    Raises:
        DataError: A table cannot be read.
    """
    frames = shop.read_tables(config).frames
    if privacy.unit == "record":
        nobody = pl.lit(None, pl.UInt64).alias("customer_id")
        frames |= {name: frames[name].with_columns(nobody) for name in ("orders", "events")}
    frames["orders"] = separate_orders(frames["orders"])
    frames["events"] = separate_sessions(in_order(frames["events"], "event_ts"))
    return shop.shop_of(frames, timezone=config.timezone, split=split, end=split.validation_from)


def separate_orders(orders: pl.DataFrame) -> pl.DataFrame:
    """Return canonical orders whose ids tell shoppers apart who share an order."""
    return orders.with_columns(order_id=pl.struct("order_id", _SHOPPER).hash())


def separate_sessions(events: pl.DataFrame) -> pl.DataFrame:
    """Return canonical events whose session ids tell shoppers apart who share a session.

    Args:
        events: In the order of time.
    """
    owner = _SHOPPER.drop_nulls().first().over("session_id")
    return events.with_columns(session_id=pl.struct("session_id", pl.coalesce(_SHOPPER, owner)).hash())
