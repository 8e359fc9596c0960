"""A market to simulate: who sells in it, and with which tables.

A market is only data in memory. `simulations.partition.write` turns it into one folder per merchant, which
the client then reads as it reads any shop's files: nothing downstream knows that a merchant is simulated.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from shared_model.errors import DataError

TIERS: dict[str, int] = {"small": 0, "medium": 100, "large": 400}
"""Size classes that merchants of these markets declare: shoppers before `validation_from`, at least so many.

A contract for one of the markets declares tiers of these names that ask for no more.
"""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, kw_only=True)
class MerchantTables:
    """What one merchant holds: shop tables, or one ready table.

    Attributes:
        orders: One row per order line, in the columns of `preset`.
        items: One row per item, in the columns of `preset`.
        events: One row per event, in the columns of `preset`.
        table: Instead of the three: one row per example.
        preset: Which export the shop tables look like (`client/data/presets.py`).
        tier: A name in `TIERS`, declared in `merchant.toml`.
        domain: Declared in `merchant.toml`, for contracts with `[adaptation]`; empty for the tier.
        group: Kind of merchant that a report averages over; never written to the merchant's folder.
        tasks: Contract tasks it takes part in; none for all that its data support.
        columns: Ready table only: contract feature -> column.
        labels: Ready table only: task -> column.
        time: Ready table only: column with the time of a row; empty where rows have none.
        unit: Ready table only: column that says whose a row is; empty where each row is a unit of its own.

    Raises:
        DataError: There are neither orders nor a ready table, or both.
    """

    orders: pl.DataFrame | None = None
    items: pl.DataFrame | None = None
    events: pl.DataFrame | None = None
    table: pl.DataFrame | None = None
    preset: str = "canonical"
    tier: str = ""
    domain: str = ""
    group: str = ""
    tasks: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    time: str = ""
    unit: str = ""

    def __post_init__(self) -> None:
        shop = [name for name in ("orders", "items", "events") if getattr(self, name) is not None]
        if (self.table is not None) == bool(shop):
            found = ", ".join([*shop, "table"] if self.table is not None else shop) or "nothing"
            raise DataError(f"a merchant needs either shop tables or a ready table, got {found}")
        if shop and self.orders is None:
            raise DataError(f"a merchant with {' and '.join(shop)} needs orders too")

    @property
    def frames(self) -> dict[str, pl.DataFrame]:
        """The tables that exist, by the name of their section in `merchant.toml`."""
        named = {"orders": self.orders, "items": self.items, "events": self.events, "table": self.table}
        return {name: frame for name, frame in named.items() if frame is not None}


@dataclass(frozen=True, kw_only=True)
class Market:
    """Merchants that could federate, and the dates that split their rows.

    Attributes:
        name: Of the market.
        merchants: By name; a name is also the name of a folder.
        validation_from: Rows before this day train; None where rows have no time.
        test_from: Rows from this day test; None where rows have no time.
        folds: Instead of the dates: cross-validation by shopper with so many parts; 0 for none.
        fold: The part that tests.
        truth: Of a synthetic market, the coefficients that made it; empty for real data.
        dropped: Rows of the original that no merchant holds, by reason.

    Raises:
        DataError: A name is not usable as a folder, or the two dates are not in order.
    """

    name: str
    merchants: Mapping[str, MerchantTables]
    validation_from: date | None = None
    test_from: date | None = None
    folds: int = 0
    fold: int = 0
    truth: Mapping[str, object] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.merchants:
            if not _NAME.fullmatch(name):
                raise DataError(
                    f"merchant name {name!r} is not allowed; use lower-case letters, digits, dashes"
                )
        first, second = self.validation_from, self.test_from
        if (first is None) != (second is None) or (
            first is not None and second is not None and first >= second
        ):
            raise DataError(
                f"market {self.name}: validation_from is {first} and test_from is {second}; "
                "give both, the first earlier, or neither"
            )


def tier_of(shoppers: int) -> str:
    """Return the largest tier that asks for no more than `shoppers`.

    >>> tier_of(99), tier_of(100), tier_of(5000)
    ('small', 'medium', 'large')
    """
    return max((name for name, least in TIERS.items() if least <= shoppers), key=TIERS.__getitem__)
