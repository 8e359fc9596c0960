"""Sources and targets: merchants one by one, or put together."""

import polars as pl
import pytest

from shared_model.errors import ConfigError
from simulations.market import Market, MerchantTables
from simulations.transfer.groups import by_default, groups_of


def shop(categories: list[str] | None, tier: str = "small", group: str = "") -> MerchantTables:
    columns = {} if categories is None else {"category": categories}
    items = pl.DataFrame({"item_id": [f"i{n}" for n in range(len(categories or "x"))], **columns})
    return MerchantTables(orders=pl.DataFrame({"order_id": ["o"]}), items=items, tier=tier, group=group)


def market(**shops: MerchantTables) -> Market:
    return Market(name="town", merchants=shops)


def test_few_merchants_are_taken_one_by_one_and_many_in_groups() -> None:
    assert by_default(market(**{f"m{n}": shop(None) for n in range(12)})) == "merchant"
    assert by_default(market(**{f"m{n}": shop(None) for n in range(13)})) == "group"


def test_one_by_one_everybody_is_a_group() -> None:
    assert groups_of(market(a=shop(None), b=shop(None)), "merchant") == {"a": ("a",), "b": ("b",)}


def test_a_group_is_the_markets_or_the_tier() -> None:
    found = groups_of(market(a=shop(None, group="north"), b=shop(None), c=shop(None, group="north")), "group")
    assert found == {"north": ("a", "c"), "small": ("b",)}


def test_a_category_is_what_most_items_are() -> None:
    shops = {"a": shop(["toys", "toys", "books"]), "b": shop(["toys"]), "c": shop(["garden"])}
    assert groups_of(market(**shops), "category") == {"toys": ("a", "b"), "others": ("c",)}


def test_a_single_group_is_no_matrix() -> None:
    with pytest.raises(ConfigError, match="here it is one group"):
        groups_of(market(a=shop(["toys"]), b=shop(["toys"])), "category")


def test_items_without_category_are_said_to_have_none() -> None:
    with pytest.raises(ConfigError, match="a's items have no category"):
        groups_of(market(a=shop(None), b=shop(None)), "category")
