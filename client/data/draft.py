"""The arrays of a dataset while its rows are still being read."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared_model import schema
from shared_model.schema import Federation, Task

from .arrays import Array, GrowingFolder
from .encoding import Where, encode_features, encode_label, item_hash
from .hashing import hashed
from .pieces import PIECE_ROWS

HASHED = "hashed"
"""Beginning of the names of files with 64-bit hashes, which are gone when the dataset is finished."""


_LIKE_ALONE = r"^(named )*row \d+$"
"""Owners whose names look like those of rows without an owner get other names."""


class Draft(GrowingFolder):
    """The growing arrays of a dataset; remembers the few things that are needed to finish it."""

    def __init__(self, folder: Path, federation: Federation, tasks: Mapping[str, Task]) -> None:
        super().__init__(folder)
        self.folder, self.tasks = folder, tasks
        self.kinds: list[str] = []
        self.slots: dict[str, list[str]] = {}
        self.items: dict[str, dict[int, str]] = {
            n: {} for n, t in tasks.items() if isinstance(t, schema.Retrieval)
        }
        self.rows = 0
        self.federation = federation

    def add(self, kind: str, frame: pl.DataFrame, where: Where) -> None:
        """Encode rows of a kind and append them, a slice at a time."""
        for start in range(0, len(frame), PIECE_ROWS):
            self._add(kind, frame[start : start + PIECE_ROWS], partial(_shifted, where, start))

    def add_nothing(self) -> None:
        """Make the arrays of a dataset without a single row."""
        self._append("", pl.DataFrame(), lambda row: "no row")

    def _add(self, kind: str, frame: pl.DataFrame, where: Where) -> None:
        if kind not in self.kinds:
            self.kinds.append(kind)
            self.slots[kind] = [c for c in frame.columns if not c.startswith("label.")]
        self._append(kind, frame, where)

    def _append(self, kind: str, frame: pl.DataFrame, where: Where) -> None:
        number = self.kinds.index(kind) if kind in self.kinds else 0
        self.append(
            {
                "time": plain_times(frame["time"]) if "time" in frame.columns else _no_times(len(frame)),
                HASHED: self._units(frame),
                "kind": np.full(len(frame), number, np.uint8),
                **encode_features(frame, self.federation),
                **{
                    self._file(name): self._label(name, task, frame, where)
                    for name, task in self.tasks.items()
                },
            }
        )
        self.rows += len(frame)

    def max_items(self, name: str) -> int:
        """Return the largest catalogue of a retrieval task."""
        task = self.tasks[name]
        return task.max_items if isinstance(task, schema.Retrieval) else 0

    def content(self, name: str) -> tuple[str, ...]:
        """Return the features that describe the items of a retrieval task."""
        task = self.tasks[name]
        return task.content if isinstance(task, schema.Retrieval) else ()

    def learns_from_repeats(self, name: str) -> bool:
        """Return whether a task looks at what shoppers bought before."""
        task = self.tasks[name]
        return isinstance(task, schema.Retrieval) and task.repeats

    def _file(self, name: str) -> str:
        return f"{HASHED}.{name}" if name in self.items else f"labels.{name}"

    def _units(self, frame: pl.DataFrame) -> NDArray[np.uint64]:
        """Hashes of the owners; a row without one is a unit of its own, told apart by its position."""
        positions = pl.Series(range(self.rows, self.rows + len(frame)), dtype=pl.Int64)
        alone = "row " + positions.cast(pl.String)
        if "unit" not in frame.columns:
            return hashed_units(alone)
        if frame["unit"].dtype == pl.UInt64:
            return frame["unit"].to_numpy()
        named = pl.when(pl.col("unit").str.contains(_LIKE_ALONE)).then("named " + pl.col("unit"))
        return hashed_units(frame.select(pl.coalesce(named, "unit", alone)).to_series())

    def _label(self, name: str, task: Task, frame: pl.DataFrame, where: Where) -> Array:
        column = f"label.{name}"
        if column in frame.columns:
            values = frame[column]
        else:
            values = pl.Series([None], dtype=_LABEL_DTYPES.get(task.kind, pl.Float64())).new_from_index(
                0, len(frame)
            )
        if name in self.items:
            for item in values.drop_nulls().unique():
                self.items[name].setdefault(item_hash(item), item)
        return encode_label(name, task, values, where)


def _shifted(where: Where, start: int, row: int) -> str:
    return where(start + row)


_LABEL_DTYPES: Mapping[str, pl.DataType] = {
    "multiclass": pl.String(),
    "retrieval": pl.String(),
    "multilabel": pl.List(pl.String()),
}


def hashed_units(units: pl.Series) -> NDArray[np.uint64]:
    """Return a 64-bit hash of every owner, shape (B,)."""
    return hashed(units, "unit").to_numpy()


def plain_times(times: pl.Series) -> NDArray[np.datetime64]:
    """Return UTC times as datetime64[us], shape (B,)."""
    return times.dt.replace_time_zone(None).cast(pl.Datetime("us")).to_numpy()


def _no_times(rows: int) -> NDArray[np.datetime64]:
    return np.full(rows, np.datetime64("NaT"), "datetime64[us]")
