"""Olist: 40 sellers of a real Brazilian marketplace, 2017 and 2018.

Every seller becomes a merchant that exports its own lines as they are, in the original columns; the client
reads them with its preset `olist`.

Source: Brazilian E-Commerce Public Dataset by Olist, https://www.kaggle.com/datasets/olistbr/brazilian-ecommerce
"""

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic.dataclasses import dataclass

from shared_model import declared
from shared_model.declared import CLOSED
from shared_model.errors import ConfigError

from ..market import Market, MerchantTables
from . import originals

FILE = "olist_lines.parquet"
VALIDATION_FROM, TEST_FROM = date(2018, 4, 1), date(2018, 5, 1)
WINDOW = (datetime(2017, 1, 1), datetime(2018, 8, 29))
"""Purchases of the study: from the first moment, before the second; there are few outside it."""

STUDY = Path(__file__).parents[1] / "experiments" / "olist_sellers.toml"
OBTAIN = (
    "Download Kaggle's olistbr/brazilian-ecommerce (licence CC BY-NC-SA 4.0) and join its tables into "
    f"{FILE} as docs/datasets.md says."
)

_ORDER_COLUMNS = (
    "order_id", "order_item_id", "merchant_id", "customer_id", "product_id", "order_status",
    "purchase_ts", "approved_ts", "carrier_ts", "delivered_ts", "estimated_ts", "shipping_limit_ts",
    "price", "freight", "payment_type", "installments", "payment_value",
    "customer_state", "merchant_state", "distance_km", "review_score",
)  # fmt: skip
_ITEM_COLUMNS = ("category", "name_len", "desc_len", "photos", "weight_g", "volume_cm3")
COLUMNS = _ORDER_COLUMNS + _ITEM_COLUMNS

LEAST = {"test": 40, "validation": 5, "bad": 6}
"""A seller of the study has at least so many test and validation orders, and so many bad reviews in test."""

STRATA = {"large": (450, 10**9), "medium": (130, 450), "small": (30, 130)}
"""Training orders of each size group: from, and less than."""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class OlistMarket:
    """Which sellers, from which folder.

    Attributes:
        directory: Folder that holds `olist_lines.parquet`.
        groups: Only these size groups.
        sellers: TOML file with lists of ids `large`, `medium` and `small`; empty for the 40 of the study.
    """

    kind: Literal["olist"] = "olist"
    directory: str
    groups: tuple[Literal["large", "medium", "small"], ...] = ("large", "medium", "small")
    sellers: str = ""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Sellers:
    """Ids of sellers by size group; all of `olist_sellers.toml`."""

    large: tuple[int, ...] = ()
    medium: tuple[int, ...] = ()
    small: tuple[int, ...] = ()


def read(options: OlistMarket, base: Path) -> Market:
    """Return the market of the chosen sellers; paths in `options` are relative to `base`.

    Raises:
        DataError: `olist_lines.parquet` is missing or is another file.
        ConfigError: The list of sellers is not valid, or names a seller that the data do not hold.
    """
    listed = base / options.sellers if options.sellers else STUDY
    sellers = declared.load(Sellers, listed)
    chosen = {seller: group for group in options.groups for seller in getattr(sellers, group)}
    return from_lines(read_lines(base / options.directory), chosen, listed=listed)


def read_lines(directory: Path) -> pl.DataFrame:
    """Return the joined order lines in `directory`, all sellers, all times.

    Raises:
        DataError: `olist_lines.parquet` is missing or is another file.
    """
    return originals.read(directory, [FILE], COLUMNS, obtain=OBTAIN)


def from_lines(lines: pl.DataFrame, chosen: Mapping[int, str], *, listed: Path | str) -> Market:
    """Return the market of the `chosen` sellers, id -> size group.

    Args:
        lines: As `read_lines` returns them.
        chosen: Their groups are also their tiers.
        listed: Where they are listed; named in the error.

    Raises:
        ConfigError: `lines` hold no order of one of them in the study's window.
    """
    inside = lines.filter(_in_window())
    mine = inside.filter(pl.col("merchant_id").is_in(list(chosen)))
    of_seller = {int(str(key)): own for (key,), own in mine.partition_by("merchant_id", as_dict=True).items()}
    for seller, group in chosen.items():
        if seller not in of_seller:
            raise ConfigError(listed, group, seller, "ids of sellers with orders in the study's window")
    return Market(
        name="olist",
        merchants={
            f"olist-{seller:04d}": _merchant(of_seller[seller], group) for seller, group in chosen.items()
        },
        validation_from=VALIDATION_FROM,
        test_from=TEST_FROM,
        dropped={"outside the window": len(lines) - len(inside), "of other sellers": len(inside) - len(mine)},
    )


def eligible_sellers(lines: pl.DataFrame) -> dict[str, frozenset[int]]:
    """Return the sellers that could be in the study, by size group.

    Args:
        lines: As `read_lines` returns them.

    Returns:
        Ids under `large`, `medium` and `small` (see `LEAST` and `STRATA`).
    """
    orders = lines.filter(_in_window() & ~pl.col("order_status").is_in(["canceled", "unavailable"]))
    orders = orders.unique(["order_id", "merchant_id"], keep="first", maintain_order=True)
    training = pl.col("purchase_ts") < VALIDATION_FROM
    testing = pl.col("purchase_ts") >= TEST_FROM
    counts = orders.group_by("merchant_id").agg(
        training=training.sum(),
        validation=(~training & ~testing).sum(),
        test=testing.sum(),
        bad=(testing & (pl.col("review_score") <= 3)).sum(),
    )
    enough = counts.filter(*(pl.col(name) >= least for name, least in LEAST.items()))
    return {
        group: frozenset(
            enough.filter(pl.col("training").is_between(low, high, closed="left"))["merchant_id"]
        )
        for group, (low, high) in STRATA.items()
    }


def _in_window() -> pl.Expr:
    first, end = WINDOW
    return pl.col("purchase_ts").is_between(first, end, closed="left")


def _merchant(lines: pl.DataFrame, group: str) -> MerchantTables:
    """What one seller exports: its lines, and each of its products as last sold."""
    lines = lines.sort("purchase_ts", "order_id", "order_item_id")
    items = lines.select("product_id", "price", *_ITEM_COLUMNS).unique(
        "product_id", keep="last", maintain_order=True
    )
    return MerchantTables(
        orders=lines.select(_ORDER_COLUMNS), items=items, preset="olist", tier=group, group=group
    )
