"""Writes an encoded dataset: arrays with one row per example, and `meta.json` about them.

Rows are appended kind by kind (shop tables) or chunk by chunk (a ready table). What depends on all rows,
which is the split, the units' numbers and the catalogues, is worked out from small columns at the end.

Files, with N rows: `time` (N,) datetime64[us]; `unit` (N,) int64, numbered from 0; `kind` and `part` (N,)
uint8; the features' arrays (`encoding.py`); `labels.<task>` (N,) or (N, labels). Per retrieval task, with P
purchases in the order of unit and time: `bought.<task>.unit`, `.time`, `.item` (P,); `sold.<task>` (items,);
and the items' features, where a tower reads them (`assortment.py`).
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from client.config import MerchantConfig
from client.merchant_file import Split
from shared_model import library
from shared_model.errors import DataError
from shared_model.schema import Federation

from . import meta, shop, table
from .arrays import CHUNK, Array, GrowingFolder, chunks, load, save
from .assortment import assortment, write_items
from .catalogue import Catalogue, catalogue
from .draft import HASHED, Draft, plain_times
from .earlier import Purchases, Rows, write_earlier
from .encoding import item_hashes
from .reading import TaskStatus
from .split import PARTS, Bounds, assign, assign_by_fold, assign_by_hash, bounds
from .tally import Tally


def build(config: MerchantConfig, federation: Federation, folder: Path) -> None:
    """Read a merchant's data and write the encoded dataset into `folder`.

    Raises:
        DataError: The data cannot be read, or no usable row is left.
        OSError: The disk is full or not writable.
    """
    made = (_build_table if config.table else _build_shop)(config, federation, folder)
    meta.write(folder, asdict(made))


def _build_shop(config: MerchantConfig, federation: Federation, folder: Path) -> meta.Meta:
    data = shop.load(config)
    tasks = {name: task for name, task in config.tasks.items() if data.status[name].on}
    early: Counter[str] = Counter()
    with Draft(folder, federation, tasks) as draft:
        rows: Counter[str] = Counter()
        for made in shop.rows(data.shop, tasks, federation):
            early.update(made.early)
            draft.add(made.kind, made.frame, partial(_named_row, made.kind, rows[made.kind]))
            rows[made.kind] += len(made.frame)
    bought = _Purchases.of(data.shop.lines) if draft.items else None
    known = assortment(data.shop) if any(draft.content(name) for name in draft.items) else None
    readings, status, found = data.readings, data.status, data.shop.bounds
    del data  # the shop's tables are not needed any more
    status, catalogues = _finish(draft, partial(_parts, config.split, found), status, bought, known)
    return meta.Meta(
        kinds=tuple(draft.kinds),
        rows_of={name: library.TASKS[tasks[name].library].rows for name in tasks if status[name].on},
        catalogues=catalogues,
        status=status,
        readings=readings,
        early=dict(early),
        bounds=_written(found),
        slots={kind: tuple(slots) for kind, slots in draft.slots.items()},
    )


def _build_table(config: MerchantConfig, federation: Federation, folder: Path) -> meta.Meta:
    labels = config.table.labels if config.table else {}
    reason = "no label column is mapped to it"
    wanted = {
        name: TaskStatus(on=name in labels, reason="" if name in labels else reason) for name in config.tasks
    }
    tasks = {name: task for name, task in config.tasks.items() if wanted[name].on}
    tally = Tally()
    with Draft(folder, federation, tasks) as draft:
        for chunk in table.chunks(config, federation, tally):
            draft.add(table.KIND, chunk.frame, chunk.where)
    reading = tally.judge(config.table.source if config.table else "", table=table.KIND)
    found = _table_bounds(config, folder) if draft.rows else None
    status, catalogues = _finish(draft, partial(_parts, config.split, found), wanted, None, None)
    return meta.Meta(
        kinds=tuple(draft.kinds),
        rows_of={name: table.KIND for name in tasks if status[name].on},
        catalogues=catalogues,
        status=status,
        readings=(reading,),
        early={},
        bounds=_written(found) if found else (),
        slots={kind: tuple(slots) for kind, slots in draft.slots.items()},
    )


def _named_row(kind: str, before: int, row: int) -> str:
    return f"{kind} row {before + row + 1}"


def _table_bounds(config: MerchantConfig, folder: Path) -> Bounds | None:
    times = load(folder, "time")
    if config.table is None or not config.table.time:
        return None
    last = times.max().astype(datetime).replace(tzinfo=UTC)
    return bounds(config.split, timezone=config.timezone, last=last)


# --- what depends on all rows -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Purchases:
    """Who bought what and when, shape (P,) each: hashed units, times, hashed items."""

    units: NDArray[np.uint64]
    times: NDArray[np.datetime64]
    items: NDArray[np.uint64]

    @classmethod
    def of(cls, lines: pl.DataFrame) -> Self:
        """Every order line is a purchase."""
        return cls(
            units=lines["unit"].to_numpy(),
            times=plain_times(lines["order_ts"]),
            items=item_hashes(lines["item_id"]),
        )


def _parts(
    split: Split, found: Bounds | None, units: NDArray[np.uint64], times: NDArray[np.datetime64]
) -> NDArray[np.uint8]:
    """Return the part of every row, by shopper where there are folds or no times."""
    if split.folds:
        return assign_by_fold(units, split.folds, split.fold)
    return assign_by_hash(units) if found is None else assign(times, found)


def _finish(
    draft: Draft,
    parts: Callable[..., NDArray[np.uint8]],
    wanted: Mapping[str, TaskStatus],
    purchases: _Purchases | None,
    known: pl.DataFrame | None,
) -> tuple[dict[str, TaskStatus], dict[str, tuple[str, ...]]]:
    """Number the units, split the rows, make the catalogues, and switch off tasks without a single label.

    Args:
        draft: Closed.
        parts: Part of every row, of the hashes of their shoppers and their times.
        wanted: Status of every wanted task so far.
        purchases: For the floors of retrieval tasks; None to take the labelled rows themselves.
        known: What the shop says of its items (`assortment.assortment`).
    """
    if not draft.rows:
        raise DataError(f"no example could be made: {_reasons(wanted)}")
    folder = draft.folder
    hashed, times = load(folder, HASHED), load(folder, "time")
    units = np.unique(hashed)
    with GrowingFolder(folder) as split:
        for part in chunks(draft.rows):
            here = parts(hashed[part], times[part])
            split.append({"unit": np.searchsorted(units, hashed[part]), "part": here})
    catalogues: dict[str, tuple[str, ...]] = {}
    for name, items in draft.items.items():
        hashes = load(folder, f"{HASHED}.{name}")
        train = load(folder, "part") == PARTS.index("train")
        chosen = catalogue(hashes, train=train, max_items=draft.max_items(name))
        bought = purchases or _Purchases(units=hashed, times=times, items=hashes)
        _write_catalogue(folder, name, chosen, hashes)
        _write_bought(folder, name, bought, units, chosen)
        if draft.learns_from_repeats(name):
            _write_earlier(draft, name)
        (folder / f"{HASHED}.{name}.npy").unlink()
        catalogues[name] = tuple(items[int(h)] for h in chosen.hashes)
        if content := draft.content(name):
            write_items(folder, name, catalogues[name], known, draft.federation, content)
    (folder / f"{HASHED}.npy").unlink()
    return _without_unlabelled(draft, wanted), catalogues


def _write_bought(
    folder: Path, name: str, bought: _Purchases, units: NDArray[np.uint64], chosen: Catalogue
) -> None:
    """Write the purchases of catalogue items by known units, in the order of unit and time.

    Units are numbered in the order of their hashes, so it is done for one range of hashes after the other.
    """
    ranges = np.array_split(units, min(len(bought.units) // CHUNK + 1, len(units)))
    first = 0
    with GrowingFolder(folder) as written:
        for here in ranges:
            found = [_known(bought, part, here, chosen) for part in chunks(len(bought.units))]
            columns = {column: np.concatenate([part[column] for part in found]) for column in _BOUGHT}
            order = np.lexsort((columns["time"], columns["unit"]))
            columns["unit"] += first
            written.append({f"bought.{name}.{column}": columns[column][order] for column in _BOUGHT})
            first += len(here)


_BOUGHT = ("unit", "time", "item")


def _write_earlier(draft: Draft, name: str) -> None:
    """Write what shoppers bought before, for the rows that the task is asked on."""
    folder, rows_of = draft.folder, draft.tasks[name].library
    kind = load(folder, "kind")
    asked = library.TASKS[rows_of].rows if rows_of else ""
    asks = kind == draft.kinds.index(asked) if asked in draft.kinds else np.ones(len(kind), np.bool_)
    bought = Purchases(*(load(folder, f"bought.{name}.{column}") for column in Purchases._fields))
    write_earlier(folder, name, Rows(load(folder, "unit"), load(folder, "time"), asks), bought)


def _known(bought: _Purchases, part: slice, units: NDArray[np.uint64], chosen: Catalogue) -> dict[str, Array]:
    """Of a part of the purchases those of catalogue items by `units` (ascending), as numbers."""
    theirs = np.flatnonzero((bought.units[part] >= units[0]) & (bought.units[part] <= units[-1]))
    owner = np.searchsorted(units, bought.units[part][theirs])
    times, items = bought.times[part][theirs], chosen.positions(bought.items[part][theirs])
    kept = (items >= 0) & (units[owner] == bought.units[part][theirs]) & ~np.isnat(times)
    return {"unit": owner[kept], "time": times[kept], "item": items[kept]}


def _write_catalogue(folder: Path, name: str, chosen: Catalogue, hashes: NDArray[np.uint64]) -> None:
    with GrowingFolder(folder) as labels:
        for part in chunks(len(hashes)):
            positions = chosen.positions(hashes[part])
            there = (positions >= 0) & (hashes[part] != 0)
            labels.append({f"labels.{name}": np.where(there, positions, np.nan).astype(np.float32)})
    save(folder, {f"sold.{name}": chosen.sold})


def _without_unlabelled(draft: Draft, wanted: Mapping[str, TaskStatus]) -> dict[str, TaskStatus]:
    status = dict(wanted)
    for name in draft.tasks:
        labels = load(draft.folder, f"labels.{name}")
        if not any(np.isfinite(labels[part]).any() for part in chunks(draft.rows)):
            status[name] = TaskStatus(on=False, reason="no row has a label that counts")
    return status


def _reasons(status: Mapping[str, TaskStatus]) -> str:
    return "; ".join(f"{name} is {'on' if s.on else 'off, ' + s.reason}" for name, s in status.items())


def _written(found: Bounds) -> tuple[str, ...]:
    return found.validation_from.isoformat(), found.test_from.isoformat()
