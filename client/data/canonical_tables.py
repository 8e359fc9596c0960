"""From a shop's export to its canonical table: renamed, typed, cleaned, and every loss counted.

An export is much larger than what is needed of it. Piece by piece the unneeded columns are left out, the
rows that cannot be used are dropped, and what remains is made small (`_compact`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from client.config import MerchantConfig
from client.merchant_file import ItemsTable, ShopTable, masked
from shared_model.errors import DataError

from .canonical import TABLES, ColumnType
from .columns import UTC, lists_of_numbers
from .hashing import hashed
from .pieces import Piece
from .presets import PRESETS, Reading
from .reading import TableReading
from .sources import pieces
from .tally import Tally

DTYPES: Mapping[ColumnType, pl.DataType] = {
    "time": UTC,
    "number": pl.Float64(),
    "flag": pl.Boolean(),
    "id": pl.String(),
    "category": pl.String(),
    "text": pl.String(),
}
"""What the values of a type are, written out."""

OWNERS: Mapping[str, str] = {"customer_id": "shopper", "order_id": "guest", "session_id": "guest"}
"""Ids that rows may belong to are kept as 64-bit hashes only, of the kind of owner and the id."""


@dataclass(frozen=True, kw_only=True)
class CanonicalTable:
    """A canonical table: every canonical column is there, in the form of `_compact`."""

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
    tally, frames = Tally(), []
    for piece in pieces(table.source, table.query, select=partial(_available, name, table)):
        typed = _typed(name, piece, config.timezone, tally).with_columns(_vectors(piece, table))
        kept = _usable(typed, name, tally)
        frames.append(_compact(_TIDY[name](kept), name))
    reading = tally.judge(table.source, table=name)
    clean, notes = _CLEANERS[name](pl.concat(frames, how="vertical_relaxed"), table)
    if name == "items" and tally.kept > len(clean):
        notes = (f"{tally.kept - len(clean)} rows repeat an item; the last one counts", *notes)
    return CanonicalTable(frame=clean, reading=replace(reading, kept=len(clean), notes=notes))


def no_rows(name: str) -> pl.DataFrame:
    """Return the canonical table `name` without rows."""
    return pl.DataFrame(schema={c: _compact_dtype(c, d.type) for c, d in TABLES[name].items()})


def vector_column(feature: str) -> str:
    """Return the column of items that holds the vectors which a feature reads."""
    return f"vector.{feature}"


def written_out(frame: pl.DataFrame) -> pl.DataFrame:
    """Return rows with words in the place of their codes, and absent columns as nulls of their own type."""
    declared = {column: DTYPES[c.type] for table in TABLES.values() for column, c in table.items()}
    small = {c: d for c, d in frame.schema.items() if d in (pl.Categorical, pl.Null)}
    return frame.cast({column: declared.get(column, pl.UInt64()) for column in small})


# --- names and types ----------------------------------------------------------------------------------


def _available(name: str, table: ShopTable, source: str, columns: Sequence[str]) -> dict[str, pl.Expr]:
    """What an export has of the canonical columns, as expressions over its own.

    Raises:
        DataError: A required column is missing, or one that the merchant renamed.
    """
    read: dict[str, Reading] = {**PRESETS[table.preset][name], **table.rename}
    expressions = {c: pl.col(r) if isinstance(r, str) else r for c, r in read.items()}
    has = set(columns)
    there = {c: e for c, e in expressions.items() if has.issuperset(e.meta.root_names())}
    for column, declared in TABLES[name].items():
        if column not in there and (declared.required or column in table.rename):
            wanted = table.rename.get(column) or read.get(column, column)
            named = wanted if isinstance(wanted, str) else ", ".join(wanted.meta.root_names())
            raise DataError(
                f"{masked(source)}: there is no column {named!r}, which should hold {column} "
                f"({declared.meaning}). It has: {', '.join(columns)}. Name the right one in "
                f'[{name}] rename = {{ {column} = "..." }}.'
            )
    return there | _vector_columns(table, source, columns)


def _vector_columns(table: ShopTable, source: str, columns: Sequence[str]) -> dict[str, pl.Expr]:
    """The columns that hold vectors of items, under the names of `vector_column`.

    Raises:
        DataError: The export does not have one of them.
    """
    wanted = table.vectors if isinstance(table, ItemsTable) else {}
    for feature, column in wanted.items():
        if column not in columns:
            raise DataError(
                f"{masked(source)}: there is no column {column!r}, which [items] vectors names for {feature}."
                f" It has: {', '.join(columns)}."
            )
    return {vector_column(feature): pl.col(column) for feature, column in wanted.items()}


def _vectors(piece: Piece, table: ShopTable) -> list[pl.Series]:
    if not isinstance(table, ItemsTable):
        return []
    return [
        lists_of_numbers(piece.frame[c], table.separator).alias(c) for c in map(vector_column, table.vectors)
    ]


def _typed(name: str, piece: Piece, timezone: str, tally: Tally) -> pl.DataFrame:
    """The canonical columns by their types; one that the export does not have is null and takes no room."""
    there = {
        column: tally.convert(piece, column, declared.type, timezone=timezone)
        for column, declared in TABLES[name].items()
        if column in piece.frame.columns
    }
    absent = pl.Series([None], dtype=pl.Null).new_from_index(0, len(piece.frame))
    return pl.DataFrame({column: there.get(column, absent) for column in TABLES[name]})


def _compact(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Owners as 64-bit hashes; other ids and categories as codes of one dictionary."""
    small: dict[str, pl.Series | pl.Expr] = {}
    for column, declared in TABLES[name].items():
        if frame.schema[column] != pl.String:
            continue
        if column in OWNERS:
            small[column] = hashed(f"{OWNERS[column]} " + frame[column], "unit")
        elif declared.type != "text":
            small[column] = pl.col(column).cast(pl.Categorical)
    return frame.with_columns(**small)


def _compact_dtype(column: str, type_: ColumnType) -> pl.DataType:
    if column in OWNERS:
        return pl.UInt64()
    return pl.Categorical() if type_ in ("id", "category") else DTYPES[type_]


# --- rows that cannot be used -------------------------------------------------------------------------

_STATUS = pl.col("status").cast(pl.String).str.to_lowercase()
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


def _usable(frame: pl.DataFrame, name: str, tally: Tally) -> pl.DataFrame:
    reasons = _REASONS[name]
    reason = pl.coalesce(pl.when(holds).then(pl.lit(why)) for why, holds in reasons.items())
    marked = frame.with_columns(reason.alias("_reason"))
    counts = marked["_reason"].drop_nulls().value_counts()
    found = dict(zip(counts["_reason"], counts["count"], strict=True))
    kept = marked.filter(pl.col("_reason").is_null()).drop("_reason")
    tally.rows += len(frame)
    tally.kept += len(kept)
    tally.drop({why: found.get(why, 0) for why in reasons})
    return kept


_TIDY: Mapping[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "orders": lambda frame: frame,
    "items": lambda frame: frame.unique("item_id", keep="last", maintain_order=True),
    "events": lambda frame: frame.with_columns(pl.col("event_type").str.to_lowercase()),
}
"""What is done to each piece on its own."""


# --- values that contradict each other ----------------------------------------------------------------


_CHECKED = ("status", "currency", "shipped_ts")
"""Columns of orders that nothing reads once the table is clean."""


def _clean_orders(frame: pl.DataFrame, table: ShopTable) -> tuple[pl.DataFrame, tuple[str, ...]]:
    currencies = frame["currency"].unique().cast(pl.String).drop_nulls().sort()
    if len(currencies) > 1:
        raise DataError(
            f"{masked(table.source)}: the rows are in several currencies ({', '.join(currencies)}). "
            "Convert them to one, or keep one merchant per currency."
        )
    clean = frame.drop(_CHECKED)
    early = pl.col("delivered_ts").cast(UTC) < pl.col("order_ts")
    count = int(clean.select(early.sum()).item())
    if count:
        clean = clean.with_columns(delivered_ts=pl.when(~early.fill_null(False)).then("delivered_ts"))
    note = f"{count} lines were delivered before they were ordered; their delivery time is taken as missing"
    return clean, (note,) if count else ()


def _clean_items(frame: pl.DataFrame, table: ShopTable) -> tuple[pl.DataFrame, tuple[str, ...]]:
    unique = frame.unique("item_id", keep="last", maintain_order=True)
    path = table.category_map if isinstance(table, ItemsTable) else ""
    if not path:
        return unique, ()
    shared, category = _category_map(path), unique["category"].cast(pl.String)
    strange = int((category.is_not_null() & ~category.is_in(list(shared))).sum())
    note = f"{strange} items have a category that category_map does not name; it is kept as it is"
    mapped = category.replace(shared).cast(pl.Categorical)
    return unique.with_columns(category=mapped), (note,) if strange else ()


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
    return frame, ()


_CLEANERS: Mapping[str, Callable[[pl.DataFrame, ShopTable], tuple[pl.DataFrame, tuple[str, ...]]]] = {
    "orders": _clean_orders,
    "items": _clean_items,
    "events": _clean_events,
}
