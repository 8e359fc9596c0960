"""From a merchant's shop tables to rows with features and labels, for the tasks that the data supports."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from client.config import MerchantConfig
from shared_model import library, schema
from shared_model.errors import DataError
from shared_model.schema import Federation, Task

from . import canonical_tables
from .canonical import TABLES
from .canonical_tables import no_rows, vector_column
from .pieces import PIECE_ROWS
from .reading import TableReading, TaskStatus
from .rows import impression, item_window, purchase, session, visit
from .rows.history import DESCRIBED
from .rows.shop import Shop, in_order, lines_and_orders, with_units
from .split import Bounds, bounds, end_of_day, known_in_time

RowMaker = Callable[..., pl.DataFrame]
Labeller = Callable[[Shop, pl.DataFrame, timedelta], tuple[pl.Expr, pl.Expr]]
"""Shop, rows and horizon to two expressions over the rows: the label, and when it became known."""

ROW_MAKERS: Mapping[str, RowMaker] = {
    "purchase": purchase.purchases,
    "delivery": purchase.deliveries,
    "visit": visit.visits,
    "item_window": item_window.item_windows,
    "session": session.sessions,
    "impression": impression.impressions,
}
LABELLERS: Mapping[str, Labeller] = {
    "will_rebuy": purchase.will_rebuy,
    "delivery_days": purchase.delivery_days,
    "late": purchase.late,
    "bad_review": purchase.bad_review,
    "returned": purchase.returned,
    "order_value": visit.order_value,
    "next_item": visit.next_item,
    "units": item_window.units,
    "session_purchase": session.session_purchase,
    "ad_click": impression.ad_click,
}
_FROM_ORDERS, _FROM_EVENTS = ("purchase", "delivery", "visit"), ("session", "impression")


@dataclass(frozen=True, kw_only=True)
class Tables:
    """A shop's canonical tables.

    Attributes:
        frames: Orders, items and events.
        readings: What was read of those that are declared.
        declared: Their names.
    """

    frames: dict[str, pl.DataFrame]
    readings: tuple[TableReading, ...]
    declared: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class ShopData:
    """A shop, what was read of it, and which tasks it supports."""

    shop: Shop
    readings: tuple[TableReading, ...]
    status: Mapping[str, TaskStatus]


@dataclass(frozen=True, kw_only=True)
class KindRows:
    """Rows of one kind, all of them or a slice.

    Attributes:
        kind: The row kind.
        frame: `time`, `unit`, a column per slot that this kind offers, `label.<task>`.
        early: Task to number of labels that were known before the moment of their row.
    """

    kind: str
    frame: pl.DataFrame
    early: Mapping[str, int]


def load(config: MerchantConfig) -> ShopData:
    """Read and clean the shop's tables.

    Raises:
        DataError: A table cannot be read, or nothing usable is left.
    """
    tables = read_tables(config)
    last = _last(tables.frames)
    if last is None:
        raise DataError(f"{config.file}: no usable row is left. {losses(tables.readings)}")
    status = {name: _status(task, tables) for name, task in config.tasks.items()}
    shop = shop_of(
        tables.frames,
        timezone=config.timezone,
        split=bounds(config.split, timezone=config.timezone, last=last),
        end=end_of_day(last, config.timezone),
    )
    return ShopData(shop=shop, readings=tables.readings, status=status)


def read_tables(config: MerchantConfig) -> Tables:
    """Return the shop's canonical tables; one that is not declared has no rows.

    Raises:
        DataError: A table cannot be read.
    """
    found = {name: canonical_tables.read(config, name) for name in TABLES}
    return Tables(
        frames={name: table.frame if table else no_rows(name) for name, table in found.items()},
        readings=tuple(table.reading for table in found.values() if table is not None),
        declared=frozenset(name for name, table in found.items() if table is not None),
    )


def shop_of(frames: dict[str, pl.DataFrame], *, timezone: str, split: Bounds, end: datetime) -> Shop:
    """Return the shop of canonical tables, which are emptied while they are brought into order.

    Args:
        frames: Orders, items and events.
        timezone: Of the shop.
        split: Where train, validation and test begin.
        end: Until when the tables are complete.
    """
    lines, orders = lines_and_orders(in_order(with_units(frames.pop("orders"), guest="order_id"), "order_ts"))
    return Shop(
        lines=lines,
        orders=orders,
        items=frames["items"],
        events=in_order(frames.pop("events"), "event_ts"),
        timezone=timezone,
        bounds=split,
        end=end,
    )


def rows(
    shop: Shop,
    tasks: Mapping[str, Task],
    federation: Federation,
    *,
    makers: Mapping[str, RowMaker] = ROW_MAKERS,
) -> Iterator[KindRows]:
    """Yield the rows of every kind that a task needs, labels masked by when they were known.

    Args:
        shop: What the rows are made from.
        tasks: Those that are on.
        federation: The contract, for the features.
        makers: Row kind to what makes its rows.
    """
    length = max(
        [f.max_length for f in federation.features.values() if isinstance(f, schema.Sequence)] or [1]
    )
    kinds = {name: library.TASKS[task.library].rows for name, task in tasks.items()}
    for kind in dict.fromkeys(kinds.values()):
        here = {name: tasks[name] for name in tasks if kinds[name] == kind}
        for made in _made(shop, kind, length, makers[kind]):
            yield _labelled(shop, kind, made.with_columns(row_kind=pl.lit(kind)), here, federation)


def table_of(task: Task) -> str:
    """Return the shop table that a library task's rows are made from: orders or events."""
    return "events" if library.TASKS[task.library].rows in _FROM_EVENTS else "orders"


def _made(shop: Shop, kind: str, length: int, make: RowMaker) -> Iterator[pl.DataFrame]:
    """All rows of a kind; those that stand for orders a slice at a time."""
    if kind not in _FROM_ORDERS:
        yield make(shop, length=length)
        return
    for start in range(0, max(len(shop.orders), 1), PIECE_ROWS):
        yield make(shop, length=length, part=slice(start, start + PIECE_ROWS))


def unlabelled(shop: Shop, kind: str, made: pl.DataFrame, federation: Federation) -> pl.DataFrame:
    """Return `time`, `unit` and a column per slot of rows of a kind.

    Args:
        shop: What the rows were made from.
        kind: Of the rows.
        made: The rows, with all columns.
        federation: The contract, for the features.
    """
    made = _with_vectors(shop, kind, made.with_columns(row_kind=pl.lit(kind)))
    slots = (source.alias(slot) for slot, source in _slots(kind, made, federation).items())
    return made.select("time", "unit", *slots)


def _labelled(
    shop: Shop, kind: str, made: pl.DataFrame, tasks: Mapping[str, Task], federation: Federation
) -> KindRows:
    made = _with_vectors(shop, kind, made)
    columns = [source.alias(slot) for slot, source in _slots(kind, made, federation).items()]
    early: dict[str, int] = {}
    for name, task in tasks.items():
        label, known = LABELLERS[task.library](shop, made, timedelta(days=task.horizon_days))
        early[name] = int(made.select((label.is_not_null() & (known < pl.col("time"))).sum()).item())
        columns.append(known_in_time(label, known, shop.bounds).alias(f"label.{name}"))
    return KindRows(kind=kind, frame=made.select("time", "unit", *columns), early=early)


def _with_vectors(shop: Shop, kind: str, made: pl.DataFrame) -> pl.DataFrame:
    """Add the vectors of the rows' items, where the items of such rows are known."""
    if shop.vectors.width == 1 or "category" not in library.ROW_KINDS[kind].columns:
        return made
    return made.join(shop.vectors, on="item_id", how="left", maintain_order="left")


def _slots(kind: str, made: pl.DataFrame, federation: Federation) -> dict[str, pl.Expr]:
    """The features' slots that rows of this kind fill, each with an expression over the rows."""
    offered = library.ROW_KINDS[kind].columns
    slots: dict[str, pl.Expr] = {}
    for name, feature in federation.features.items():
        column = feature.column or name
        if isinstance(feature, schema.Vector) and vector_column(name) in made.columns:
            slots[name] = pl.col(vector_column(name))
        elif isinstance(feature, schema.Sequence) and column == "history" and column in offered:
            facts = {of: federation.features[of].column or of for of in feature.of}
            slots |= {f"{name}.{of}": pl.col(f"history.{f}") for of, f in facts.items() if f in DESCRIBED}
        elif (
            column in made.columns
            and column in offered
            and (source := read_as(feature, column, made.schema[column])) is not None
        ):
            slots[name] = source
    return slots


def read_as(feature: schema.Feature, column: str, dtype: pl.DataType) -> pl.Expr | None:
    """Return a column in the form that a kind of feature reads, or None where it has no such form."""
    number, value = dtype.is_numeric(), pl.col(column)
    if isinstance(feature, schema.Numeric):
        return value.cast(pl.Float64) if number else None
    if isinstance(feature, schema.Categorical):
        return value
    if isinstance(feature, schema.Vector):
        return value if isinstance(dtype, pl.List) else None
    if isinstance(feature, schema.Text):
        return value if dtype == pl.String else None
    if isinstance(feature, schema.Multi):
        text = value.cast(pl.String)
        return pl.when(text.is_not_null()).then(pl.concat_list(text))
    return None


def _status(task: Task, tables: Tables) -> TaskStatus:
    if not task.library:
        return TaskStatus(on=False, reason="shop tables hold no label for it; map it in a ready [table]")
    described, table = library.TASKS[task.library], table_of(task)
    frame = tables.frames[table]
    if table not in tables.declared:
        return TaskStatus(on=False, reason=f"there is no [{table}] table")
    if frame.is_empty():
        return TaskStatus(on=False, reason=f"[{table}] has no usable row")
    empty = [column for column in described.needs if frame[column].null_count() == len(frame)]
    if empty:
        return TaskStatus(on=False, reason=f"{', '.join(empty)} in [{table}] is missing or empty")
    return TaskStatus(on=True)


def _last(frames: Mapping[str, pl.DataFrame]) -> datetime | None:
    ends = [frames["orders"]["order_ts"].max(), frames["events"]["event_ts"].max()]
    return max((end for end in ends if isinstance(end, datetime)), default=None)


def losses(readings: Iterable[TableReading]) -> str:
    """Return what was dropped, in a sentence."""
    parts = [f"{count} rows of {r.table}: {reason}" for r in readings for reason, count in r.dropped.items()]
    return f"Left out: {'; '.join(parts)}." if parts else "Nothing was left out."
