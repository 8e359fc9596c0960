"""Writes the private view of a merchant's training rows (`private_rows.py` reads it).

It holds training rows only, of each unit a bounded number, ordered by unit. Nothing in it that belongs to one
unit depends on another (`private_shop.py`). The sums over blocks do; they are kept aside for `statistics.py`.

Files, with N rows as they were read, M of them kept, T blocks: what `draft.Draft` writes (N,); `order`, the
rows that are kept, int64 (M,); `owner`, their units, ascending, int64 (M,); `weight`, float32 (M,);
`blocks.<series>` (T,). With noised labels also `counts.sold`, the exact bounded counts (I, W), and their
items, `counts.items`; `counts.item` and `counts.week`, which of them a row stands for (N,), -1 for none.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from client.config import MerchantConfig
from shared_model import library, schema
from shared_model.privacy.plan import Plan, plan_of
from shared_model.schema import Federation, Privacy, Task

from . import meta, private_shop, shop, table
from .arrays import Array, load, save
from .blocks import SERIES, block_sums
from .counts import ROW_WEEKS, Counts, exact_counts
from .crowds import crowd_share
from .draft import HASHED, Draft, hashed_units
from .encoding import Where
from .kept import kept
from .private_checks import (
    asks_of_items,
    check_private_items,
    check_private_split,
    check_private_table,
    private_tasks,
)
from .rows.item_window import first_items, item_weeks, separate_item_windows
from .rows.shop import Shop
from .shop import unlabelled
from .split import PARTS, Bounds, assign_by_hash, dated_bounds
from .tally import Tally

Rows = Iterator[tuple[str, pl.DataFrame, Where]]
"""Kind, some rows of it, and how to name one for a person."""

_MAKERS = {**shop.ROW_MAKERS, "item_window": separate_item_windows}
_AT = "_at"
"""Column with a row's position before others were left out."""


def private_folder(config: MerchantConfig, federation: Federation) -> Path:
    """Return the folder of a merchant's private view, encoding it first where it is missing or out of date.

    Raises:
        ConfigError: The merchant's file does not say what is needed (`private_checks.py`).
        DataError: The data cannot be read.
        OSError: The disk is full or not writable.
    """
    return kept(config.state / "private", _build, config, federation)


def read_block_sums(config: MerchantConfig, federation: Federation) -> dict[str, NDArray[np.float64]]:
    """Return the exact sums over blocks, by series; of no block for a ready table (errors as above)."""
    folder = private_folder(config, federation)
    return {series: np.array(load(folder, f"blocks.{series}")) for series in SERIES}


def is_owned_by_items(kind: str) -> bool:
    """Whether the rows of a kind belong to items; those of a ready table belong to shoppers."""
    return kind in library.ROW_KINDS and library.ROW_KINDS[kind].owner == "item"


def _build(config: MerchantConfig, federation: Federation, folder: Path) -> None:
    privacy = federation.privacy
    if privacy is None:
        raise ValueError("Expected a contract with a [privacy] table.")
    check_private_split(config)
    check_private_table(config, privacy)
    check_private_items(config)
    trained = private_tasks(config, federation)
    tasks = {name: task for name, task in config.tasks.items() if name in trained}
    split = dated_bounds(config.split, timezone=config.timezone)
    with Draft(folder, federation, tasks) as draft:
        if config.table is not None:
            sums, buyers = dict.fromkeys(SERIES, np.zeros(0)), np.zeros(0, np.uint64)
            _add(draft, _table_rows(config, federation, privacy, split))
        else:
            assert split is not None  # only a ready table may go without dates
            made = private_shop.load(config, privacy, split)
            sums, buyers = block_sums(made.orders, split.validation_from), _buyers(made, tasks)
            noised = {n: t for n, t in tasks.items() if n in schema.with_labels(federation, "noised")}
            _add(draft, _shop_rows(made, {n: t for n, t in tasks.items() if n not in noised}, federation))
            if noised:
                _add_item_weeks(draft, made, plan_of(federation, config.tier), federation)
    save(folder, {f"blocks.{series}": sums[series] for series in SERIES})
    _finish(draft, privacy.max_records, buyers)


def _add(draft: Draft, rows: Rows) -> None:
    """Add the rows that have a label of any task, without the columns that are computed across shoppers."""
    for kind, frame, where in rows:
        labels = [pl.col(c).is_not_null() for n in draft.tasks if (c := f"label.{n}") in frame.columns]
        labelled, named = _some(frame, pl.any_horizontal(pl.lit(False), *labels), where)
        draft.add(kind, labelled.drop(schema.reads_across_shoppers(draft.federation), strict=False), named)
    if not draft.rows:
        draft.add_nothing()


def _add_item_weeks(draft: Draft, made: Shop, plan: Plan, federation: Federation) -> None:
    """Add a row for every item and every second week, and keep the exact bounded counts aside."""
    assert plan.counts is not None  # there is a task with noised labels
    rows, before = item_weeks(made, ROW_WEEKS), draft.rows
    draft.add("item_window", unlabelled(made, "item_window", rows, federation), _kind_only("item_window"))
    nothing = np.full(before, -1)
    sums = exact_counts(made.lines, made.items, made.bounds.validation_from, plan.counts)
    save(
        draft.folder,
        {
            "counts.sold": sums.sold,
            "counts.items": np.array(sums.items, dtype=np.str_),
            "counts.item": np.concatenate([nothing, rows["item"].to_numpy()]),
            "counts.week": np.concatenate([nothing, rows["week"].to_numpy()]),
        },
    )


def read_counts(config: MerchantConfig, federation: Federation) -> Counts:
    """Return the exact bounded counts of a merchant; they never leave this machine (errors as above)."""
    folder = private_folder(config, federation)
    items = tuple(load(folder, "counts.items").tolist())
    return Counts(items=items, sold=np.array(load(folder, "counts.sold")))


def _some(frame: pl.DataFrame, wanted: pl.Expr, where: Where) -> tuple[pl.DataFrame, Where]:
    """Some rows of a frame, and how to name them."""
    found = frame.with_row_index(_AT).filter(wanted)
    places = found[_AT]
    return found.drop(_AT), lambda row: where(int(places[row]))


# --- training rows ------------------------------------------------------------------------------------


def _shop_rows(made: Shop, tasks: dict[str, Task], federation: Federation) -> Rows:
    of_items = {name: task for name, task in tasks.items() if asks_of_items(task)}
    of_shoppers = {name: task for name, task in tasks.items() if name not in of_items}
    counted = replace(made, lines=first_items(made.lines))
    training = pl.col("time") < made.bounds.validation_from
    for rows in chain(
        shop.rows(made, of_shoppers, federation), shop.rows(counted, of_items, federation, makers=_MAKERS)
    ):
        yield rows.kind, rows.frame.filter(training), _kind_only(rows.kind)


def _table_rows(
    config: MerchantConfig, federation: Federation, privacy: Privacy, split: Bounds | None
) -> Rows:
    tally = Tally()
    for chunk in table.chunks(config, federation, tally):
        training = _in_training(chunk.frame, split)
        frame, where = _some(chunk.frame, pl.lit(training), chunk.where)
        yield table.KIND, frame.drop("unit", strict=False) if privacy.unit == "record" else frame, where
    tally.judge(config.table.source if config.table else "", table=table.KIND)


def _in_training(frame: pl.DataFrame, split: Bounds | None) -> pl.Series:
    """By time, or else by the unit's hash. A row without both is out: its position would have to place it."""
    if "time" in frame.columns and split is not None:
        return frame["time"] < split.validation_from
    by_hash = assign_by_hash(hashed_units(frame["unit"].fill_null(""))) == PARTS.index("train")
    return pl.Series(by_hash) & frame["unit"].is_not_null()


def _kind_only(kind: str) -> Where:
    return lambda row: f"a row of kind {kind}"


def _buyers(made: Shop, tasks: dict[str, Task]) -> NDArray[np.uint64]:
    """The units whose purchases items' rows count, if such rows are wanted."""
    if not any(asks_of_items(task) for task in tasks.values()):
        return np.zeros(0, np.uint64)
    training = made.lines.filter(pl.col("order_ts") < made.bounds.validation_from)
    return training["unit"].unique().to_numpy()


# --- what depends on all rows of a unit ---------------------------------------------------------------


def _finish(draft: Draft, max_records: int, buyers: NDArray[np.uint64]) -> None:
    """Keep the latest rows of each unit, order them by unit, count the shoppers and look for crowds."""
    folder = draft.folder
    hashed, kind, times = (load(folder, name) for name in (HASHED, "kind", "time"))
    of_items = np.array([is_owned_by_items(name) for name in draft.kinds] or [False])
    order = latest(hashed, kind, times, most=np.where(of_items, max(len(hashed), 1), max_records))
    names, owner, rows = np.unique(hashed[order], return_inverse=True, return_counts=True)
    weight = np.where(of_items[kind[order]], 1 / rows[owner], 1.0)
    save(folder, {"order": order, "owner": owner.astype(np.int64), "weight": weight.astype(np.float32)})
    shoppers = np.union1d(hashed[order][~of_items[kind[order]]], buyers)
    crowd = crowd_share(hashed[~of_items[kind]])
    (folder / f"{HASHED}.npy").unlink()
    facts = {"kinds": draft.kinds, "units": len(names), "shoppers": len(shoppers), "crowd": crowd}
    meta.write(folder, facts)


def latest(units: Array, kind: Array, times: Array, *, most: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the positions of the rows that count, ordered by unit, kind, time and position.

    Which of a unit's rows count is decided among that unit's rows alone.

    Args:
        units: Of each row, shape (N,).
        kind: Of each row, as a position in `most`, shape (N,).
        times: Of each row, shape (N,).
        most: Of every kind so many of each unit's rows count, the latest ones.

    >>> one, day = np.zeros(3, int), np.array([3, 1, 2])
    >>> latest(one, one, day, most=np.array([2])).tolist()
    [2, 0]
    """
    order = np.lexsort((times, kind, units))
    changes = (np.diff(units[order]) != 0) | (np.diff(kind[order]) != 0)
    ends = np.flatnonzero(np.append(changes, np.ones(min(len(order), 1), bool)))
    sizes = np.diff(ends, prepend=-1)
    following = np.repeat(ends, sizes) - np.arange(len(order))
    found: NDArray[np.int64] = order[following < most[kind[order]]]
    return found
