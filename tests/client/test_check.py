"""`fedbazaar-client check` says what the data is good for, and fails where it would be refused."""

import json
import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tomli_w
from typer.testing import CliRunner, Result

from client.cli import app, main
from client.config import load_merchant
from client.data.constant import constant_score
from client.data.dataset import prepare
from client.data.quality import Quality, inspect
from shared_model.schema import Binary, CountTask, Federation, Multiclass, Regression, Retrieval
from tests.client.exports import CATEGORY, NUMERIC, SPLIT, contract, order, write_shop, write_table

BOUGHT = contract(features={"price": NUMERIC, "category": CATEGORY}, tasks={"bought": {"kind": "binary"}})
LATE = {
    "federation": {"name": "test", "rounds": 1},
    "features": {"price": NUMERIC},
    "tasks": {
        "late": {"kind": "binary", "library": "late"},
        "returned": {"kind": "binary", "library": "returned"},
    },
    "bottom": {"architecture": "wide"},
}


def quality(path: Path, federation: Federation) -> Quality:
    config = load_merchant(path, federation)
    return inspect(prepare(config, federation), config, federation)


def table(folder: Path, rows: int = 600, **columns: Any) -> Quality:
    """The quality of a ready table of noise, with some columns replaced."""
    generator = np.random.default_rng(0)
    columns = {"price": generator.normal(size=rows), "y": generator.integers(0, 2, rows)} | columns
    return quality(write_table(folder, pl.DataFrame(columns), labels={"bought": "y"}), BOUGHT)


def check(folder: Path, path: Path, federation: dict[str, Any], *options: str) -> Result:
    agreement = folder / "federation.toml"
    agreement.write_text(tomli_w.dumps(federation))
    return CliRunner().invoke(app, ["check", str(path), "--contract", str(agreement), *options])


# --- the command --------------------------------------------------------------------------------------


def test_a_usable_shop_passes_and_the_report_says_what_was_read(tmp_path: Path) -> None:
    path = write_shop(tmp_path, [order(0), order(1, status="cancelled"), order(100)])
    result = check(tmp_path, path, LATE)
    assert result.exit_code == 0
    assert "1 cancelled" in result.output
    assert "off: returned in [orders] is missing or empty" in " ".join(result.output.split())
    assert "Nothing has left this machine" in result.output


def test_the_report_can_be_written_as_json(tmp_path: Path) -> None:
    path = write_shop(tmp_path, [order(0), order(1), order(100)])
    check(tmp_path, path, LATE, "--json", str(tmp_path / "report.json"))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["readings"][0] | {"notes": []} == {
        "table": "orders", "rows": 3, "kept": 3, "dropped": {}, "unreadable": {}, "notes": [],
    }  # fmt: skip
    assert report["labels"]["late"]["rows"] == {"train": 2, "validation": 0, "test": 1}
    assert report["missing"] == {"price": 0.0}


def test_an_error_is_one_line_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    contract_ = tmp_path / "nowhere.toml"
    monkeypatch.setattr(
        "sys.argv", ["fedbazaar-client", "check", "merchant.toml", "--contract", str(contract_)]
    )
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert (
        capsys.readouterr().err
        == f"Error: {contract_}: the file is missing; allowed: an existing TOML file\n"
    )


def test_too_few_shoppers_for_the_tier_would_be_refused(tmp_path: Path) -> None:
    path = write_shop(tmp_path, [order(0), order(1)])
    result = check(tmp_path, path, LATE | {"tiers": {"small": {"shoppers": 2, "weight": 1.0}}})
    assert result.exit_code == 1
    assert "tier small needs 2 shoppers before validation_from, here are 1" in " ".join(result.output.split())


def test_labels_in_the_test_period_alone_would_be_refused(tmp_path: Path) -> None:
    result = check(tmp_path, write_shop(tmp_path, [order(0, delivered_ts=None), order(100)]), LATE)
    assert result.exit_code == 1
    assert "no training row has a label" in result.output


def test_a_shop_without_a_single_label_is_refused_with_the_reasons(tmp_path: Path) -> None:
    result = check(tmp_path, write_shop(tmp_path, [order(0, delivered_ts=None)]), LATE)
    assert result.exit_code == 1
    assert "late is off, delivered_ts in [orders] is missing" in str(result.exception)


# --- suspicions ---------------------------------------------------------------------------------------


def test_noise_is_not_suspicious(tmp_path: Path) -> None:
    found = table(tmp_path)
    assert found.suspicions == ()
    assert found.missing == {"price": 0.0, "category": None}


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_a_feature_that_holds_the_label_is_named(tmp_path: Path, direction: float) -> None:
    labels = np.arange(600) % 2
    found = table(
        tmp_path, y=labels, price=direction * labels + np.random.default_rng(0).uniform(0, 0.9, 600)
    )
    assert found.suspicions == (
        "bought: price alone predicts the label almost perfectly; it may hold the answer",
    )


def test_a_category_that_holds_the_label_is_named(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 2, 600)
    found = table(
        tmp_path,
        y=labels,
        category=[f"{'won' if label else 'lost'} {n % 3}" for n, label in enumerate(labels)],
    )
    assert "bought: category alone predicts" in found.suspicions[0]


def test_a_category_that_is_unique_to_every_row_is_not(tmp_path: Path) -> None:
    assert table(tmp_path, category=[f"c{n}" for n in range(600)]).suspicions == ()


def test_a_feature_that_is_written_only_after_a_positive_outcome_is_named(tmp_path: Path) -> None:
    labels = np.arange(600) % 2
    found = table(tmp_path, y=labels, price=[float(n % 7) if n % 2 else None for n in range(600)])
    assert "bought: whether price is there almost tells the label" in found.suspicions[0]


def test_test_rows_that_also_train_are_counted(tmp_path: Path) -> None:
    found = table(tmp_path, price=[1.0, 2.0] * 300, y=[0, 1] * 300)
    assert any("100.0% of the test rows also occur" in line for line in found.suspicions)


def test_an_outcome_from_before_its_order_is_counted(tmp_path: Path) -> None:
    contract_ = contract(tasks={"bad_review": {"kind": "binary", "library": "bad_review"}})
    early = order(5, review_score=1.0, review_ts=order(4)["order_ts"])
    found = quality(write_shop(tmp_path, [early, order(6, review_score=5.0, review_ts=None)]), contract_)
    assert found.suspicions == (
        "bad_review: 1 labels were known before the moment at which they would be predicted",
    )


def test_rows_of_items_are_no_shoppers(tmp_path: Path) -> None:
    both = contract(
        tasks={
            "units": {"kind": "regression", "library": "units"},
            "late": {"kind": "binary", "library": "late"},
        }
    )
    found = quality(write_shop(tmp_path, [order(day, item_id=f"i{day}") for day in range(0, 100, 7)]), both)
    assert found.shoppers == 1


def test_a_table_by_time_reports_each_part(tmp_path: Path) -> None:
    times = [datetime(2024, 1, 1) + timedelta(days=n / 6) for n in range(600)]
    frame = pl.DataFrame({"price": np.arange(600.0), "y": [0, 0, 1] * 200, "t": times})
    found = quality(write_table(tmp_path, frame, time="t", labels={"bought": "y"}), BOUGHT).labels["bought"]
    assert found.rows == {"train": 60, "validation": 180, "test": 360}
    assert found.mean["train"] == pytest.approx(1 / 3)


# --- crowds under one key -----------------------------------------------------------------------------


def shared_key(folder: Path, guests: int) -> Path:
    """A shop whose guests all are customer 0, beside 100 customers with one order each."""
    lines = [order(day / 10, customer_id="0" if day < guests else f"c{day}") for day in range(guests + 100)]
    return write_shop(folder, lines)


def test_a_key_that_all_guests_share_is_named_with_its_column_and_what_to_do(tmp_path: Path) -> None:
    path = shared_key(tmp_path, guests=60)
    result = check(tmp_path, path, LATE)
    assert result.exit_code == 0
    said = " ".join(result.output.split())
    assert "38% of the rows belong to one shopper by customer_id in [orders]" in said  # 60 of 160
    assert "empty the column for them" in said


def test_customers_who_order_as_often_as_people_do_are_no_crowd(tmp_path: Path) -> None:
    path = shared_key(tmp_path, guests=49)
    assert "many persons" not in check(tmp_path, path, LATE).output


def test_in_a_ready_table_the_column_of_the_unit_is_named(tmp_path: Path) -> None:
    columns = {
        "price": [1.0] * 600,
        "y": [0, 1] * 300,
        "buyer": ["guest"] * 300 + [f"c{i}" for i in range(300)],
    }
    path = write_table(tmp_path, pl.DataFrame(columns), labels={"bought": "y"}, unit="buyer")
    [said] = quality(path, BOUGHT).crowds
    assert "one shopper by buyer in [table]" in said


# --- constant predictors ------------------------------------------------------------------------------


def score(task: Any, train: list[float], test: list[float], items: int = 0) -> float:
    found = constant_score(task, np.array(train), np.array(test), items=items)
    assert found is not None
    return found.value


def test_the_log_loss_of_the_training_rate() -> None:
    assert score(Binary(kind="binary"), [0, 0, 0, 1], [1, 0]) == pytest.approx(
        -(math.log(0.25) + math.log(0.75)) / 2
    )


def test_the_log_loss_of_the_class_frequencies() -> None:
    task = Multiclass(kind="multiclass", classes=("a", "b"))
    assert score(task, [0, 0, 0, 1], [1]) == pytest.approx(-math.log(0.25))


def test_the_rmse_of_the_training_mean() -> None:
    assert score(Regression(kind="regression"), [1, 3], [5, -1]) == 3.0


def test_the_poisson_loss_of_the_training_rate() -> None:
    assert score(CountTask(kind="count"), [1, 3], [2]) == pytest.approx(2 - 2 * math.log(2) + math.log(2))


def test_the_recall_of_the_ten_most_popular_items() -> None:
    train = [item for item in range(12) for _ in range(20 - item)]  # 0 is the most popular, 11 the least
    assert score(Retrieval(kind="retrieval"), train, [0, 9, 10, 11], items=12) == 0.5


def test_without_test_labels_there_is_no_score() -> None:
    assert constant_score(Binary(kind="binary"), np.array([1.0]), np.array([])) is None


PRIVATE = LATE | {
    "federation": {"name": "test", "rounds": 1, "full_batch": True},
    "privacy": {"epsilon": 8.0, "delta": 1e-6},
}


def test_a_private_contract_says_what_it_promises_a_shopper(tmp_path: Path) -> None:
    path = write_shop(tmp_path, [order(0), order(100)], split=SPLIT, privacy={"max_epsilon": 4.0})
    shown = " ".join(check(tmp_path, path, PRIVATE).output.split())
    assert "Each shopper is protected in what leaves: epsilon 8 at delta 1e-06" in shown
    assert "its own cap of 4" in shown


def test_a_delta_that_lets_a_shopper_through_is_warned_of(tmp_path: Path) -> None:
    path = write_shop(tmp_path, [order(day, customer_id=f"c{day}") for day in (0, 10, 20)], split=SPLIT)
    told = check(tmp_path, path, PRIVATE | {"privacy": {"epsilon": 8.0, "delta": 0.5}}).output
    assert "Take a delta far below it." in " ".join(told.split())


def test_a_contract_without_privacy_says_so(tmp_path: Path) -> None:
    path = write_shop(tmp_path, [order(0), order(100)])
    assert "WITHOUT differential privacy" in check(tmp_path, path, LATE).output


def test_a_split_that_one_shopper_can_move_is_named_before_joining(tmp_path: Path) -> None:
    days = {"validation_days": 10, "test_days": 10}
    path = write_shop(tmp_path, [order(0), order(100)], split=days)
    result = check(tmp_path, path, PRIVATE)
    assert result.exit_code == 1
    assert "split.validation_from" in result.output
