"""Markets to simulate, by name.

A scenario declares one in its `[market]` table: `kind` names it and the other keys are its options.
"""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import Field

from .. import scenarios
from ..market import Market
from ..scenarios.options import ScenarioMarket
from . import aliexpress, olist, online_retail, online_shoppers, synthetic, synthetic_tables, table
from .aliexpress import AliExpressMarket
from .olist import OlistMarket
from .online_retail import OnlineRetailMarket
from .online_shoppers import OnlineShoppersMarket
from .synthetic import SyntheticMarket
from .synthetic_tables import SyntheticTablesMarket
from .table import TableMarket

__all__ = [
    "MADE_UP",
    "READERS",
    "READ_FROM_A_FOLDER",
    "AliExpressMarket",
    "MarketOptions",
    "OlistMarket",
    "OnlineRetailMarket",
    "OnlineShoppersMarket",
    "ScenarioMarket",
    "SyntheticMarket",
    "SyntheticTablesMarket",
    "TableMarket",
    "read",
]

MarketOptions = Annotated[
    SyntheticMarket
    | SyntheticTablesMarket
    | OlistMarket
    | OnlineRetailMarket
    | OnlineShoppersMarket
    | AliExpressMarket
    | ScenarioMarket
    | TableMarket,
    Field(discriminator="kind"),
]

READERS: dict[str, Callable[[Any, Path], Market]] = {
    "synthetic": synthetic.read,
    "synthetic_tables": synthetic_tables.read,
    "olist": olist.read,
    "online_retail": online_retail.read,
    "online_shoppers": online_shoppers.read,
    "aliexpress": aliexpress.read,
    "scenario": scenarios.read,
    "table": table.read,
}
"""Kind of market -> function of its options and of the folder that relative paths start from."""

_OPTIONS: dict[str, type] = {
    options.__dataclass_fields__["kind"].default: options for options in get_args(get_args(MarketOptions)[0])
}
READ_FROM_A_FOLDER = frozenset(
    kind for kind, options in _OPTIONS.items() if "directory" in {field.name for field in fields(options)}
)
"""Kinds of markets whose original data lie in a folder that somebody names."""
MADE_UP = frozenset(_OPTIONS) - READ_FROM_A_FOLDER
"""Kinds of markets that make their own data."""


def read(options: MarketOptions, base: Path = Path()) -> Market:
    """Return the market that `options` describe; relative paths in them start from `base`.

    Raises:
        DataError: The original data are missing; says where to download them.
        ConfigError: The options name something that the data do not hold.
    """
    return READERS[options.kind](options, base)
