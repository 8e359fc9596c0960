"""Together or one after another: decided by the contract and by sizes, and said in words."""

from typing import Any

import pytest

from shared_model.schema import Federation
from simulations.engines import Engine
from simulations.vectorised.choice import Choice, Size, choose, cohort_size, obstacle, predicted_gain, size_of
from simulations.vectorised.structure import Structure

from .made_up import contract


def structure(federation: Federation) -> Structure:
    return Structure(tasks=tuple(federation.tasks.items()))


def size(federation: Federation) -> Size:
    return size_of(structure(federation).model(federation))


def chosen(engine: Engine, federation: Federation, merchants: int) -> Choice:
    return choose(engine, federation, why_not(federation), size(federation), merchants)


def why_not(federation: Federation) -> str | None:
    return obstacle(federation, structure(federation).model(federation))


@pytest.mark.parametrize(
    ("local", "says"),
    [
        ({"conflict": "pcgrad"}, "local.conflict = pcgrad"),
        ({"weighting": "gradnorm"}, "local.weighting = gradnorm"),
        ({"meta": {"method": "anil"}}, "local.meta"),
        ({"optimizer": "adam", "weight_decay": 0.1}, "weight decay with adam"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_trained_together_is_named(local: dict[str, Any], says: str) -> None:
    assert says in str(why_not(contract(local=local)))


@pytest.mark.parametrize("bottom", ["wide", "shared_bottom", "mmoe", "ple", "cascade", "task_embedding"])
def test_every_bottom_can_be_trained_together(bottom: str) -> None:
    assert why_not(contract(bottom)) is None


def test_what_cannot_be_done_together_is_not_even_where_it_was_asked_for() -> None:
    federation = contract(local={"conflict": "pcgrad"})
    assert not chosen("vectorised", federation, 64).together


def test_even_one_merchant_gains_where_its_model_is_small() -> None:
    assert chosen("auto", contract(), 1).together
    assert not chosen("auto", wide(1024, optimizer="adam"), 1).together


def wide(width: int, **local: Any) -> Federation:
    return contract(federation={"expected_batch": 64}, bottom={"hidden": [width, width]}, local=local)


def test_the_wider_the_layers_the_less_is_gained() -> None:
    gains = [gain(wide(width)) for width in (16, 64, 256, 1024)]
    assert gains == sorted(gains, reverse=True)


def gain(federation: Federation) -> float:
    return predicted_gain(federation, size(federation), 20)


@pytest.mark.parametrize("local", [{"optimizer": "adam"}, {"proximal": 0.5}, {"weight_decay": 0.1}], ids=str)
def test_wide_layers_gain_nothing_where_a_cohort_makes_gradients(local: dict[str, Any]) -> None:
    assert gain(wide(1024)) > 1.05 > gain(wide(1024, **local))


def test_cohorts_of_big_models_are_small() -> None:
    small, big = contract(), contract(bottom={"hidden": [256, 256]})
    assert cohort_size(small, size(small)) == 64
    assert cohort_size(big, size(big)) == 16


def test_the_more_items_there_are_the_less_is_gained() -> None:
    federation = contract(tasks={"next": {"kind": "retrieval"}}, bottom={"hidden": [64, 64]})
    whole = size_of(structure(federation).model(federation), ["next"])
    gains = [
        predicted_gain(federation, whole.with_items({"next": n}, 50), 20) for n in (64, 512, 4096, 32768)
    ]
    assert gains == sorted(gains, reverse=True)


def test_no_cohort_is_so_large_that_its_scores_do_not_fit() -> None:
    federation = contract(tasks={"next": {"kind": "retrieval"}})
    whole = size_of(structure(federation).model(federation), ["next"])
    assert cohort_size(federation, whole.with_items({"next": 1 << 15}, 64)) == 4  # 2 ** 23 scores


def test_under_privacy_a_choice_among_items_trains_at_home_and_stops_no_cohort() -> None:
    privacy = {"epsilon": 8.0, "delta": 1e-6}
    tiers = {"any": {"shoppers": 100, "weight": 1.0}}
    federation = contract(tasks={"next": {"kind": "retrieval"}}, privacy=privacy, tiers=tiers)
    assert why_not(federation) is None
