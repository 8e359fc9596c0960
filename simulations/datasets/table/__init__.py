"""One table of one's own, split into merchants by what the data separate or by a made-up skew."""

from collections.abc import Callable, Iterable
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from client.data.presets import PRESETS
from shared_model.errors import ConfigError, DataError

from ... import seeds
from ...market import Market, MerchantTables, tier_of
from ...partitioners import by_dirichlet, by_key, by_quantity, by_time
from .options import Partition, TableMarket

__all__ = ["Partition", "TableMarket", "read", "split"]


def read(options: TableMarket, base: Path) -> Market:
    """Return the market of the table's parts; `options.directory` is relative to `base`.

    Raises:
        ConfigError: A column that `options` name is not there.
        DataError: The file cannot be read, or its values cannot be split as asked.
    """
    return split(_opened(base / options.directory / options.file), options)


def split(frame: pl.DataFrame, options: TableMarket) -> Market:
    """Return the market of a table's parts (see `read`)."""
    if options.preset not in PRESETS:
        raise ConfigError(options.file, "market.preset", options.preset, f"one of {', '.join(PRESETS)}")
    _check_columns(frame, options)
    parts = _PARTED[options.partition.by](frame, options)
    return Market(
        name=options.name,
        merchants={name: _merchant(rows, options) for name, rows in parts.items()},
        validation_from=options.validation_from,
        test_from=options.test_from,
        dropped={"of merchants that are left out": len(frame) - sum(map(len, parts.values()))},
    )


def _opened(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise DataError(f"{path} is not there; name a CSV or Parquet file with market.file")
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, try_parse_dates=True, infer_schema_length=10_000)
    except (PolarsError, OSError) as error:
        raise DataError(f"{path} cannot be read ({error}); it should be a CSV or Parquet file") from error


def _check_columns(frame: pl.DataFrame, options: TableMarket) -> None:
    part = options.partition
    named = {
        "time": options.time,
        "unit": options.unit,
        "partition.column": part.column,
        "partition.together": part.together or "",
        **{f"columns.{feature}": column for feature, column in options.columns.items()},
        **{f"labels.{task}": column for task, column in options.labels.items()},
    }
    for key, column in named.items():
        if column and column not in frame.columns:
            allowed = f"one of the columns {', '.join(frame.columns)}"
            raise ConfigError(options.file, f"market.{key}", column, allowed)


Parts = dict[str, pl.DataFrame]


def _by_key(frame: pl.DataFrame, options: TableMarket) -> Parts:
    part = options.partition
    found = by_key(frame, part.column, minimum=part.minimum or 1)
    return dict(list(found.items())[: part.merchants])


def _by_dirichlet(frame: pl.DataFrame, options: TableMarket) -> Parts:
    part = options.partition
    return by_dirichlet(
        frame,
        part.column,
        merchants=part.merchants or 1,
        alpha=part.alpha or 0.5,
        generator=seeds.generator(part.seed or 0, "dirichlet"),
        together=options.unit if part.together is None else part.together,
    )


def _by_quantity(frame: pl.DataFrame, options: TableMarket) -> Parts:
    part = options.partition
    return by_quantity(
        frame,
        merchants=part.merchants or 1,
        sigma=1.0 if part.sigma is None else part.sigma,
        generator=seeds.generator(part.seed or 0, "quantity"),
        together=options.unit if part.together is None else part.together,
    )


def _by_time(frame: pl.DataFrame, options: TableMarket) -> Parts:
    part = options.partition
    return by_time(frame, part.column or options.time, merchants=part.merchants or 1)


_PARTED: dict[str, Callable[[pl.DataFrame, TableMarket], Parts]] = {
    "key": _by_key,
    "dirichlet": _by_dirichlet,
    "quantity": _by_quantity,
    "time": _by_time,
}


def _merchant(rows: pl.DataFrame, options: TableMarket) -> MerchantTables:
    if options.holds == "orders":
        export = PRESETS[options.preset]["orders"]
        size = _size(rows, str(export["order_ts"]), str(export["customer_id"]), options)
        return MerchantTables(orders=rows, preset=options.preset, tier=_tier(size, options), group=size)
    size = _size(rows, options.time, options.unit, options)
    return MerchantTables(
        table=rows,
        time=options.time,
        unit=options.unit,
        columns=options.columns,
        labels=options.labels,
        tasks=tuple(options.labels),
        tier=_tier(size, options),
        group=size,
    )


def _tier(size: str, options: TableMarket) -> str:
    return size if options.tiers == "size" else ""


def _size(rows: pl.DataFrame, time: str, unit: str, options: TableMarket) -> str:
    """Size class by the shoppers, or rows, before `validation_from`, as far as columns tell."""
    dated: Iterable[str] = [n for n, t in rows.schema.items() if isinstance(t, pl.Date | pl.Datetime)]
    if options.validation_from is not None and time in dated:
        rows = rows.filter(pl.col(time).cast(pl.Date) < options.validation_from)
    return tier_of(rows[unit].n_unique() if unit in rows.columns else len(rows))
