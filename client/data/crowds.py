"""Many persons under one key: guests who share a placeholder, such as customer 0.

For the proof they are one shopper together, and the others are protected as promised. But hardly any of what
the crowd bought trains, "ordered before" is nonsense for it, and each one in it is hidden half as well: with
it or without it, what the crowd adds to a step may turn round.

Notation: N rows that belong to shoppers.
"""

import numpy as np
from numpy.typing import NDArray

from client.config import MerchantConfig
from client.merchant_file import ShopTable

SHARE = 0.05
"""One shopper with more than this share of all rows is hardly one person ..."""
FEWEST = 50
"""... where it has so many rows at least; a shop that just began has few shoppers."""


def crowd_share(units: NDArray[np.generic]) -> float:
    """Return the share of the rows that belong to one unit which is hardly one person; 0 where there is none.

    Args:
        units: Of each row, shape (N,).

    >>> crowd_share(np.repeat([0, 1, 2, 3], [60, 20, 20, 20]))
    0.5
    >>> crowd_share(np.arange(100))
    0.0
    """
    most = int(np.unique(units, return_counts=True)[1].max(initial=0))
    return most / len(units) if most >= FEWEST and most > SHARE * len(units) else 0.0


def warning(share: float, config: MerchantConfig) -> str:
    """Return what to tell the merchant, and only the merchant, about a crowd; it names no key."""
    return (
        f"{share:.0%} of the rows belong to one shopper by {_column(config)}. Where that is a "
        "placeholder of all guests, such as 0, empty the column for them: each of their orders is then a "
        "shopper of its own. As it is, all of them together count as one"
    )


def _column(config: MerchantConfig) -> str:
    """Name the column that holds shoppers' keys, as the merchant's own export calls it."""
    if config.table is not None:
        return f"{config.table.unit} in [table]"
    tables = {name: table for name, table in config.shop_tables.items() if name in ("orders", "events")}
    return " and ".join(f"{_own_name(table)} in [{name}]" for name, table in tables.items())


def _own_name(table: ShopTable) -> str:
    return table.rename.get("customer_id", "customer_id")
