"""Shop tables become rows that know what was known, and nothing else."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from client.config import load_merchant
from client.data import shop
from client.data.hashing import digest
from client.data.rows import item_window, purchase, session
from client.data.rows.history import with_history
from client.data.rows.trailing import with_trailing
from shared_model.errors import DataError
from shared_model.library import ROW_KINDS, TASKS
from tests.client.exports import CATEGORY, NUMERIC, after, contract, order, write_shop

ALL = contract(
    features={"price": NUMERIC, "category": CATEGORY, "history": {"kind": "sequence", "of": ["category"]}},
    tasks={name: {"kind": task.kind, "library": name} for name, task in TASKS.items()},
)


def load(folder: Path, orders: Sequence[Mapping[str, Any]], **tables: Any) -> shop.ShopData:
    return shop.load(load_merchant(write_shop(folder, orders, **tables), ALL))


def labelled(folder: Path, task: str, orders: Sequence[Mapping[str, Any]], **tables: Any) -> pl.DataFrame:
    """The rows on which `task` is asked, with its label."""
    data = load(folder, orders, **tables)
    (made,) = shop.rows(data.shop, {task: ALL.tasks[task]}, ALL)
    return made.frame.sort("time")


def labels(folder: Path, task: str, orders: Sequence[Mapping[str, Any]], **tables: Any) -> list[Any]:
    return labelled(folder, task, orders, **tables)[f"label.{task}"].to_list()


# --- orders -------------------------------------------------------------------------------------------


def test_an_order_of_several_lines_is_one_row_described_by_its_first_line(tmp_path: Path) -> None:
    first = order(0, order_id="a", item_id="mug", unit_price=5.0, quantity=2.0, shipping=4.0)
    second = order(0, order_id="a", item_id="pot", unit_price=30.0, quantity=1.0, shipping=9.0)
    (row,) = purchase.purchases(load(tmp_path, [first, second]).shop, length=5).to_dicts()
    assert (row["item_id"], row["price"], row["shipping"]) == ("mug", 5.0, 4.0)
    assert (row["quantity"], row["lines"], row["value"]) == (3.0, 2.0, 40.0)  # 2 * 5 + 1 * 30


def test_facts_of_the_item_are_joined(tmp_path: Path) -> None:
    items = [{"item_id": "mug", "category": "kitchen", "title": "Red mug", "weight_g": 300.0}]
    (row,) = purchase.purchases(load(tmp_path, [order(0)], items=items).shop, length=5).to_dicts()
    assert (row["category"], row["weight_g"], row["title_length"]) == ("kitchen", 300.0, 7.0)


def test_times_are_taken_apart_in_the_shops_own_zone(tmp_path: Path) -> None:
    placed = order(0, order_ts=datetime(2024, 1, 1, 23, 30, tzinfo=UTC))  # Monday, but in Tokyo Tuesday
    data = load(tmp_path, [placed], merchant={"name": "acme", "timezone": "Asia/Tokyo"})
    (row,) = purchase.purchases(data.shop, length=5).to_dicts()
    assert (row["month"], row["weekday"], row["hour_block"]) == (1, 2, 2)  # 08:30
    assert row["season_sin"] == pytest.approx(math.sin(2 * math.pi * 2 / 365))


def test_promise_and_place_are_compared(tmp_path: Path) -> None:
    here = order(0, region="SP", merchant_region="SP", ship_by_ts=after(2))
    (row,) = purchase.purchases(load(tmp_path, [here]).shop, length=5).to_dicts()
    assert (row["promised_days"], row["ship_by_days"], row["same_region"]) == (7.0, 2.0, 1.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "cancelled"}, "cancelled"),
        ({"status": "Refunded"}, "refunded"),
        ({"status": "pending"}, "pending"),
        ({"status": "lost"}, "unknown status"),
        ({"item_id": None}, "no item"),
        ({"order_ts": None}, "no time"),
        ({"quantity": -1.0}, "quantity not above 0"),
        ({"quantity": None}, "no quantity"),
        ({"unit_price": -2.0}, "negative price"),
    ],
)
def test_a_line_that_cannot_be_used_is_left_out_and_counted(tmp_path: Path, change: Any, reason: str) -> None:
    lines = [order(0, status="paid"), order(1, status="paid") | change]
    (reading, *_) = load(tmp_path, lines).readings
    assert (reading.rows, reading.kept, reading.dropped) == (2, 1, {reason: 1})


def test_a_line_without_a_status_is_paid(tmp_path: Path) -> None:
    assert load(tmp_path, [order(0, status=None), order(1, status="paid")]).readings[0].kept == 2


def test_a_delivery_before_its_order_is_taken_as_missing(tmp_path: Path) -> None:
    data = load(tmp_path, [order(5, delivered_ts=after(4)), order(6)])
    assert data.shop.orders["delivery_days"].to_list() == [None, 3.0]
    assert "1 lines were delivered before" in data.readings[0].notes[0]


def test_several_currencies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"several currencies \(BRL, EUR\)"):
        load(tmp_path, [order(0, currency="EUR"), order(1, currency="BRL")])


def test_a_missing_required_column_is_named_with_what_is_there(tmp_path: Path) -> None:
    line = order(0)
    del line["unit_price"]
    with pytest.raises(DataError, match=r"no column 'unit_price'.*It has: order_id, .*rename"):
        load(tmp_path, [line])


def test_a_column_that_changes_type_half_way_is_refused(tmp_path: Path) -> None:
    lines = "\n".join(f"o{n},2024-01-{1 + n % 28:02},mug,1,{10 if n < 50 else 'ten'}" for n in range(100))
    (tmp_path / "orders.csv").write_text(f"order_id,order_ts,item_id,quantity,unit_price\n{lines}\n")
    path = merchant_of_csv(tmp_path)
    with pytest.raises(
        DataError, match=r"'unit_price', 50 of 100 values are not numbers.*row 51 of orders\.csv"
    ):
        shop.load(load_merchant(path, ALL))


def test_a_few_unreadable_values_are_counted_and_left_out(tmp_path: Path) -> None:
    lines = "\n".join(f"o{n},2024-01-{1 + n % 28:02},mug,1,{'ten' if n == 7 else 10}" for n in range(100))
    (tmp_path / "orders.csv").write_text(f"order_id,order_ts,item_id,quantity,unit_price\n{lines}\n")
    (reading,) = shop.load(load_merchant(merchant_of_csv(tmp_path), ALL)).readings
    assert (reading.unreadable, reading.dropped) == ({"unit_price": 1}, {"no price": 1})


def merchant_of_csv(folder: Path) -> Path:
    path = folder / "merchant.toml"
    path.write_text('schema = "shop-v1"\n[merchant]\nname = "acme"\n[orders]\nsource = "orders.csv"\n')
    return path


def test_a_rename_wins_over_the_preset(tmp_path: Path) -> None:
    path = write_shop(tmp_path, [order(0, Preis=99.0)])
    path.write_text(path.read_text().replace("[orders]", '[orders]\nrename = { unit_price = "Preis" }'))
    data = shop.load(load_merchant(path, ALL))
    assert data.shop.orders["unit_price"].to_list() == [99.0]


def test_words_are_translated_by_the_category_map(tmp_path: Path) -> None:
    items = [{"item_id": "mug", "category": "Küche"}, {"item_id": "pot", "category": "Garten"}]
    path = write_shop(tmp_path, [order(0)], items=items)
    path.write_text(path.read_text().replace("[items]", '[items]\ncategory_map = "map.csv"'))
    (tmp_path / "map.csv").write_text("own,shared\nKüche,kitchen\n")
    data = shop.load(load_merchant(path, ALL))
    assert data.shop.items["category"].to_list() == ["kitchen", "Garten"]
    assert "1 items have a category that category_map does not name" in data.readings[1].notes[0]


# --- labels -------------------------------------------------------------------------------------------


def test_rebuying_looks_28_days_ahead_and_not_beyond_the_end_of_the_export(tmp_path: Path) -> None:
    days = [order(day) for day in (0, 20, 60, 200)]  # ann comes again after 20, 40 and 140 days
    assert labels(tmp_path, "will_rebuy", days) == [1.0, 0.0, 0.0, None]


def test_whether_a_guest_comes_again_is_unknown(tmp_path: Path) -> None:
    assert labels(tmp_path, "will_rebuy", [order(0, customer_id=None), order(200)]) == [None, None]


def test_delivery_days_and_lateness(tmp_path: Path) -> None:
    orders = [order(0), order(1, delivered_ts=after(9)), order(2, delivered_ts=None)]
    assert labels(tmp_path / "days", "delivery_days", orders) == [3.0, 8.0, None]
    assert labels(tmp_path / "late", "late", orders) == [0.0, 1.0, None]  # promised after 7 days


def test_a_bad_review_has_3_stars_or_fewer_and_exists_for_delivered_orders_only(tmp_path: Path) -> None:
    orders = [
        order(0, review_score=3.0), order(1, review_score=4.0), order(2, review_score=None),
        order(3, review_score=1.0, delivered_ts=None),
    ]  # fmt: skip
    assert labels(tmp_path, "bad_review", orders) == [1.0, 0.0, None]


def test_order_value_is_items_only(tmp_path: Path) -> None:
    assert labels(tmp_path, "order_value", [order(0, quantity=3.0, shipping=5.0)]) == [30.0]


def test_the_next_item_is_that_of_the_first_line(tmp_path: Path) -> None:
    lines = [order(0, order_id="a", item_id="pot"), order(0, order_id="a", item_id="mug")]
    assert labels(tmp_path, "next_item", lines) == ["pot"]


def test_a_return_is_known_30_days_after_delivery_unless_dated(tmp_path: Path) -> None:
    # Validation begins on day 60. Delivered on day 33, so known on day 63: too late to train on.
    orders = [
        order(30, returned=True),
        order(31, returned=True, return_ts=after(50)),
        order(100, returned=False),
    ]
    assert labels(tmp_path, "returned", orders) == [None, 1.0, 0.0]


@pytest.mark.parametrize(
    ("placed", "delivered", "counts"),
    [
        (50, 59, True),  # train, delivered on 2024-02-29 at noon
        (50, 59.5, False),  # delivered exactly when validation begins
        (50, 61, False),
        (60, 90, True),  # validation, delivered before the test begins on day 90.5
        (60, 91, False),
        (95, 200, True),  # in test every outcome counts
    ],
)
def test_a_label_counts_only_if_it_was_known_before_its_part_ended(
    tmp_path: Path, placed: float, delivered: float, counts: bool
) -> None:
    found = labels(tmp_path, "delivery_days", [order(placed, delivered_ts=after(delivered)), order(300)])
    assert (found[0] is not None) == counts


# --- what a row knows ---------------------------------------------------------------------------------


def test_trailing_columns_shrink_towards_a_usual_shop(tmp_path: Path) -> None:
    orders = [order(0, review_score=1.0), order(1, review_score=5.0), order(20)]
    rows = with_trailing((made := load(tmp_path, orders).shop), made.orders).to_dicts()
    # On day 20: two deliveries of 3 days, log1p(3) = 1.386; one bad of two reviews; two orders.
    assert rows[0]["trailing_delivery_days"] == 2.5
    assert rows[0]["trailing_bad_reviews"] == pytest.approx(0.22)
    assert rows[2]["trailing_delivery_days"] == pytest.approx((2 * math.log(4) + 7.5) / 5)
    assert rows[2]["trailing_bad_reviews"] == pytest.approx((1 + 2.2) / 12)
    assert (rows[2]["trailing_deliveries"], rows[2]["trailing_orders_28d"]) == (2.0, 2.0)


def test_an_outcome_that_becomes_known_at_the_very_moment_does_not_count(tmp_path: Path) -> None:
    made = load(tmp_path, [order(0, delivered_ts=after(5)), order(5)]).shop
    assert with_trailing(made, made.orders)["trailing_deliveries"].to_list() == [0.0, 0.0]


def test_outcomes_older_than_the_window_are_forgotten(tmp_path: Path) -> None:
    made = load(tmp_path, [order(0), order(3 + 45), order(3 + 46)]).shop  # the first delivery is on day 3
    assert with_trailing(made, made.orders)["trailing_deliveries"].to_list() == [0.0, 1.0, 0.0]


def test_history_is_newest_first_and_ends_before_the_order(tmp_path: Path) -> None:
    items = [{"item_id": name, "category": name.upper(), "brand": None} for name in ("mug", "pot", "pan")]
    orders = [
        order(0, item_id="mug"),
        order(1, item_id="pot"),
        order(4, item_id="pan"),
        order(5, customer_id="bob"),
    ]
    made = load(tmp_path, orders, items=items).shop
    rows = with_history(made, made.orders, length=2).to_dicts()
    assert [row["history.category"] for row in rows] == [None, ["MUG"], ["POT", "MUG"], None]
    assert rows[2]["history.item_id"] == ["pot", "mug"]
    assert [row["orders_before"] for row in rows] == [0.0, 1.0, 2.0, 0.0]
    assert [row["days_since_last_order"] for row in rows] == [None, 1.0, 3.0, None]


def test_guests_have_no_history_and_are_units_of_their_own(tmp_path: Path) -> None:
    made = load(tmp_path, [order(0, customer_id=None), order(1, customer_id=None), order(2)]).shop
    rows = with_history(made, made.orders, length=2)
    assert rows["orders_before"].to_list() == [None, None, 0.0]
    assert rows["unit"].n_unique() == 3


# --- item windows -------------------------------------------------------------------------------------


def test_reference_dates_are_14_days_apart_and_include_the_first_day_of_validation(tmp_path: Path) -> None:
    made = load(tmp_path, [order(0), order(100)]).shop
    dates = list(item_window.reference_dates(made))
    assert made.bounds.validation_from in dates
    assert {later - earlier for earlier, later in pairwise(dates)} == {timedelta(days=14)}


def test_an_item_window_counts_units_before_and_after_its_date(tmp_path: Path) -> None:
    # 2024-03-01 is day 59.5: 2, 3 and 4 are sold before it on days 58, 40 and 0, then 5 and 6 on 60 and 88.
    sales = {58: 2.0, 40: 3.0, 0: 4.0, 60: 5.0, 88: 6.0, 150: 1.0}
    orders = [order(day, quantity=units, unit_price=float(day)) for day, units in sales.items()]
    rows = labelled(tmp_path, "units", orders)
    made = item_window.item_windows(load(tmp_path / "again", orders).shop, length=1)
    (at,) = made.filter(pl.col("time") == datetime(2024, 3, 1, tzinfo=UTC)).to_dicts()
    assert (at["units_7d"], at["units_28d"], at["units_90d"]) == (2.0, 5.0, 9.0)
    assert (at["price"], at["item_age_days"], at["trailing_orders_28d"]) == (58.0, 59.5, 5.0)
    # [59.5, 87.5) holds the sale of day 60 alone; it is complete before the test begins on day 90.5.
    assert rows.filter(pl.col("time") == datetime(2024, 3, 1, tzinfo=UTC))["label.units"].to_list() == [5.0]


def test_units_beyond_the_end_of_the_export_are_unknown(tmp_path: Path) -> None:
    assert labels(tmp_path, "units", [order(0), order(100)])[-1] is None


def test_an_item_that_did_not_sell_for_180_days_is_not_listed(tmp_path: Path) -> None:
    orders = [order(0, item_id="old"), *(order(day, item_id="mug") for day in range(150, 260, 10))]
    made = item_window.item_windows(load(tmp_path, orders).shop, length=1)
    assert made.filter(pl.col("item_id") == "old")["time"].max() <= datetime(2024, 6, 29, 12, tzinfo=UTC)


# --- events -------------------------------------------------------------------------------------------


def event(minute: float, kind: str, **columns: Any) -> dict[str, Any]:
    return {
        "event_ts": after(0) + timedelta(minutes=minute), "event_type": kind, "session_id": "s1",
        "customer_id": "ann", "item_id": "mug", "channel": "mail", "device": "phone",
    } | columns  # fmt: skip


def test_a_session_ends_in_a_purchase_or_not(tmp_path: Path) -> None:
    events = [event(0, "view"), event(9, "purchase"), event(30, "view", session_id="s2")]
    assert labels(tmp_path, "session_purchase", [order(200)], events=events) == [1.0, 0.0]


def test_a_session_that_begins_with_a_purchase_has_no_label(tmp_path: Path) -> None:
    events = [event(0, "purchase"), event(5, "view", session_id="s2")]
    assert labels(tmp_path, "session_purchase", [order(200)], events=events) == [None, 0.0]


def test_a_session_knows_the_views_of_earlier_sessions_only(tmp_path: Path) -> None:
    events = [
        event(0, "view"),
        event(1, "view"),
        event(60, "view", session_id="s2"),
        event(61, "view", session_id="s2"),
    ]
    made = load(tmp_path, [order(200)], events=events).shop
    assert session.sessions(made, length=1)["views"].to_list() == [0.0, 2.0]


def test_a_shopper_who_signs_in_half_way_owns_the_whole_session_but_is_not_known_at_its_beginning(
    tmp_path: Path,
) -> None:
    events = [event(0, "view", customer_id=None), event(1, "view")]
    (row,) = session.sessions(load(tmp_path, [order(-5)], events=events).shop, length=1).to_dicts()
    assert (row["unit"], row["orders_before"]) == (digest("shopper ann", "unit"), None)


def test_an_advertisement_is_clicked_in_its_own_session_after_it_was_shown(tmp_path: Path) -> None:
    events = [
        event(0, "ad_impression"), event(1, "ad_click"),
        event(2, "ad_impression", item_id="pot"), event(60, "ad_impression", session_id="s2"),
    ]  # fmt: skip
    assert labels(tmp_path, "ad_click", [order(200)], events=events) == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("kind", list(ROW_KINDS))
def test_every_column_that_a_kind_of_row_promises_is_there(tmp_path: Path, kind: str) -> None:
    data = load(tmp_path, [order(0), order(100)], events=[event(0, "ad_impression")])
    made = shop.ROW_MAKERS[kind](data.shop, length=3)
    assert set(ROW_KINDS[kind].columns) - {"history", "row_kind"} <= set(made.columns)


def test_a_row_kind_never_fills_a_feature_that_it_does_not_promise(tmp_path: Path) -> None:
    frame = labelled(tmp_path, "order_value", [order(0)])  # the item is not known before it is chosen
    assert set(frame.columns) == {"time", "unit", "history.category", "label.order_value"}


# --- tasks on and off ---------------------------------------------------------------------------------


def test_a_task_whose_column_is_missing_is_off_and_says_why(tmp_path: Path) -> None:
    status = load(tmp_path, [order(0, delivered_ts=None)]).status
    assert status["late"].reason == "delivered_ts in [orders] is missing or empty"
    assert status["session_purchase"].reason == "there is no [events] table"
    assert status["next_item"].on


def test_nothing_usable_is_an_error_that_says_what_was_left_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 rows of orders: cancelled"):
        load(tmp_path, [order(0, status="cancelled")])


# --- size ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["purchase", "delivery", "visit"])
def test_rows_made_a_slice_at_a_time_are_the_rows_made_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    orders = [order(day, customer_id=["ann", "bob", None][day % 3]) for day in range(10)]
    data = load(tmp_path, orders)
    tasks = {name: task for name, task in ALL.tasks.items() if TASKS[task.library].rows == kind}
    (whole,) = shop.rows(data.shop, tasks, ALL)
    monkeypatch.setattr(shop, "PIECE_ROWS", 3)
    parts = [made.frame for made in shop.rows(data.shop, tasks, ALL)]
    assert len(parts) == 4
    assert pl.concat(parts).equals(whole.frame)


# --- leaks --------------------------------------------------------------------------------------------

_DAYS = st.integers(0, 120)
_LINES = st.lists(
    st.builds(
        lambda day, takes, score, who, what: order(
            day, order_id=f"{day} {who}", customer_id=who, item_id=what,
            delivered_ts=after(day + takes), review_score=score, review_ts=after(day + takes + 1),
        ),
        _DAYS, st.integers(1, 40), st.sampled_from([1.0, 5.0]), st.sampled_from(["ann", "bob"]),
        st.sampled_from(["mug", "pot"]),
    ),
    min_size=1, max_size=12, unique_by=lambda line: line["order_id"],
)  # fmt: skip


def features_before(
    folder: Path, lines: Sequence[Mapping[str, Any]], moment: datetime
) -> list[dict[str, Any]]:
    """What purchase rows and item windows before `moment` know; outcomes of their own orders aside."""
    made = load(folder, lines).shop
    rows = purchase.purchases(made, length=5).filter(pl.col("time") <= moment.replace(tzinfo=UTC))
    windows = item_window.item_windows(made, length=5).filter(pl.col("time") <= moment.replace(tzinfo=UTC))
    outcomes = ("delivered_ts", "delivery_days", "review_score", "review_ts", "review_known", "return_known")
    return [*rows.drop(outcomes).to_dicts(), *windows.drop("item").to_dicts()]


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_LINES, _DAYS)
def test_nothing_in_the_future_of_a_row_changes_what_it_knows(
    tmp_path: Path, lines: list[dict[str, Any]], day: int
) -> None:
    """Later orders vanish, and outcomes that are still unknown are rewritten: the rows stay as they were."""
    moment = after(day)
    known = [line if line["delivered_ts"] < moment else line | {"delivered_ts": after(500)} for line in lines]
    unread = {"review_ts": after(500), "review_score": 3.0}
    known = [line if line["review_ts"] < moment else line | unread for line in known]
    past = [line for line in known if line["order_ts"] <= moment]
    assume(past)
    end = order(400, order_id="end")  # keeps the reference dates where they are
    assert features_before(tmp_path, [*lines, end], moment) == features_before(tmp_path, [*past, end], moment)
