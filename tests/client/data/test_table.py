"""A ready table: one row per example, whatever its size."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from client.data import arrays, build, sources
from shared_model.errors import DataError
from tests.client.exports import CATEGORY, NUMERIC, contract, dataset, write_table

BOUGHT = contract(features={"price": NUMERIC, "category": CATEGORY}, tasks={"bought": {"kind": "binary"}})
KINDS = contract(
    features={"price": NUMERIC},
    tasks={
        "bought": {"kind": "binary"},
        "size": {"kind": "multiclass", "classes": ["s", "m", "l"]},
        "tags": {"kind": "multilabel", "labels": ["gift", "sale"]},
        "spent": {"kind": "regression", "transform": "log1p"},
        "visits": {"kind": "count"},
        "item": {"kind": "retrieval"},
    },
)
LABELS = {"bought": "y"}


def table(rows: int = 100, **columns: Any) -> pl.DataFrame:
    frame = pl.DataFrame({"price": [float(n % 5) for n in range(rows)], "y": [n % 2 for n in range(rows)]})
    return frame.with_columns(**{name: pl.Series(values) for name, values in columns.items()})


@pytest.mark.parametrize("csv", [False, True])
def test_a_table_reads_alike_from_csv_and_parquet(tmp_path: Path, csv: bool) -> None:
    path = write_table(tmp_path, table(category=["a", "b"] * 50), csv=csv, labels=LABELS)
    made = dataset(path, BOUGHT)
    batch = made.batch(torch.arange(2))
    assert made.kinds == ("table",)
    assert batch.numeric.tolist() == [[0.0], [1.0]]
    assert batch.labels["bought"].tolist() == [0.0, 1.0]
    assert len(set(batch.ids["category"].tolist())) == 2


def test_every_kind_of_label(tmp_path: Path) -> None:
    first = datetime(2024, 1, 1)
    frame = table(
        3, t=[first] * 3, size=["m", None, "l"], tags=["sale|gift", "", "sale"],
        spent=[0.0, None, np.e - 1], visits=[3, 0, None], item=["mug", "pot", "mug"],
    )  # fmt: skip
    split = {"validation_from": "2024-02-01", "test_from": "2024-03-01"}
    names = {name: name for name in ("size", "tags", "spent", "visits", "item")} | LABELS
    made = dataset(write_table(tmp_path, frame, csv=True, time="t", split=split, labels=names), KINDS)
    labels = {
        name: values.nan_to_num(-1.0).tolist() for name, values in made.batch(torch.arange(3)).labels.items()
    }
    assert labels["size"] == [1.0, -1.0, 2.0]
    assert labels["tags"] == [[1.0, 1.0], [-1.0, -1.0], [0.0, 1.0]]
    assert labels["spent"] == pytest.approx([0.0, -1.0, 1.0])
    assert labels["visits"] == [3.0, 0.0, -1.0]
    assert labels["item"] == [0.0, 1.0, 0.0]
    assert made.catalogues["item"] == ("mug", "pot")


@pytest.mark.parametrize("words", [["yes", "no"], ["true", "false"], ["1.0", "0.0"]])
def test_a_binary_label_may_be_written_in_words(tmp_path: Path, words: list[str]) -> None:
    made = dataset(write_table(tmp_path, table(y=words * 50), csv=True, labels=LABELS), BOUGHT)
    assert made.batch(torch.arange(2)).labels["bought"].tolist() == [1.0, 0.0]


def test_a_label_is_read_alike_however_the_others_are_written(tmp_path: Path) -> None:
    made = dataset(
        write_table(tmp_path, table(y=["1.00", "0.00", "yes", "No"] * 25), csv=True, labels=LABELS), BOUGHT
    )
    assert made.batch(torch.arange(4)).labels["bought"].tolist() == [1.0, 0.0, 1.0, 0.0]


def test_a_label_outside_its_range_is_named_by_its_row(tmp_path: Path) -> None:
    path = write_table(tmp_path, table(y=[0, 1] * 49 + [1, 3]), labels=LABELS)
    with pytest.raises(DataError, match=r"bought: 1 labels .* 0 or 1 .* row 100 of examples\.parquet"):
        dataset(path, BOUGHT)


def test_a_column_that_changes_type_half_way_is_refused(tmp_path: Path) -> None:
    prices = ["1.5"] * 60 + ["cheap"] * 40
    path = write_table(tmp_path, table(price=prices), csv=True, labels=LABELS)
    with pytest.raises(
        DataError, match=r"'price', 40 of 100 values are not numbers.*row 61 of examples\.csv"
    ):
        dataset(path, BOUGHT)


def test_a_named_column_that_is_missing_is_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path, table(), labels=LABELS, columns={"price": "Preis"})
    with pytest.raises(
        DataError, match=r"no column 'Preis', which \[table\] columns.price names.*It has: price, y"
    ):
        dataset(path, BOUGHT)


def test_a_feature_is_read_from_the_column_that_the_contract_names(tmp_path: Path) -> None:
    lag = contract(features={"days": NUMERIC | {"column": "lag"}}, tasks={"bought": {"kind": "binary"}})
    made = dataset(write_table(tmp_path, table(2, lag=[3.0, 4.0]), labels=LABELS), lag)
    assert made.batch(torch.arange(2)).numeric.tolist() == [[3.0], [4.0]]


def test_lists_may_be_lists_or_text(tmp_path: Path) -> None:
    bags = contract(
        features={
            "tags": {"kind": "multi", "buckets": 64, "width": 2, "max_values": 2},
            "image": {"kind": "vector", "length": 2, "width": 2},
            "category": CATEGORY,
            "past": {"kind": "sequence", "of": ["category"], "max_length": 2},
        },
        tasks={"bought": {"kind": "binary"}},
    )
    text = table(1, tags=["red|big"], image=["1|2"], past=["mug|pot"])
    lists = table(1, tags=[["red", "big"]], image=[[1.0, 2.0]], past=[["mug", "pot"]])
    one = dataset(write_table(tmp_path / "text", text, csv=True, labels=LABELS), bags).batch(torch.arange(1))
    same = dataset(write_table(tmp_path / "lists", lists, labels=LABELS), bags).batch(torch.arange(1))
    assert one.vectors["image"].tolist() == same.vectors["image"].tolist() == [[1.0, 2.0]]
    assert {name: ids.tolist() for name, ids in one.ids.items()} == {
        n: i.tolist() for n, i in same.ids.items()
    }
    assert (one.ids["past.category"] > 0).all()


# --- the split ----------------------------------------------------------------------------------------


def test_without_times_units_are_split_by_a_stable_hash(tmp_path: Path) -> None:
    frame = table(3000, who=[f"c{n % 300}" for n in range(3000)])
    made = dataset(write_table(tmp_path, frame, unit="who", labels=LABELS), BOUGHT)
    parts = [set(made.unit[made.rows(part).numpy()].tolist()) for part in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [207, 43, 50]  # of 300 shoppers about 70, 15 and 15 %
    assert not (parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2])


def test_without_units_every_row_is_its_own(tmp_path: Path) -> None:
    made = dataset(write_table(tmp_path, table(), labels=LABELS), BOUGHT)
    assert len(set(made.unit.tolist())) == 100
    assert np.isnat(made.time).all()


def test_with_times_rows_are_split_by_date(tmp_path: Path) -> None:
    times = [datetime(2024, 1, 1) + timedelta(days=n) for n in range(100)]
    made = dataset(write_table(tmp_path, table(t=times), time="t", labels=LABELS), BOUGHT)
    assert [len(made.rows(part)) for part in ("train", "validation", "test")] == [10, 30, 60]


def test_a_row_without_its_time_is_dropped_and_counted(tmp_path: Path) -> None:
    times = [None, *(datetime(2024, 1, 1) + timedelta(days=n) for n in range(99))]
    made = dataset(write_table(tmp_path, table(t=times), time="t", labels=LABELS), BOUGHT)
    assert (len(made), made.readings[0].dropped) == (99, {"no time": 1})


# --- size ---------------------------------------------------------------------------------------------


def test_a_table_in_pieces_is_the_table_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = table(1000, who=[f"c{n % 30}" for n in range(1000)], category=[f"k{n % 7}" for n in range(1000)])
    whole = dataset(write_table(tmp_path / "whole", frame, unit="who", labels=LABELS), BOUGHT)
    monkeypatch.setitem(sources.pieces.__kwdefaults__, "rows", 64)
    parts = dataset(write_table(tmp_path / "parts", frame, unit="who", labels=LABELS), BOUGHT)
    one, other = whole.batch(torch.arange(1000)), parts.batch(torch.arange(1000))
    assert torch.equal(one.numeric, other.numeric)
    assert torch.equal(one.ids["category"], other.ids["category"])
    assert (whole.unit == parts.unit).all()


def test_arrays_worked_on_in_parts_are_the_arrays_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = {"kind": "retrieval", "max_items": 5}
    chosen = contract(tasks={"item": item})
    frame = table(400, who=[f"c{n % 30}" for n in range(400)], item=[f"i{n * n % 11}" for n in range(400)])
    names = {"unit": "who", "labels": {"item": "item"}}
    days = [datetime(2024, 1, 1) + timedelta(hours=n * 7 % 400) for n in range(400)]
    frame = frame.with_columns(t=pl.Series(days))
    split = {"validation_from": "2024-01-10", "test_from": "2024-01-13"}
    whole = dataset(write_table(tmp_path / "whole", frame, time="t", split=split, **names), chosen)
    monkeypatch.setattr(arrays, "CHUNK", 7)
    monkeypatch.setattr(build, "CHUNK", 7)
    parts = dataset(write_table(tmp_path / "parts", frame, time="t", split=split, **names), chosen)
    assert parts.catalogues == whole.catalogues
    assert len(whole.catalogues["item"]) == 5
    for one, other in zip(parts.purchases("item"), whole.purchases("item"), strict=True):
        assert (one == other).all()
    assert (parts.unit == whole.unit).all()


def test_every_shopper_tests_in_exactly_one_fold_and_validates_in_another(tmp_path: Path) -> None:
    frame = table(60, who=[f"shopper-{n % 20}" for n in range(60)])
    folds = [
        dataset(
            write_table(tmp_path / str(n), frame, labels=LABELS, unit="who", split={"folds": 3, "fold": n}),
            BOUGHT,
        )
        for n in range(3)
    ]
    parts = {
        part: [set(made.unit[made.rows(part).numpy()].tolist()) for made in folds]
        for part in ("train", "validation", "test")
    }
    assert sum(map(len, parts["test"])) == len(set.union(*parts["test"])) == 20
    assert parts["validation"] == [parts["test"][1], parts["test"][2], parts["test"][0]]
    assert parts["train"] == [parts["test"][2], parts["test"][0], parts["test"][1]]
