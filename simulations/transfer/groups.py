"""Sources and targets of a transfer matrix: merchants one by one, or groups of them."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Literal, get_args

from shared_model.errors import ConfigError

from ..market import Market, MerchantTables

By = Literal["merchant", "group", "category"]
FEW = 12
"""A market of at most so many merchants has its matrix merchant by merchant."""
OTHERS = "others"
"""Merchants whose main category is nobody else's."""


def by_default(market: Market) -> By:
    """Return how merchants are put together where nobody asked: one by one if few, else by size or kind."""
    return "merchant" if len(market.merchants) <= FEW else "group"


def groups_of(market: Market, by: By) -> dict[str, tuple[str, ...]]:
    """Return the names of every group's merchants, groups and merchants in the market's order.

    Args:
        market: Who sells.
        by: `merchant`: each by itself. `group`: as the market groups them, mostly by size. `category`:
    by what
            most of a merchant's items are; those whose category is nobody else's are `others`.

    Raises:
        ConfigError: The items have no category, or all merchants are in one group.
    """
    named = {name: _NAMES[by](name, tables) for name, tables in market.merchants.items()}
    if by == "category":
        times = Counter(named.values())
        named = {name: group if times[group] > 1 else OTHERS for name, group in named.items()}
    found: dict[str, tuple[str, ...]] = {}
    for name, group in named.items():
        found[group] = (*found.get(group, ()), name)
    if len(found) < 2:
        rest = [other for other in get_args(By) if other != by]
        raise ConfigError("fedbazaar-sim transfer", "--by", by, f"{' or '.join(rest)}: here it is one group")
    return found


def _of_itself(name: str, tables: MerchantTables) -> str:
    del tables
    return name


def _of_the_market(name: str, tables: MerchantTables) -> str:
    del name
    return tables.group or tables.tier


def _main_category(name: str, tables: MerchantTables) -> str:
    if tables.items is None or "category" not in tables.items.columns:
        raise ConfigError(
            "fedbazaar-sim transfer",
            "--by",
            "category",
            f"group or merchant: {name}'s items have no category",
        )
    counted = Counter(tables.items["category"].drop_nulls().to_list())
    return min(counted, key=lambda category: (-counted[category], category), default=OTHERS)


_NAMES: dict[By, Callable[[str, MerchantTables], str]] = {
    "merchant": _of_itself,
    "group": _of_the_market,
    "category": _main_category,
}


def sizes(groups: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Return the groups' names with how many merchants are in them, where there are several.

    >>> sizes({"books": ("a", "b"), "c": ("c",)})
    {'books': 'books (2)', 'c': 'c'}
    """
    return {name: f"{name} ({len(found)})" if len(found) > 1 else name for name, found in groups.items()}
