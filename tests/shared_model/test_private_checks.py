"""What a private contract may not ask for: refused by name, with what it may."""

from collections.abc import Callable
from typing import Any, Literal

import pytest

from shared_model.errors import ConfigError
from shared_model.schema import parse_federation, with_labels
from tests.shared_model.privacy.test_plan import sampled, tables

Change = Callable[[dict[str, Any]], object]


def sampled_items(given: dict[str, Any]) -> None:
    given["federation"]["full_batch"] = False
    given["tiers"] = {"large": {"shoppers": 500, "weight": 1.0}}


def network_of_items(given: dict[str, Any]) -> None:
    given["bottom"] = {"architecture": "mmoe"}


def without_units(given: dict[str, Any]) -> None:
    del given["tasks"]["units"], given["privacy"]["tasks"]


def only_choosing(given: dict[str, Any]) -> None:
    without_units(given)
    given["tasks"] = {"next_item": {"kind": "retrieval"}}


def only_at_home(given: dict[str, Any]) -> None:
    given["tasks"] = {"units": given["tasks"]["units"]}
    given["privacy"]["tasks"] = {"units": {"labels": "at_home"}}


def group_without_a_prior(given: dict[str, Any]) -> None:
    given["privacy"]["tasks"]["next_item"] = {}


def labels_of_orders(given: dict[str, Any]) -> None:
    given["privacy"]["tasks"]["late"] = {"labels": "noised"}


def trailing(given: dict[str, Any]) -> None:
    given["features"] = {"lately": {"kind": "numeric", "column": "trailing_bad_reviews"}}


def decayed_network(given: dict[str, Any]) -> None:
    without_units(given)
    given["bottom"] = {"architecture": "shared_bottom"}
    given["local"] = {"weight_decay": 0.1}


def conflicts_in_opacus(given: dict[str, Any]) -> None:
    without_units(given)
    given["bottom"] = {"architecture": "shared_bottom"}
    given["local"] = {"conflict": "upgrad"}
    given["privacy"]["engine"] = "hooks"


def norms_of_a_network(given: dict[str, Any]) -> None:
    without_units(given)
    given["bottom"] = {"architecture": "shared_bottom"}
    given["local"] = {"weighting": "gradnorm"}


def group_of_a_network(given: dict[str, Any]) -> None:
    without_units(given)
    given["bottom"] = {"architecture": "shared_bottom"}
    given["privacy"]["tasks"] = {"late": {}}


def noised(**terms: Any) -> Change:
    def change(given: dict[str, Any]) -> None:
        given["tasks"]["more"] = given["tasks"]["units"] | {"horizon_days": 14}
        given["privacy"]["tasks"] = {
            "units": {"labels": "noised"},
            "more": {"labels": "noised"} | terms,
        }

    return change


def noised_days(given: dict[str, Any]) -> None:
    given["tasks"]["units"] = given["tasks"]["units"] | {"horizon_days": 30}
    given["privacy"]["tasks"]["units"] = {"labels": "noised"}


REFUSED: dict[str, tuple[Change, str, str]] = {
    "adam at the merchant": (
        lambda given: given.update(local={"optimizer": "adam"}), "local.optimizer", "server.optimizer",
    ),
    "meta-learning at the merchant": (
        lambda given: given.update(local={"meta": {"method": "anil"}}), "local.meta.method", "reptile",
    ),
    "weights from losses that fall": (
        lambda given: given.update(local={"weighting": "dwa"}), "local.weighting", "uncertainty",
    ),
    "single tasks in Opacus": (conflicts_in_opacus, "privacy.engine", "bookkeeping"),
    "weights from norms of gradients": (norms_of_a_network, "local.weighting", "fixed, or uncertainty"),
    "features across shoppers": (trailing, "privacy.statistics", "lately"),
    "statistics that nobody reads": (
        lambda given: given["privacy"].update(statistics=0.1), "privacy.statistics", "no feature",
    ),
    "sampled rows of items": (sampled_items, "federation.full_batch", "units"),
    "a network over rows of items": (network_of_items, "bottom.architecture", "wide"),
    "records of items": (
        lambda given: given["privacy"].update(unit="record"), "privacy.unit", "shopper",
    ),
    "a sampling rate beside full batches": (
        lambda given: given.update(tiers={"any": {"shoppers": 0, "weight": 1.0, "sampling_rate": 0.5}}),
        "tiers.any.sampling_rate", "1",
    ),
    "a delta of one over the shoppers": (
        lambda given: given.update(
            privacy={**given["privacy"], "delta": 0.002},
            tiers={"small": {"shoppers": 50, "weight": 1.0}, "large": {"shoppers": 500, "weight": 3.0}},
        ),
        "privacy.delta", "1 / 500",
    ),
    "nothing to train": (only_choosing, "tasks", "residual"),
    "nothing to train in rounds": (only_at_home, "tasks", "on shoppers' rows"),
    "a group for a task without a prior": (group_without_a_prior, "privacy.tasks.next_item", "late"),
    "rows that mix shoppers, without a choice": (
        lambda given: given["privacy"].update(tasks={}),
        "privacy.tasks.units.labels", "one shopper moves many rows of units",
    ),
    "labels by the week over days": (noised_days, "tasks.units.horizon_days", "multiple of 7"),
    "counts with two bounds": (noised(lines=3), "privacy.tasks.more.lines", "2, as for units"),
    "a shopper who would count twice": (
        noised(labels="one_product"), "privacy.tasks.units.labels", "as for more",
    ),
    "labels of rows that mix nobody": (labels_of_orders, "privacy.tasks.late.labels", "one shopper"),
    "a group of a network's task": (group_of_a_network, "privacy.tasks.late", "wide"),
    "decay of tables": (decayed_network, "local.weight_decay", "0"),
}  # fmt: skip


@pytest.mark.parametrize("change, key, allowed", REFUSED.values(), ids=list(REFUSED))
def test_it_is_refused_with_the_nearest_choice(change: Change, key: str, allowed: str) -> None:
    given = tables()
    change(given)
    with pytest.raises(ConfigError) as caught:
        parse_federation(given)
    assert caught.value.key == key
    assert allowed in caught.value.allowed


@pytest.mark.parametrize("change, key, allowed", list(REFUSED.values())[:2], ids=list(REFUSED)[:2])
def test_the_same_without_privacy_is_allowed(change: Change, key: str, allowed: str) -> None:
    given = tables()
    change(given)
    del given["privacy"]
    assert parse_federation(given).privacy is None


def test_a_sampled_tier_of_unknown_size_needs_a_rate() -> None:
    given = sampled()
    given["tiers"] = {"any": {"shoppers": 0, "weight": 1.0}}
    with pytest.raises(ConfigError, match=r"tiers\.any\.sampling_rate"):
        parse_federation(given)


def test_a_tier_that_releases_nothing_asks_for_no_smaller_delta() -> None:
    given = tables(delta=0.002)
    given["tiers"] = {
        "small": {"shoppers": 50, "weight": 1.0},
        "large": {"shoppers": 500, "weight": 3.0, "role": "receive"},
    }
    assert parse_federation(given).privacy is not None


def test_reptile_is_allowed_since_it_only_works_on_what_was_released() -> None:
    given = tables()
    given["server"] = {"optimizer": "reptile", "learning_rate": 1.0, "final_learning_rate": 0.1}
    assert parse_federation(given).server.optimizer == "reptile"


@pytest.mark.parametrize("labels", ["at_home", "noised"])
@pytest.mark.parametrize("change", [sampled_items, network_of_items])
def test_labels_that_are_noised_or_stay_at_home_ask_nothing_else_of_the_contract(
    change: Change, labels: Literal["at_home", "noised"]
) -> None:
    given = tables()
    change(given)
    given["privacy"]["tasks"] = {"units": {"labels": labels}}
    assert with_labels(parse_federation(given), labels) == ("units",)
