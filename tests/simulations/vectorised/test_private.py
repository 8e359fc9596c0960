"""A private cohort ends where its merchants would have ended one by one: same draws, bounds and noise."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from client.private.noise import SeededNoise
from client.private.training import train_private
from shared_model.parameters import load, take
from shared_model.privacy.plan import JOINT, Plan
from shared_model.schema import Federation, Retrieval, Task
from simulations.vectorised.cohort import Entrant, trained
from simulations.vectorised.draws import sizes_of_noise
from simulations.vectorised.table import Table
from tests.client.private.rows import group, plan

from . import test_plain
from .made_up import BOTTOMS, contract, shop
from .test_plain import Parameters, drawing_of, everything, furthest, model_of, run, stream

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


def in_turn(agreed: Plan) -> Any:
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
            train_private(model, all_tasks(federation, table), federation, agreed, noise)
            found.append(take(model, [name for name, _ in model.named_parameters()]))
        return found

    return engine


def together(agreed: Plan) -> Any:
    def engine(
        federation: Federation,
        shops: Sequence[Table],
        shared: Parameters,
        local: list[Parameters],
        number: int,
    ) -> list[Parameters]:
        drawing = drawing_of(federation, tasks_of(federation))
        drawing.plan = agreed
        drawing._sizes = sizes_of_noise(drawing.model, agreed, drawing.tasks, federation)
        entrants = []
        for merchant, table in enumerate(shops):
            noise = SeededNoise(stream(merchant, number))
            draw = drawing.private(all_tasks(federation, table), noise)
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
