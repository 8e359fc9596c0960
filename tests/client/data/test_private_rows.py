"""The private view: whose rows are whose, how many of them count, and what they know."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose

from client.data import meta
from client.data.private_build import latest
from client.data.private_checks import check_private_split, private_tasks
from client.data.private_rows import PrivateRows, private_rows, shoppers_in_training
from client.data.statistics import Statistics, exact_statistics
from shared_model.errors import ConfigError
from shared_model.schema import Federation
from tests.client.exports import (
    NUMERIC,
    SPLIT,
    after,
    contract,
    dataset,
    loaded,
    order,
    write_merchant,
    write_shop,
    write_table,
)

FEATURES = {
    "price": NUMERIC | {"clip": 100.0},
    "lately": {"kind": "numeric", "column": "trailing_orders_28d", "clip": 100.0},
    "orders_before": NUMERIC,
}
LATE = {"late": {"kind": "binary", "library": "late"}}
UNITS = {"units": {"kind": "regression", "library": "units", "horizon_days": 14}}
BOUGHT = {"bought": {"kind": "binary"}}


def private(
    tasks: Mapping[str, Any] = LATE,
    features: Mapping[str, Any] = FEATURES,
    labels: str = "one_product",
    **policy: Any,
) -> Federation:
    """A contract that hides shoppers."""
    shares = {"statistics": 0.1} if "lately" in features else {}
    mixed = {name: {"labels": labels} for name in UNITS.keys() & tasks.keys()}
    return contract(
        features,
        tasks,
        federation={"name": "test", "rounds": 1, "full_batch": True},
        privacy={"epsilon": 8.0, "delta": 1e-6, "tasks": mixed} | shares | policy,
    )


def view(path: Path, federation: Federation, statistics: Statistics | None = None) -> PrivateRows:
    return private_rows(loaded(path, federation), federation, statistics)


def of_unit(rows: PrivateRows, unit: int) -> torch.Tensor:
    return rows.rows_of_units(torch.tensor([unit]))


def prices(rows: PrivateRows) -> list[float]:
    return sorted(rows.batch(torch.arange(len(rows))).numeric[:, 2].tolist())


# --- units --------------------------------------------------------------------------------------------


def test_a_shopper_is_one_unit_and_every_guest_order_is_one(tmp_path: Path) -> None:
    people = ["ann", "bob", "ann", None, None]
    rows = view(write_shop(tmp_path, [order(n, customer_id=who) for n, who in enumerate(people)]), private())
    assert rows.units == 4
    assert sorted(len(of_unit(rows, unit)) for unit in range(4)) == [1, 1, 1, 2]
    assert rows.unit.tolist() == sorted(rows.unit.tolist())
    assert rows.weight.tolist() == [1.0] * 5


def test_rows_of_drawn_units_come_in_their_order(tmp_path: Path) -> None:
    people = ["ann", "bob", "ann", "cid"]
    rows = view(write_shop(tmp_path, [order(n, customer_id=who) for n, who in enumerate(people)]), private())
    drawn = torch.tensor([0, 2])
    assert rows.unit[rows.rows_of_units(drawn)].unique().tolist() == [0, 2]
    assert rows.rows_of_units(torch.arange(3)).tolist() == [0, 1, 2, 3]
    assert rows.rows_of_units(torch.tensor([], dtype=torch.int64)).tolist() == []


def test_only_the_latest_rows_of_a_unit_count(tmp_path: Path) -> None:
    orders = [order(day, unit_price=float(day)) for day in range(5)]
    assert prices(view(write_shop(tmp_path, orders), private(max_records=2))) == [3.0, 4.0]


def test_a_row_without_a_label_does_not_take_the_place_of_one_with_it(tmp_path: Path) -> None:
    orders = [order(1, unit_price=1.0), order(2, unit_price=2.0), order(3, unit_price=3.0, promised_ts=None)]
    assert prices(view(write_shop(tmp_path, orders), private(max_records=2))) == [1.0, 2.0]


def test_nobody_shares_a_unit_with_a_row_that_names_no_shopper(tmp_path: Path) -> None:
    """Rows without a name are told apart by their position, and positions move when somebody is missing."""
    table = pl.DataFrame({"who": ["row 1", None, "named row 1"], "day": ["2024-01-05"] * 3, "y": [0, 1, 1]})
    path = write_table(tmp_path, table, time="day", unit="who", labels={"bought": "y"}, split=SPLIT)
    assert view(path, private(BOUGHT, {"price": NUMERIC})).units == 3


def test_which_rows_count_is_decided_for_each_unit_and_kind_alone() -> None:
    units, kind, day = np.array([7, 7, 7, 9, 7]), np.array([0, 0, 1, 0, 0]), np.array([1, 2, 0, 5, 2])
    assert latest(units, kind, day, most=np.array([2, 1])).tolist() == [1, 4, 2, 3]


def test_only_training_rows_with_a_label_that_was_known_in_time_are_there(tmp_path: Path) -> None:
    path = write_shop(tmp_path, [order(0), order(58), order(70), order(120)])  # day 58 arrives on day 61
    rows, whole = view(path, private()), dataset(path, private())
    assert len(rows) == 1
    assert len(whole.rows("train", task="late")) == 1


def test_apart_from_trailing_columns_the_rows_are_those_of_the_dataset(tmp_path: Path) -> None:
    orders = [
        order(n, customer_id=["ann", "bob", None][n % 3], unit_price=float(n), promised_ts=after(n + n % 7))
        for n in range(30)
    ]
    federation = private(max_records=30)
    path = write_shop(tmp_path, orders)
    rows, whole = view(path, federation), dataset(path, federation)
    mine = rows.batch(torch.arange(len(rows)))
    exact = whole.batch(whole.rows("train", task="late"))
    mine_by_price, exact_by_price = mine.numeric[:, 2].argsort(), exact.numeric[:, 2].argsort()
    assert_allclose(mine.numeric[mine_by_price][:, 1:], exact.numeric[exact_by_price][:, 1:])
    assert mine.labels["late"][mine_by_price].tolist() == exact.labels["late"][exact_by_price].tolist()


def test_an_order_of_two_shoppers_is_two_orders(tmp_path: Path) -> None:
    together = [
        order(1, order_id="a", customer_id=who, unit_price=price)
        for who, price in (("ann", 1.0), ("bob", 2.0))
    ]
    rows = view(write_shop(tmp_path, together), private())
    assert (rows.units, prices(rows)) == (2, [1.0, 2.0])


def test_a_merchant_without_a_single_training_row_has_an_empty_view(tmp_path: Path) -> None:
    rows = view(write_shop(tmp_path, [order(200)]), private())
    assert (len(rows), rows.units, list(rows.tasks)) == (0, 0, ["late"])
    assert rows.batch(rows.rows_of_units(torch.arange(0)), ["late"]).labels["late"].shape == (0,)


# --- sessions -----------------------------------------------------------------------------------------

PURCHASE = {"session_purchase": {"kind": "binary", "library": "session_purchase"}}
CLICK = {"ad_click": {"kind": "binary", "library": "ad_click"}}


def event(minute: float, kind: str, who: str | None, session: str = "s") -> dict[str, Any]:
    moment = after(minute / 1440)
    return {
        "event_ts": moment, "event_type": kind, "session_id": session, "customer_id": who, "item_id": "mug"
    }  # fmt: skip


def test_a_session_that_two_shoppers_share_is_two_sessions(tmp_path: Path) -> None:
    events = [
        event(0, "view", None),
        event(1, "view", "ann"),
        event(2, "view", "bob"),
        event(3, "purchase", "bob"),
    ]
    rows = view(write_shop(tmp_path, [order(100)], events=events), private(PURCHASE))
    labels = rows.batch(torch.arange(len(rows))).labels["session_purchase"]
    assert (rows.units, sorted(labels.tolist())) == (2, [0.0, 1.0])


def test_a_session_and_its_advertisements_are_one_unit(tmp_path: Path) -> None:
    events = [event(0, "ad_impression", None), event(1, "ad_click", None), event(0, "view", None, "other")]
    rows = view(write_shop(tmp_path, [order(100)], events=events), private({**PURCHASE, **CLICK}))
    assert rows.kinds == ("session", "impression")
    assert sorted(len(of_unit(rows, unit)) for unit in range(rows.units)) == [1, 2]


def test_a_shop_of_visits_alone_has_sessions_and_statistics_of_nothing(tmp_path: Path) -> None:
    pl.DataFrame([event(0, "view", None)]).write_parquet(tmp_path / "events.parquet")
    path = write_merchant(tmp_path, events={"source": "events.parquet"}, split=SPLIT)
    federation = private({**LATE, **PURCHASE})
    told = exact_statistics(loaded(path, federation), federation)
    rows = view(path, federation, told)
    assert (list(rows.tasks), rows.units, told.orders.sum()) == (["session_purchase"], 1, 0.0)
    assert rows.batch(torch.arange(1)).numeric[0, 0].isnan()  # sessions have no trailing columns


# --- records ------------------------------------------------------------------------------------------


def test_where_the_record_is_the_unit_every_order_is_one_and_nobody_is_known_again(tmp_path: Path) -> None:
    orders = [order(day, order_id=name) for day, name in ((0, "a"), (1, "b"), (1, "b"))]
    rows = view(write_shop(tmp_path, orders), private(unit="record"))
    assert rows.units == 2
    assert rows.batch(torch.arange(2)).numeric[:, 1].isnan().all()  # orders_before


def test_delivery_and_purchase_of_one_order_are_one_record(tmp_path: Path) -> None:
    tasks = {**LATE, "bad": {"kind": "binary", "library": "bad_review"}}
    rows = view(
        write_shop(tmp_path, [order(0, review_score=1.0), order(1, review_score=5.0)]),
        private(tasks, unit="record"),
    )
    assert [len(of_unit(rows, unit)) for unit in range(rows.units)] == [2, 2]


def test_whether_somebody_comes_again_is_no_task_where_the_record_is_the_unit(tmp_path: Path) -> None:
    federation = private({**LATE, "again": {"kind": "binary", "library": "will_rebuy"}}, unit="record")
    config = loaded(write_shop(tmp_path, [order(0)]), federation)
    assert private_tasks(config, federation) == {"late"}


# --- items --------------------------------------------------------------------------------------------


def test_each_shopper_counts_for_the_first_item_it_bought(tmp_path: Path) -> None:
    orders = [
        order(0, item_id="mug", quantity=2.0), order(1, item_id="pot"), order(2, item_id="mug"),
        order(3, item_id="pot", customer_id="bob"),
    ]  # fmt: skip
    features = {"units_90d": NUMERIC | {"clip": 100.0}}
    rows = view(write_shop(tmp_path, orders), private(UNITS, features))
    at = rows.batch(torch.arange(len(rows))).numeric[:, 0]
    # ann: 3 mugs, and her pot does not count; bob: 1 pot.
    assert sorted({round(at[of_unit(rows, unit)][-1].item(), 6) for unit in range(2)}) == [1.0, 3.0]


def test_an_items_rows_weigh_one_together_and_all_of_them_count(tmp_path: Path) -> None:
    orders = [order(0), order(1, item_id="pot", customer_id="bob")]
    rows = view(write_shop(tmp_path, orders), private(UNITS, max_records=1))
    sizes = [len(of_unit(rows, unit)) for unit in range(2)]
    assert min(sizes) > 1
    assert_allclose(torch.zeros(2).index_add_(0, rows.unit, rows.weight), [1.0, 1.0], rtol=1e-6)


def test_no_item_is_left_out_because_others_sell_more(tmp_path: Path) -> None:
    orders = [order(0, item_id=f"i{n}", customer_id=f"c{n}", order_id=f"o{n}") for n in range(160)]
    assert view(write_shop(tmp_path, orders), private(UNITS)).units == 160


# --- ready tables -------------------------------------------------------------------------------------

READY = {"price": NUMERIC | {"clip": 100.0}, "lately": FEATURES["lately"]}


def table(rows: int = 40, **columns: Any) -> pl.DataFrame:
    made = {
        "who": [f"c{n // 2}" for n in range(rows)],
        "price": [float(n) for n in range(rows)],
        "lately": [1.0] * rows,
        "y": [n % 2 for n in range(rows)],
        "day": [after(n) for n in range(rows)],
    }
    return pl.DataFrame(made | columns)


def ready(folder: Path, frame: pl.DataFrame, **keys: Any) -> Path:
    return write_table(folder, frame, labels={"bought": "y"}, **keys)


def test_a_ready_table_without_shoppers_is_refused_where_shoppers_are_protected(tmp_path: Path) -> None:
    path = ready(tmp_path, table(), time="day", split=SPLIT)
    with pytest.raises(ConfigError, match=r"table\.unit is missing.*names each row's shopper.*\"record\""):
        view(path, private(BOUGHT, READY))


def test_every_row_of_a_ready_table_may_be_a_record(tmp_path: Path) -> None:
    rows = view(ready(tmp_path, table(), time="day", split=SPLIT), private(BOUGHT, READY, unit="record"))
    assert rows.units == len(rows) == 40


def test_a_ready_table_loses_what_is_computed_across_shoppers(tmp_path: Path) -> None:
    path = ready(tmp_path, table(), time="day", unit="who", split=SPLIT)
    known = Statistics(orders=np.ones(900), deliveries=np.ones(900), reviews=np.ones(900))
    rows = view(path, private(BOUGHT, READY), known)
    assert rows.units == 20
    assert rows.batch(torch.arange(2)).numeric[:, 0].isnan().all()


def test_a_ready_table_without_times_is_split_by_its_shoppers(tmp_path: Path) -> None:
    path, federation = ready(tmp_path, table(200), unit="who"), private(BOUGHT, READY)
    exact = dataset(path, federation)
    assert len(view(path, federation)) == len(exact.rows("train")) < 200


def test_a_row_that_only_its_position_could_place_does_not_train(tmp_path: Path) -> None:
    frame = table(200, who=[None if n % 2 else f"c{n}" for n in range(200)])
    found = prices_of_table(view(ready(tmp_path, frame, unit="who"), private(BOUGHT, READY)))
    assert {price % 2 for price in found} == {0.0}


def prices_of_table(rows: PrivateRows) -> list[float]:
    found: list[float] = rows.batch(torch.arange(len(rows))).numeric[:, 1].tolist()
    return found


def test_records_without_time_and_shopper_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"table\.time is missing.*or table\.unit"):
        view(ready(tmp_path, table()), private(BOUGHT, READY, unit="record"))


# --- what is asked for --------------------------------------------------------------------------------


def test_days_counted_back_from_the_last_row_are_refused(tmp_path: Path) -> None:
    config = loaded(write_shop(tmp_path, [order(0)], split={"test_days": 10}), private())
    with pytest.raises(ConfigError, match=r"split\.validation_from is missing.*days counted back"):
        check_private_split(config)


def test_dates_are_accepted_and_a_table_split_by_its_shoppers_needs_none(tmp_path: Path) -> None:
    check_private_split(loaded(write_shop(tmp_path / "shop", [order(0)]), private()))
    check_private_split(loaded(ready(tmp_path / "table", table(), unit="who"), private(BOUGHT, READY)))


def test_the_files_decide_which_tasks_train_and_retrieval_never_does(tmp_path: Path) -> None:
    federation = private({**LATE, **PURCHASE, "next": {"kind": "retrieval", "library": "next_item"}})
    own = [{"name": "late"}, {"name": "sent_back", "kind": "binary", "library": "returned"}]
    all_of_them = loaded(write_shop(tmp_path / "all", [order(0)]), federation)
    named = loaded(write_shop(tmp_path / "named", [order(0, promised_ts=None)], task=own), federation)
    assert private_tasks(all_of_them, federation) == {"late"}  # there is no [events]
    assert private_tasks(named, federation) == {"late", "sent_back"}


def test_a_task_without_a_single_label_is_still_there(tmp_path: Path) -> None:
    tasks = {**LATE, "sent_back": {"kind": "binary", "library": "returned"}}
    rows = view(write_shop(tmp_path, [order(0)]), private(tasks))
    assert dict(rows.rows_of) == {"late": "purchase", "sent_back": "delivery"}
    assert rows.batch(torch.arange(1)).labels["sent_back"].isnan().all()


def test_a_task_that_stays_at_home_has_no_private_rows(tmp_path: Path) -> None:
    rows = view(write_shop(tmp_path, [order(0)]), private({**LATE, **UNITS}, labels="at_home"))
    assert set(rows.tasks) == {"late"}
    assert rows.kinds == ("purchase",)


def test_shoppers_in_training_are_counted_once(tmp_path: Path) -> None:
    people = ["ann", "bob", "ann", None]
    orders = [order(n, customer_id=who) for n, who in enumerate(people)]
    path = write_shop(tmp_path, [*orders, order(70, customer_id="late")])
    federation = private({**LATE, **UNITS})
    assert shoppers_in_training(loaded(path, federation), federation) == 3


def test_an_unchanged_shop_is_not_encoded_again(tmp_path: Path) -> None:
    path = write_shop(tmp_path, [order(0)])
    view(path, private())
    (first,) = (tmp_path / "state" / "private").glob(f"*/{meta.FILE}")
    before = first.stat().st_mtime_ns
    view(path, private())
    assert first.stat().st_mtime_ns == before


def test_a_query_is_run_once_for_all_that_is_asked_of_the_private_view(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("create table sales (who text, price real, y integer)")
        database.executemany("insert into sales values (?, ?, ?)", [(f"c{n}", n, n % 2) for n in range(60)])
    database.close()
    path = write_merchant(
        tmp_path,
        table={
            "source": f"sqlite:///{tmp_path / 'shop.db'}", "query": "select * from sales",
            "unit": "who", "labels": {"bought": "y"},
        },
    )  # fmt: skip
    federation = private(BOUGHT, READY)
    rows = view(path, federation)
    (tmp_path / "shop.db").unlink()
    assert shoppers_in_training(loaded(path, federation), federation) == rows.units


def test_item_facts_from_order_lines_are_refused_where_sessions_read_them(tmp_path: Path) -> None:
    """Without bob, who bought the mug last, cid's session would see another price."""
    seen = {"event_ts": after(9), "event_type": "view", "session_id": "s", "item_id": "mug"}
    lines = [order(1), order(5, customer_id="bob", unit_price=60.0)]
    write_shop(tmp_path, lines, events=[seen])
    tables = {name: {"source": f"{name}.parquet"} for name in ("orders", "events")}
    own = {"source": "orders.parquet", "rename": {"price": "unit_price"}}
    path = write_merchant(tmp_path, split=SPLIT, items=own, **tables)
    with pytest.raises(ConfigError, match=r"items\.source"):
        view(path, private({"buys": {"kind": "binary", "library": "session_purchase"}}, {"price": NUMERIC}))
