"""Writes an encoded dataset: arrays with one row per example, and `meta.json` about them.

Rows are appended kind by kind (shop tables) or chunk by chunk (a ready table). What depends on all rows,
which is the split, the units' numbers and the catalogues, is worked out from small columns at the end.

Files, with N rows: `time` (N,) datetime64[us]; `unit` (N,) int64, numbered from 0; `kind` and `part` (N,)
uint8; the features' arrays (`encoding.py`); `labels.<task>` (N,) or (N, labels). Per retrieval task, with P
purchases in the order of unit and time: `bought.<task>.unit`, `.time`, `.item` (P,); `sold.<task>` (items,).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client.config import MerchantConfig
from shared_model import library
from shared_model.errors import DataError
from shared_model.schema import Federation

from . import meta, shop, table
from .arrays import Array, load, save
from .catalogue import Catalogue, catalogue
from .draft import HASHED, Draft, hashed_units, plain_times
from .encoding import Where, item_hashes
from .reading import TaskStatus
from .split import Bounds, assign, assign_by_hash, bounds


def build(config: MerchantConfig, federation: Federation, folder: Path) -> None:
    """Read a merchant's data and write the encoded dataset into `folder`.

    Raises:
        DataError: The data cannot be read, or no usable row is left.
        OSError: The disk is full or not writable.
    """
    meta.write(folder, (_build_table if config.table else _build_shop)(config, federation, folder))


def _build_shop(config: MerchantConfig, federation: Federation, folder: Path) -> meta.Meta:
    data = shop.load(config)
    tasks = {name: task for name, task in config.tasks.items() if data.status[name].on}
    early: dict[str, int] = {}
    with Draft(folder, federation, tasks) as draft:
        for made in shop.rows(data, tasks, federation):
            early.update(made.early)
            if not made.frame.is_empty():
                draft.add(made.kind, made.frame, _named_rows(made.kind))
    lines = data.shop.lines
    purchases = _Purchases(
        units=hashed_units(lines["unit"]),
        times=plain_times(lines["order_ts"]),
        items=item_hashes(lines["item_id"]),
    )
    status, catalogues = _finish(draft, data.shop.bounds, data.status, purchases)
    return meta.Meta(
        kinds=tuple(draft.kinds),
        rows_of={name: library.TASKS[tasks[name].library].rows for name in tasks if status[name].on},
        catalogues=catalogues,
        status=status,
        readings=data.readings,
        early=early,
        bounds=_written(data.shop.bounds),
        slots={kind: tuple(slots) for kind, slots in draft.slots.items()},
    )


def _build_table(config: MerchantConfig, federation: Federation, folder: Path) -> meta.Meta:
    labels = config.table.labels if config.table else {}
    reason = "no label column is mapped to it"
    wanted = {
        name: TaskStatus(on=name in labels, reason="" if name in labels else reason) for name in config.tasks
    }
    tasks = {name: task for name, task in config.tasks.items() if wanted[name].on}
    tally = table.Tally()
    with Draft(folder, federation, tasks) as draft:
        for chunk in table.chunks(config, federation, tally):
            draft.add(table.KIND, chunk.frame, chunk.where)
    reading = tally.judge(config.table.source if config.table else "")
    found = _table_bounds(config, folder) if draft.rows else None
    status, catalogues = _finish(draft, found, wanted, None)
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


def _named_rows(kind: str) -> Where:
    return lambda row: f"{kind} row {row + 1}"


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


def _finish(
    draft: Draft, found: Bounds | None, wanted: Mapping[str, TaskStatus], purchases: _Purchases | None
) -> tuple[dict[str, TaskStatus], dict[str, tuple[str, ...]]]:
    """Number the units, split the rows, make the catalogues, and switch off tasks without a single label.

    Args:
        draft: Closed.
        found: Bounds; None where rows have no time.
        wanted: Status of every wanted task so far.
        purchases: For the floors of retrieval tasks; None to take the labelled rows themselves.
    """
    if not draft.rows:
        raise DataError(f"no example could be made: {_reasons(wanted)}")
    folder = draft.folder
    hashed, times = np.array(load(folder, HASHED)), load(folder, "time")
    units, numbered = np.unique(hashed, return_inverse=True)
    part = assign_by_hash(hashed) if found is None else assign(times, found)
    save(folder, {"unit": numbered.astype(np.int64), "part": part})
    (folder / f"{HASHED}.npy").unlink()
    catalogues: dict[str, tuple[str, ...]] = {}
    for name, items in draft.items.items():
        hashes = np.array(load(folder, f"{HASHED}.{name}"))
        chosen = catalogue(hashes, train=part == 0, max_items=draft.max_items(name))
        bought = purchases or _Purchases(units=hashed, times=times, items=hashes)
        _write_catalogue(folder, name, chosen, hashes, _ordered(bought, units, chosen))
        (folder / f"{HASHED}.{name}.npy").unlink()
        catalogues[name] = tuple(items[int(h)] for h in chosen.hashes)
    return _without_unlabelled(draft, wanted), catalogues


def _ordered(bought: _Purchases, units: NDArray[np.uint64], chosen: Catalogue) -> dict[str, Array]:
    """The purchases of catalogue items by known units, in the order of unit and time."""
    items = chosen.positions(bought.items)
    owner = np.minimum(np.searchsorted(units, bought.units), len(units) - 1)
    kept = (items >= 0) & (units[owner] == bought.units) & ~np.isnat(bought.times)
    order = np.lexsort((bought.times[kept], owner[kept]))
    columns = {"unit": owner, "time": bought.times, "item": items}
    return {name: column[kept][order] for name, column in columns.items()}


def _write_catalogue(
    folder: Path, name: str, chosen: Catalogue, hashes: NDArray[np.uint64], bought: Mapping[str, Array]
) -> None:
    positions = chosen.positions(hashes)
    labels = np.where((positions >= 0) & (hashes != 0), positions, np.nan).astype(np.float32)
    save(folder, {f"labels.{name}": labels, f"sold.{name}": chosen.sold})
    save(folder, {f"bought.{name}.{column}": values for column, values in bought.items()})


def _without_unlabelled(draft: Draft, wanted: Mapping[str, TaskStatus]) -> dict[str, TaskStatus]:
    status = dict(wanted)
    for name in draft.tasks:
        if not np.isfinite(load(draft.folder, f"labels.{name}")).any():
            status[name] = TaskStatus(on=False, reason="no row has a label that counts")
    return status


def _reasons(status: Mapping[str, TaskStatus]) -> str:
    return "; ".join(f"{name} is {'on' if s.on else 'off, ' + s.reason}" for name, s in status.items())


def _written(found: Bounds) -> tuple[str, ...]:
    return found.validation_from.isoformat(), found.test_from.isoformat()
