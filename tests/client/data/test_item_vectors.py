"""Vectors of items that were computed elsewhere reach the rows on which the item is known, and the tower."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from client.data.dataset import Dataset
from shared_model.errors import ConfigError, DataError
from shared_model.schema import Federation
from tests.client.exports import contract, dataset, order, write_merchant, write_shop

PHOTO = {"kind": "vector", "length": 2, "width": 2}
LATE = {"kind": "binary", "library": "late"}
NEXT = {"kind": "retrieval", "library": "next_item", "content": ["photo"]}
DAYS = [order(0, item_id="mug"), order(1, item_id="pot"), order(2, item_id="pot")]


def agreed(**tasks: Any) -> Federation:
    bottom = {"architecture": "shared_bottom", "hidden": [2]}
    return contract(features={"photo": PHOTO}, tasks=tasks or {"late": LATE}, bottom=bottom)


def shop(folder: Path, items: Mapping[str, list[Any]], **declared: Any) -> Path:
    """A shop whose items table stands in a file of its own."""
    write_shop(folder, DAYS)
    pl.DataFrame(items).write_parquet(folder / "items.parquet")
    return write_merchant(
        folder,
        orders={"source": "orders.parquet"},
        items={"source": "items.parquet", "vectors": {"photo": "embedding"}, **declared},
        split={"validation_from": "2024-03-01", "test_from": "2024-04-01"},
    )


def photos(made: Dataset) -> list[list[float]]:
    found: list[list[float]] = made.batch(made.rows("train")).vectors["photo"].tolist()
    return found


def test_a_row_has_the_vector_of_its_item(tmp_path: Path) -> None:
    path = shop(tmp_path, {"item_id": ["pot", "mug"], "embedding": [[0.5, 1.0], [2.0, -1.0]]})
    assert photos(dataset(path, agreed())) == [[2.0, -1.0], [0.5, 1.0], [0.5, 1.0]]


def test_a_vector_may_be_written_as_text(tmp_path: Path) -> None:
    path = shop(tmp_path, {"item_id": ["pot", "mug"], "embedding": ["0.5; 1", None]}, separator=";")
    assert photos(dataset(path, agreed())) == [[0.0, 0.0], [0.5, 1.0], [0.5, 1.0]]


def test_an_item_that_the_table_does_not_know_has_none(tmp_path: Path) -> None:
    path = shop(tmp_path, {"item_id": ["pot"], "embedding": [[0.5, 1.0]]})
    assert photos(dataset(path, agreed()))[0] == [0.0, 0.0]


def test_where_the_item_is_not_known_yet_neither_is_its_vector(tmp_path: Path) -> None:
    path = shop(tmp_path, {"item_id": ["pot"], "embedding": [[0.5, 1.0]]})
    assert not torch.tensor(photos(dataset(path, agreed(next_item=NEXT)))).any()


def test_the_tower_sees_the_vectors_of_the_catalogue(tmp_path: Path) -> None:
    path = shop(tmp_path, {"item_id": ["pot", "cup"], "embedding": [[0.5, 1.0], [9.0, 9.0]]})
    made = dataset(path, agreed(next_item=NEXT))
    assert made.catalogues["next_item"] == ("pot", "mug")
    items = made.batch(torch.tensor([0])).items["next_item"]
    assert items.vectors["photo"].tolist() == [[0.5, 1.0], [0.0, 0.0]]


def test_a_vector_of_another_length_is_an_error(tmp_path: Path) -> None:
    path = shop(tmp_path, {"item_id": ["pot"], "embedding": [[0.5, 1.0, 2.0]]})
    with pytest.raises(DataError, match="a vector of 3 numbers was found; the contract says 2"):
        dataset(path, agreed())


def test_a_column_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = shop(tmp_path, {"item_id": ["pot"], "picture": [[0.5, 1.0]]})
    with pytest.raises(DataError, match=r"no column 'embedding', which \[items\] vectors names for photo"):
        dataset(path, agreed())


def test_only_vector_features_may_be_named(tmp_path: Path) -> None:
    path = shop(tmp_path, {"item_id": ["pot"], "embedding": [[0.5, 1.0]]}, vectors={"price": "embedding"})
    with pytest.raises(ConfigError, match=r"items\.vectors\.price.*vector features of the contract: photo"):
        dataset(path, agreed())
