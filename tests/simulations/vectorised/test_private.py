"""A private cohort ends where its merchants would have ended one by one: same draws, bounds and noise."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from client.private.noise import SeededNoise
from client.private.training import train_private
from shared_model.errors import PrivacyError
from shared_model.parameters import load, take
from shared_model.privacy.plan import JOINT, Plan
from shared_model.schema import Federation, Retrieval, Task
from simulations.vectorised.cohort import Entrant, trained
from simulations.vectorised.shops import memory_market
from simulations.vectorised.table import Table
from tests.client.private.rows import group, plan

from . import test_plain
from .made_up import BOTTOMS, contract, shop
from .test_plain import Parameters, drawing_of, everything, furthest, model_of, run, stream

View = Callable[[Federation, Table], Table]
QUIET = plan(groups=(group(JOINT, clipping_norm=0.7),), sampling_rate=0.4, steps=3, learning_rate=0.5)


def all_tasks(federation: Federation, table: Table) -> Table:
    """Private rows have all tasks that the file wants, with labels or without; no choice of an item."""
    nothing = torch.full((len(table.encoded),), float("nan"), dtype=torch.float64)
    labels = {t: table.encoded.labels.get(t, nothing) for t in tasks_of(federation) if t != "tags"}
    tags = table.encoded.labels.get("tags", nothing.unsqueeze(1).repeat(1, 2))
    encoded = type(table.encoded)(
        numeric=table.encoded.numeric, ids=table.encoded.ids, labels=labels | {"tags": tags}
    )
    return Table(encoded=encoded, tasks=tasks_of(federation), unit=table.unit, units=table.units)


def tasks_of(federation: Federation) -> dict[str, Task]:
    return {name: task for name, task in federation.tasks.items() if not isinstance(task, Retrieval)}


def as_it_is(federation: Federation, table: Table) -> Table:
    """A shop with some of the tasks."""
    return table


def in_turn(agreed: Plan, seen: View = all_tasks) -> Any:
    def engine(
        federation: Federation,
        shops: Sequence[Table],
        shared: Parameters,
        local: list[Parameters],
        number: int,
    ) -> list[Parameters]:
        found = []
        for merchant, table in enumerate(shops):
            model = model_of(federation, table.catalogues)
            load(model, {**shared, **local[merchant]})
            noise = SeededNoise(stream(merchant, number))
            train_private(model, seen(federation, table), federation, agreed, noise)
            found.append(take(model, [name for name, _ in model.named_parameters()]))
        return found

    return engine


def together(agreed: Plan, seen: View = all_tasks) -> Any:
    def engine(
        federation: Federation,
        shops: Sequence[Table],
        shared: Parameters,
        local: list[Parameters],
        number: int,
    ) -> list[Parameters]:
        drawing = drawing_of(federation, tasks_of(federation))
        drawing.plan = agreed
        entrants = []
        for merchant, table in enumerate(shops):
            noise = SeededNoise(stream(merchant, number))
            draw = drawing.private(seen(federation, table), noise)
            entrants.append(Entrant(draw=draw, local=local[merchant]))
        return everything(drawing, trained(drawing, shared, entrants), local)

    return engine


@pytest.mark.parametrize("bottom", BOTTOMS)
def test_without_noise_every_bottom_ends_where_the_loop_ends(bottom: str) -> None:
    federation = contract(bottom)
    assert furthest(run(in_turn(QUIET), federation, 2), run(together(QUIET), federation, 2)) < 1e-9


def test_heads_that_choose_among_own_items_stay_at_home_in_private_rounds() -> None:
    federation = contract("mmoe", tasks={"next": {"kind": "retrieval", "repeats": True}})
    assert furthest(run(in_turn(QUIET), federation, 2), run(together(QUIET), federation, 2)) < 1e-9


@pytest.mark.parametrize("bottom", ["wide", pytest.param("mmoe", marks=pytest.mark.slow)])
def test_without_noise_twenty_rounds_end_where_the_loop_ends(bottom: str) -> None:
    federation = contract(bottom)
    assert furthest(run(in_turn(QUIET), federation, 20), run(together(QUIET), federation, 20)) < 1e-6


def test_without_tables_the_noise_is_the_same_too() -> None:
    federation = contract("wide")
    agreed = plan(
        groups=tuple(group(t, clipping_norm=0.7, noise_multiplier=0.8) for t in federation.tasks),
        sampling_rate=0.4,
        steps=3,
    )
    one, other = run(in_turn(agreed), federation, 5), run(together(agreed), federation, 5)
    assert furthest(one, other) < 1e-6


@pytest.mark.parametrize("bottom", ["mmoe", "ple", "cascade"])
def test_shops_of_different_tasks_end_where_they_end_alone(bottom: str) -> None:
    federation = contract(bottom, local={"train_residuals": True})
    one, other = (run(way(QUIET, as_it_is), federation, 2) for way in (in_turn, together))
    assert furthest(one, other) < 1e-9


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_whoever_lacks_a_task_draws_no_noise_for_what_it_alone_trains(decay: float) -> None:
    federation = contract("wide", local={"train_residuals": True, "weight_decay": decay})
    agreed = plan(groups=(group(JOINT, clipping_norm=0.7, noise_multiplier=0.8),), sampling_rate=0.4, steps=3)
    one, other = (run(way(agreed, as_it_is), federation, 3) for way in (in_turn, together))
    assert furthest(one, other) < 1e-6


def test_shops_of_different_tasks_train_together() -> None:
    federation = contract(
        "wide", privacy={"epsilon": 1.0, "delta": 1e-5}, tiers={"any": {"shoppers": 9, "weight": 1}}
    )
    shops = memory_market(federation, {str(n): shop(federation, n, rows=5) for n in range(3)}, seed=0)
    assert len({frozenset(one.examples.tasks) for one in shops.values()}) > 1
    assert len({one.key for one in shops.values()}) == 1


@pytest.mark.parametrize("way", [in_turn, together])
def test_a_shop_without_tasks_is_refused(way: Any) -> None:
    federation = contract("wide")
    table = shop(federation, 0, rows=5)
    idle = Table(encoded=table.encoded, tasks={}, unit=table.unit, units=table.units)
    with pytest.raises(PrivacyError, match="at least one trained parameter"):
        way(QUIET, as_it_is)(federation, [idle], {}, [{}], 0)


def test_a_shopper_whose_numbers_overflow_adds_nothing_there_either(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_an_odd_row(federation: Federation, number: int, *, rows: int) -> Table:
        table = shop(federation, number, rows=rows)
        table.encoded.numeric[0, 1] = 1e200  # its square is infinite
        return table

    monkeypatch.setattr(test_plain, "shop", with_an_odd_row)
    federation = contract("mmoe")
    one, other = run(in_turn(QUIET), federation, 2), run(together(QUIET), federation, 2)
    assert all(bool(value.isfinite().all()) for value in other.values())
    assert furthest(one, other) < 1e-9
