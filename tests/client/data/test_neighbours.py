"""One shopper removed, with everything derived from it: how far does what would be released move?

The whole way is taken, from two exports to what a round would release but for the noise. The noise is
calibrated to the distances that are claimed here, so these tests are what the privacy of shoppers rests on.
That they can fail is shown on the exact rows, which are not private and miss the bound by far.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from client.data.blocks import SENSITIVITY, SERIES
from client.data.counts import Counts
from client.data.dataset import Dataset, prepare
from client.data.examples import PrivateExamples
from client.data.private_build import read_counts
from client.data.private_rows import private_rows
from client.data.statistics import Statistics, exact_statistics
from client.private.noise import SeededNoise
from client.private.training import train_private
from shared_model.features import Batch
from shared_model.model import build
from shared_model.parameters import take
from shared_model.privacy.plan import JOINT, GroupPlan, Plan, plan_of
from shared_model.schema import Federation
from tests.client.data.markets import Market, Table, collector, market, pioneer, table
from tests.client.exports import SPLIT, contract, loaded

C = 0.2
"""So small that most units are clipped: then even a slight change of another unit's rows moves the sum."""
TOLERANCE = 1e-4
"""Released parameters are of type float32, and so is their change, which is up to 100 C."""
NUMBERS = {
    name: {"kind": "numeric", "transform": "signed_log1p"}
    for name in (
        "price", "weight_g", "quantity", "lines", "promised_days", "delivery_days", "delay_days",
        "orders_before",
        "days_since_last_order", "views", "cart_adds", "units_7d", "units_28d", "units_90d", "item_age_days",
        "trailing_delivery_days", "trailing_deliveries", "trailing_bad_reviews", "trailing_orders_28d",
    )
}  # fmt: skip
TABLES = {
    "category": {"kind": "categorical", "buckets": 8, "width": 2},
    "device": {"kind": "categorical", "buckets": 8, "width": 2},
    "history": {"kind": "sequence", "of": ["category"], "max_length": 3},
}
OF_SHOPPERS = {
    "late": {"kind": "binary", "library": "late"},
    "days": {"kind": "regression", "library": "delivery_days", "transform": "log1p"},
    "bad": {"kind": "binary", "library": "bad_review"},
    "again": {"kind": "binary", "library": "will_rebuy"},
    "value": {"kind": "regression", "library": "order_value", "transform": "log1p"},
    "buys": {"kind": "binary", "library": "session_purchase"},
    "clicks": {"kind": "binary", "library": "ad_click"},
}
OF_ITEMS = {"units": {"kind": "regression", "library": "units", "transform": "log1p", "horizon_days": 14}}
BY_RECORD = {name: task for name, task in OF_SHOPPERS.items() if name != "again"}
OF_TABLE = contract(
    {name: NUMBERS[name] for name in ("price", "trailing_orders_28d")},
    {"bought": {"kind": "binary"}},
    federation={"name": "test", "rounds": 1, "full_batch": True},
    privacy={"epsilon": 8.0, "delta": 1e-6, "statistics": 0.1},
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads cost more than they gain on sums as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def agreement(*, deep: bool = False, unit: str = "shopper", labels: str = "one_product") -> Federation:
    no_items = labels == "one_product" and (deep or unit == "record")
    tasks = {**(BY_RECORD if unit == "record" else OF_SHOPPERS), **({} if no_items else OF_ITEMS)}
    return contract(
        {**NUMBERS, **TABLES},
        tasks,
        bottom={"architecture": "shared_bottom", "hidden": [4]} if deep else {"architecture": "wide"},
        federation={"name": "test", "rounds": 1, "full_batch": True},
        privacy={
            "epsilon": 8.0,
            "delta": 1e-6,
            "statistics": 0.1,
            "max_records": 3,
            "unit": unit,
            "tasks": {name: {"labels": labels} for name in OF_ITEMS.keys() & tasks.keys()},
        },
    )


# --- one round without noise --------------------------------------------------------------------------


class Exact:
    """The rows that serve, as if they were private: what a naive pipeline would train on."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset, self._rows = dataset, dataset.rows("train")
        _, owner, count = np.unique(dataset.unit[self._rows.numpy()], return_inverse=True, return_counts=True)
        items = dataset.kind[self._rows.numpy()] == dataset.kinds.index("item_window")
        self.tasks = dataset.tasks
        self.unit, self.units = torch.from_numpy(owner), len(count)
        self.weight = torch.from_numpy(np.where(items, 1 / count[owner], 1.0)).float()

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        return self._dataset.batch(self._rows[rows], tasks)

    def rows_of_units(self, drawn: Tensor) -> Tensor:
        return torch.isin(self.unit, drawn).nonzero().squeeze(1)


def sums(rows: PrivateExamples, federation: Federation) -> dict[str, Tensor]:
    """What a round would release but for the noise, at some parameters that nobody trained.

    With K, B and the learning rate at 1 that is each clip group's sum over all units of clipped gradients.
    """
    own = {name: task for name, task in rows.tasks.items() if name not in federation.tasks}
    model = build(federation, generator=torch.Generator().manual_seed(0), own_tasks=own)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    before = take(model, model.shared_parameters())
    train_private(model, rows, federation, plan(federation), SeededNoise(torch.Generator()))
    moved = {name: before[name] - now for name, now in take(model, model.shared_parameters()).items()}
    return {
        group: torch.cat([moved[n].flatten() for n in moved if n.startswith(prefix)])
        for group, prefix in prefixes(federation).items()
    }


def prefixes(federation: Federation) -> dict[str, str]:
    """Clip group -> how its parameters begin: one group a task with a wide bottom, otherwise a single one."""
    wide = federation.bottom.architecture == "wide"
    return {task: f"heads.{task}." for task in federation.tasks} if wide else {JOINT: ""}


def plan(federation: Federation) -> Plan:
    """The contract's plan with other constants and without noise."""
    without = [
        GroupPlan(name=name, clipping_norm=C, sensitivity=C, noise_multiplier=0.0)
        for name in prefixes(federation)
    ]
    agreed = plan_of(federation, "any")
    constants = {"divisor": 1.0, "learning_rate": 1.0, "steps": 1, "telemetry": None}
    return replace(agreed, groups=tuple(without), told=(), **constants)


# --- with everybody, and with one fewer ---------------------------------------------------------------


def known(path: Path, federation: Federation) -> Statistics:
    return exact_statistics(loaded(path, federation), federation)


def private(path: Path, federation: Federation, told: Statistics) -> dict[str, Tensor]:
    """The sums of the private view; statistics that were told before are the same, whoever is missing."""
    return sums(private_rows(loaded(path, federation), federation, told), federation)


def exact(path: Path, federation: Federation, told: Statistics) -> dict[str, Tensor]:
    return sums(Exact(prepare(loaded(path, federation), federation)), federation)


def largest(
    folder: Path,
    made: Market | Table,
    fewer: list[Market] | list[Table],
    federation: Federation,
    path_to_sums: Callable[[Path, Federation, Statistics], dict[str, Tensor]] = private,
) -> dict[str, float]:
    """How far each clip group's sum moves at most, whoever is missing, in clipping norms."""
    path = made.write(folder / "all")
    told = known(path, federation)
    whole = path_to_sums(path, federation, told)
    others = [path_to_sums(m.write(folder / f"{n}"), federation, told) for n, m in enumerate(fewer)]
    return {name: max(float((whole[name] - other[name]).norm()) for other in others) / C for name in whole}


def counted(path: Path, federation: Federation) -> Counts:
    return read_counts(loaded(path, federation), federation)


def distances(folder: Path, fewer: list[Market], whole: Market, federation: Federation) -> list[float]:
    """How far the exact counts move, whoever is missing."""
    sold = counted(whole.write(folder / "all"), federation).sold
    others = [counted(m.write(folder / f"{n}"), federation).sold for n, m in enumerate(fewer)]
    return [float(np.linalg.norm(sold - other)) for other in others]


def after_counts(counts: Counts) -> Callable[[Path, Federation, Statistics], dict[str, Tensor]]:
    """The sums of the private view when counts were told before: the same, whoever is missing."""
    return lambda path, federation, told: sums(
        private_rows(loaded(path, federation), federation, told, counts), federation
    )


def one_shopper_fewer(made: Market) -> list[Market]:
    return [made.without(*who) for who in made.everybody()]


def one_record_fewer(made: Market) -> list[Market]:
    return [made.without_record(*record) for record in made.records()]


def test_without_one_shopper_a_sum_moves_by_at_most_its_sensitivity(tmp_path: Path) -> None:
    made = market(0)
    found = largest(tmp_path, made, one_shopper_fewer(made), agreement())
    units = found.pop("units")
    assert max(found.values()) <= 1 + TOLERANCE
    assert min(found.values()) > 0.5  # the bound is used: somebody is there to be protected
    assert 0.1 < units <= 2 * (1 + TOLERANCE)


def test_one_clip_over_all_tasks_and_tables_moves_by_at_most_one_norm(tmp_path: Path) -> None:
    made = market(0)
    assert (
        0.5 < largest(tmp_path, made, one_shopper_fewer(made), agreement(deep=True))["joint"] <= 1 + TOLERANCE
    )


def test_an_own_task_on_rows_of_items_moves_nothing_that_travels(tmp_path: Path) -> None:
    """Under one clip a shopper's rows and two products' would add up to three norms."""
    own = {"name": "mine", **OF_ITEMS["units"]}
    made, federation = market(0), agreement(deep=True)
    wanted = [*({"name": name} for name in federation.tasks), own]
    told = known(made.write(tmp_path / "told"), federation)
    whole, *others = (
        private(m.write(tmp_path / str(n), task=wanted), federation, told)["joint"]
        for n, m in enumerate([made, *one_shopper_fewer(made)])
    )
    assert 0.5 < max(float((whole - other).norm()) for other in others) / C <= 1 + TOLERANCE


def test_where_the_record_is_the_unit_one_record_moves_a_sum_by_at_most_one_norm(
    tmp_path: Path,
) -> None:
    made = market(0)
    found = largest(tmp_path, made, one_record_fewer(made), agreement(unit="record"))
    assert 0.5 < min(found.values()) <= max(found.values()) <= 1 + TOLERANCE


@pytest.mark.parametrize("keys", [{"time": "day", "split": SPLIT}, {}])
def test_without_one_shopper_of_a_ready_table_its_sum_moves_by_at_most_one_norm(
    tmp_path: Path, keys: dict[str, Any]
) -> None:
    made = table(0, **keys)
    fewer = [made.without(*who) for who in made.everybody()]
    assert 0.5 < largest(tmp_path, made, fewer, OF_TABLE)["bought"] <= 1 + TOLERANCE


def test_the_statistics_move_by_at_most_their_sensitivity(tmp_path: Path) -> None:
    made, federation = market(0), agreement()
    whole = known(made.write(tmp_path / "all"), federation)
    fewer = [known(m.write(tmp_path / f"{n}"), federation) for n, m in enumerate(one_shopper_fewer(made))]
    moved = [
        float(np.linalg.norm([getattr(whole, name) - getattr(other, name) for name in SERIES]))
        for other in fewer
    ]
    assert 1.0 <= max(moved) <= SENSITIVITY


@pytest.mark.parametrize("unit", ["shopper", "record"])
def test_counts_of_items_and_weeks_move_by_at_most_their_sensitivity(tmp_path: Path, unit: str) -> None:
    made, federation = market(0), agreement(labels="noised", unit=unit)
    told = plan_of(federation, "any").counts
    assert told is not None
    fewer = {"shopper": one_shopper_fewer, "record": one_record_fewer}[unit](made)
    moved = distances(tmp_path, fewer, made, federation)
    assert 1.0 <= max(moved) <= told.sensitivity == 2**0.5


def test_counts_of_a_shopper_who_bought_everything_move_by_no_more(tmp_path: Path) -> None:
    made = replace(collector(), items=[{"item_id": f"i{n}", "category": "X"} for n in range(8)])
    moved = distances(tmp_path, [made.without("shopper", "ann")], made, agreement(labels="noised"))
    assert moved == [pytest.approx(2**0.5)]  # two of her 8 items, one unit of each


def test_what_is_trained_on_counts_moves_nothing_more(tmp_path: Path) -> None:
    made, federation = market(0), agreement(labels="noised")
    counts = counted(made.write(tmp_path / "counts"), federation)
    found = largest(tmp_path, made, one_shopper_fewer(made), federation, after_counts(counts))
    assert found.pop("units") == 0.0
    assert 0.5 < min(found.values()) <= max(found.values()) <= 1 + TOLERANCE


def test_rows_made_from_counts_share_a_clip_with_those_of_shoppers(tmp_path: Path) -> None:
    made, federation = market(0), agreement(labels="noised", deep=True)
    counts = counted(made.write(tmp_path / "counts"), federation)
    found = largest(tmp_path, made, one_shopper_fewer(made), federation, after_counts(counts))
    assert 0.5 < found["joint"] <= 1 + TOLERANCE


def test_a_shopper_who_came_before_all_others_moves_nothing_of_theirs(tmp_path: Path) -> None:
    made = pioneer()
    found = largest(tmp_path, made, [made.without("shopper", "ann")], agreement())
    assert 0.5 < found["late"] <= 1 + TOLERANCE


def test_a_shopper_who_bought_many_items_alone_moves_no_more_than_one(tmp_path: Path) -> None:
    made = collector()
    found = largest(tmp_path, made, [made.without("shopper", "ann")], agreement())
    assert 0.5 < found["units"] <= 2 * (1 + TOLERANCE)


# --- these tests can fail -----------------------------------------------------------------------------


def test_the_exact_rows_of_shoppers_miss_the_bound(tmp_path: Path) -> None:
    """What the shop did for one shopper is told to all who come after."""
    made = pioneer()
    found = largest(tmp_path, made, [made.without("shopper", "ann")], agreement(), exact)
    assert found["late"] > 1.5


def test_the_exact_rows_of_items_miss_the_bound(tmp_path: Path) -> None:
    """All items of one shopper vanish at once, and what all items sold together is told to the others."""
    made = collector()
    found = largest(tmp_path, made, [made.without("shopper", "ann")], agreement(), exact)
    assert found["units"] > 3


def test_counts_without_a_bound_on_shoppers_miss_theirs(tmp_path: Path) -> None:
    """As many pairs as there are records, and as many units as were bought."""
    unbounded = {"units": {"labels": "noised", "lines": 50, "quantity": 1000.0}}
    policy = {"epsilon": 8.0, "delta": 1e-6, "statistics": 0.1, "tasks": unbounded}
    federation = contract({**NUMBERS, **TABLES}, {**OF_SHOPPERS, **OF_ITEMS}, privacy=policy,
        federation={"name": "test", "rounds": 1, "full_batch": True})  # fmt: skip
    made = replace(collector(), items=[{"item_id": f"i{n}", "category": "X"} for n in range(8)])
    assert distances(tmp_path, [made.without("shopper", "ann")], made, federation)[0] > 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 40))
def test_many_more_markets(tmp_path: Path, seed: int) -> None:
    made = market(seed)
    found = largest(tmp_path / "wide", made, one_shopper_fewer(made), agreement())
    joint = largest(tmp_path / "deep", made, one_shopper_fewer(made), agreement(deep=True))
    records = largest(tmp_path / "records", made, one_record_fewer(made), agreement(unit="record"))
    noised = agreement(labels="noised")
    counts = counted(made.write(tmp_path / "counts"), noised)
    told = largest(tmp_path / "told", made, one_shopper_fewer(made), noised, after_counts(counts))
    assert max(distances(tmp_path / "moved", one_shopper_fewer(made), made, noised)) <= 2**0.5
    assert told.pop("units") == 0
    assert max(told.values()) <= 1 + TOLERANCE
    assert found.pop("units") <= 2 * (1 + TOLERANCE)
    assert max([*found.values(), *joint.values(), *records.values()]) <= 1 + TOLERANCE
