"""Online Shoppers: 12,330 sessions of one real shop, split by traffic type or region.

There are no shop tables here, only one row per session with ready columns: a test of the second way in.

Source: Sakar, Polat, Katircioglu and Kastro (2018), UCI data set 468,
https://archive.ics.uci.edu/dataset/468/online+shoppers+purchasing+intention+dataset
"""

from pathlib import Path
from typing import Annotated, Literal

import polars as pl
from pydantic import Field
from pydantic.dataclasses import dataclass

from shared_model.declared import CLOSED

from ..market import Market, MerchantTables
from ..partitioners import by_key
from . import originals

FILES = (
    "online_shoppers_intention.parquet",
    "online_shoppers_intention.csv",
    "online_shoppers_intention.csv.gz",
)
OBTAIN = "Download UCI data set 468, Online Shoppers Purchasing Intention (licence CC BY 4.0)."

FEATURES: dict[str, str] = {
    "administrative": "Administrative",
    "administrative_seconds": "Administrative_Duration",
    "informational": "Informational",
    "informational_seconds": "Informational_Duration",
    "product_related": "ProductRelated",
    "product_related_seconds": "ProductRelated_Duration",
    "bounce_rate": "BounceRates",
    "exit_rate": "ExitRates",
    "special_day": "SpecialDay",
    "month": "Month",
    "operating_system": "OperatingSystems",
    "browser": "Browser",
    "region": "Region",
    "traffic_type": "TrafficType",
    "visitor_type": "VisitorType",
    "weekend": "Weekend",
}
"""Contract feature -> column. Not `PageValues`: it is computed from transactions and gives them away."""

LABELS: dict[str, str] = {"purchase": "Revenue"}
"""Contract task -> column."""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class OnlineShoppersMarket:
    """Which column splits the sessions into merchants.

    Attributes:
        directory: Folder that holds the file (`FILES`).
        by: Column whose values become merchants.
        minimum: Values with fewer sessions are left out.
    """

    kind: Literal["online_shoppers"] = "online_shoppers"
    directory: str
    by: Literal["TrafficType", "Region"] = "TrafficType"
    minimum: Annotated[int, Field(ge=1)] = 100


def read(options: OnlineShoppersMarket, base: Path) -> Market:
    """Return one merchant per value of `options.by`; `options.directory` is relative to `base`.

    Raises:
        DataError: The file is missing or is another file.
    """
    columns = [*FEATURES.values(), *LABELS.values()]
    return from_sessions(originals.read(base / options.directory, FILES, columns, obtain=OBTAIN), options)


def from_sessions(sessions: pl.DataFrame, options: OnlineShoppersMarket) -> Market:
    """Return the market of the given sessions (see `read`); they have no time, so it has no split dates."""
    sessions = sessions.with_columns(pl.col("Weekend", "Revenue").cast(pl.Int8))
    parts = by_key(sessions, options.by, minimum=options.minimum)
    return Market(
        name="online-shoppers",
        merchants={
            f"{options.by.lower()}-{value}": MerchantTables(
                table=part, columns=FEATURES, labels=LABELS, tier="small", group=options.by.lower()
            )
            for value, part in parts.items()
        },
        dropped={"of values that are too rare": len(sessions) - sum(map(len, parts.values()))},
    )
