"""From a shop's export to its canonical table: renamed, typed, cleaned, and every loss counted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from client.config import MerchantConfig
from client.merchant_file import ItemsTable, ShopTable, masked
from shared_model.errors import DataError

from .canonical import TABLES, ColumnType
from .columns import UTC, convert, refuse_if_unreadable
from .pieces import Piece, Spans
from .presets import PRESETS, Reading
from .reading import TableReading
from .sources import pieces

_DTYPES: dict[ColumnType, pl.DataType] = {"time": UTC, "number": pl.Float64(), "flag": pl.Boolean()}


@dataclass(frozen=True, kw_only=True)
class CanonicalTable:
    """A canonical table: every canonical column is there, null where the export has none."""

    frame: pl.DataFrame
    reading: TableReading


def read(config: MerchantConfig, name: str) -> CanonicalTable | None:
    """Return the canonical table `name` (orders, items or events), or None where none is declared.

    Raises:
        DataError: The source cannot be read, a required column is missing, or a column is not what it was
            declared to be.
    """
    table = config.shop_tables.get(name)
    if table is None:
        return None
    raw, spans = _renamed(name, table)
    typed, unreadable = _typed(name, table, raw, spans, config.timezone)
    kept, dropped = _without(typed, _REASONS[name])
    clean, notes = _CLEANERS[name](kept, table)
    reading = TableReading(
        table=name, rows=len(raw), kept=len(clean), dropped=dropped, unreadable=unreadable, notes=notes
    )
    return CanonicalTable(frame=clean, reading=reading)


# --- names and types ----------------------------------------------------------------------------------


def _renamed(name: str, table: ShopTable) -> tuple[pl.DataFrame, Spans]:
    """The export's rows under canonical names, still with the export's own types."""
    read: dict[str, Reading] = {**PRESETS[table.preset][name], **table.rename}
    spans, frames = Spans(), []
    for piece in pieces(table.source, table.query):
        frames.append(piece.frame.select(**_available(name, table, read, piece)))
        spans.add(piece)
    return pl.concat(frames, how="diagonal_relaxed"), spans


def _available(name: str, table: ShopTable, read: Mapping[str, Reading], piece: Piece) -> dict[str, pl.Expr]:
    """The columns of `read` that this export has, as expressions.

    Raises:
        DataError: A required column is missing, or one that the merchant renamed.
    """
    expressions = {c: pl.col(r) if isinstance(r, str) else r for c, r in read.items()}
    has = set(piece.frame.columns)
    there = {c: e for c, e in expressions.items() if has.issuperset(e.meta.root_names())}
    for column, declared in TABLES[name].items():
        if column not in there and (declared.required or column in table.rename):
            wanted = table.rename.get(column) or read.get(column, column)
            named = wanted if isinstance(wanted, str) else ", ".join(wanted.meta.root_names())
            raise DataError(
                f"{masked(piece.source)}: there is no column {named!r}, which should hold {column} "
                f"({declared.meaning}). It has: {', '.join(piece.frame.columns)}. Name the right one in "
                f'[{name}] rename = {{ {column} = "..." }}.'
            )
    return there


def _typed(
    name: str, table: ShopTable, raw: pl.DataFrame, spans: Spans, timezone: str
) -> tuple[pl.DataFrame, dict[str, int]]:
    columns: dict[str, pl.Series] = {}
    unreadable: dict[str, int] = {}
    for column, declared in TABLES[name].items():
        if column not in raw.columns:
            dtype = _DTYPES.get(declared.type, pl.String())
            columns[column] = pl.Series(column, [None], dtype=dtype).new_from_index(0, len(raw))
            continue
        found = convert(raw[column], declared.type, timezone=timezone)
        refuse_if_unreadable(
            masked(table.source), column, declared.type,
            present=found.present, unreadable=found.unreadable, where=spans.where(found.first),
        )  # fmt: skip
        columns[column] = found.values
        if found.unreadable:
            unreadable[column] = found.unreadable
    return pl.DataFrame(columns), unreadable


# --- rows that cannot be used -------------------------------------------------------------------------

_STATUS = pl.col("status").str.to_lowercase()
_Reasons = Mapping[str, pl.Expr]

_REASONS: Mapping[str, _Reasons] = {
    "orders": {
        "no order id": pl.col("order_id").is_null(),
        "no time": pl.col("order_ts").is_null(),
        "no item": pl.col("item_id").is_null(),
        "no quantity": pl.col("quantity").is_null(),
        "no price": pl.col("unit_price").is_null(),
        "cancelled": _STATUS == "cancelled",
        "refunded": _STATUS == "refunded",
        "pending": _STATUS == "pending",
        "unknown status": _STATUS != "paid",
        "quantity not above 0": pl.col("quantity") <= 0,
        "negative price": pl.col("unit_price") < 0,
    },
    "items": {"no item": pl.col("item_id").is_null()},
    "events": {
        "no time": pl.col("event_ts").is_null(),
        "no type": pl.col("event_type").is_null(),
        "no session": pl.col("session_id").is_null(),
    },
}
"""Why a row is left out; the first reason that holds is counted."""


def _without(frame: pl.DataFrame, reasons: _Reasons) -> tuple[pl.DataFrame, dict[str, int]]:
    reason = pl.coalesce(pl.when(holds).then(pl.lit(name)) for name, holds in reasons.items())
    marked = frame.with_columns(reason.alias("_reason"))
    counts = marked["_reason"].drop_nulls().value_counts()
    found = dict(zip(counts["_reason"], counts["count"], strict=True))
    kept = marked.filter(pl.col("_reason").is_null()).drop("_reason")
    return kept, {name: found[name] for name in reasons if name in found}


# --- values that contradict each other ----------------------------------------------------------------


def _clean_orders(frame: pl.DataFrame, table: ShopTable) -> tuple[pl.DataFrame, tuple[str, ...]]:
    currencies = frame["currency"].drop_nulls().unique().sort()
    if len(currencies) > 1:
        raise DataError(
            f"{masked(table.source)}: the rows are in several currencies ({', '.join(currencies)}). "
            "Convert them to one, or keep one merchant per currency."
        )
    early = pl.col("delivered_ts") < pl.col("order_ts")
    count = int(frame.select(early.sum()).item())
    clean = frame.with_columns(
        pl.when(early.fill_null(False)).then(None).otherwise("delivered_ts").alias("delivered_ts")
    )
    note = f"{count} lines were delivered before they were ordered; their delivery time is taken as missing"
    return clean, (note,) if count else ()


def _clean_items(frame: pl.DataFrame, table: ShopTable) -> tuple[pl.DataFrame, tuple[str, ...]]:
    unique = frame.unique("item_id", keep="last", maintain_order=True)
    repeated = len(frame) - len(unique)
    notes = (f"{repeated} rows repeat an item; the last one counts",) if repeated else ()
    path = table.category_map if isinstance(table, ItemsTable) else ""
    if not path:
        return unique, notes
    shared = _category_map(path)
    strange = int((unique["category"].is_not_null() & ~unique["category"].is_in(list(shared))).sum())
    if strange:
        notes = (
            *notes,
            f"{strange} items have a category that category_map does not name; it is kept as it is",
        )
    return unique.with_columns(pl.col("category").replace(shared)), notes


def _category_map(path: str) -> dict[str, str]:
    """The merchant's words and the shared ones: the first two columns of a CSV file.

    Raises:
        DataError: It cannot be read, or has fewer than two columns.
    """
    frame = pl.concat([piece.frame for piece in pieces(path)])
    if frame.width < 2:
        raise DataError(
            f"{path} has {frame.width} columns; it needs two: the merchant's word, the shared word."
        )
    own, shared = (frame.to_series(i).cast(pl.String).str.strip_chars() for i in (0, 1))
    pairs = zip(own, shared, strict=True)
    return {word: public for word, public in pairs if word is not None and public is not None}


def _clean_events(frame: pl.DataFrame, table: ShopTable) -> tuple[pl.DataFrame, tuple[str, ...]]:
    return frame.with_columns(pl.col("event_type").str.to_lowercase()), ()


_CLEANERS: Mapping[str, Callable[[pl.DataFrame, ShopTable], tuple[pl.DataFrame, tuple[str, ...]]]] = {
    "orders": _clean_orders,
    "items": _clean_items,
    "events": _clean_events,
}
