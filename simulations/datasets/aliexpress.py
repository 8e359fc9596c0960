"""AliExpress: impressions in search results of four or more countries, with clicks and purchases.

Every row is one item that a search showed: 16 categories and 63 numbers that somebody else encoded, whether
it was clicked, and whether it was bought then. There are no shops and no dates, only countries and searches.

The layout of the files is that of MTReclib: `AliExpress_NL/train.csv`, `AliExpress_NL/test.csv` and so on,
with the columns `search_id`, `categorical_1` to `categorical_16`, `numerical_1` to `numerical_63`, `click`
and `conversion`. The public files were not at hand when this was written; it is tested on made-up ones.

Source: Li et al. (2020), "Improving Multi-Scenario Learning to Rank in E-commerce by Exploiting Task
Relationships in the Label Space", https://tianchi.aliyun.com/dataset/74690; as joined by
https://github.com/easezyc/Multitask-Recommendation-Library, `data/preprocess.py`.
"""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
from polars.exceptions import PolarsError
from pydantic import Field
from pydantic.dataclasses import dataclass

from shared_model.declared import CLOSED
from shared_model.errors import DataError

from ..market import Market, MerchantTables, tier_of
from ..partitioners import by_key

OBTAIN = "Get the AliExpress search data and lay them out as docs/datasets.md says."
CATEGORIES = tuple(f"categorical_{number}" for number in range(1, 17))
NUMBERS = tuple(f"numerical_{number}" for number in range(1, 64))
FEATURES: dict[str, str] = {name: name for name in (*CATEGORIES, *NUMBERS)}
"""Contract feature -> column."""

LABELS: dict[str, str] = {"click": "click", "purchase": "conversion"}
"""Contract task -> column. A conversion is a click too, so the two are links of a chain."""

SEARCH, DAY = "search_id", "day"
VALIDATION_FROM, TEST_FROM = date(2000, 1, 2), date(2000, 1, 3)
"""The files have no dates. So that `test.csv` is the test, its rows get a later day of a made-up calendar."""

_HELD_OUT_PERCENT = 10
_KNUTH = 2654435761
Country = Literal["NL", "ES", "FR", "US", "RU"]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class AliExpressMarket:
    """Which countries, what separates merchants, and how much of the files.

    Attributes:
        directory: Folder that holds `AliExpress_NL` and so on.
        countries: Those that are read.
        by: `country`: every country is a merchant. Otherwise the name of a categorical column: its values are
            dealt out among `merchants` by a hash, within all countries together.
        merchants: How many, where they are not countries.
        share: Of the searches, chosen by a hash of their number, so that a part fits into memory.
    """

    kind: Literal["aliexpress"] = "aliexpress"
    directory: str
    countries: Annotated[tuple[Country, ...], Field(min_length=1)] = ("NL", "ES", "FR", "US")
    by: Literal[
        "country", "categorical_1", "categorical_2", "categorical_3", "categorical_4", "categorical_5",
        "categorical_6", "categorical_7", "categorical_8", "categorical_9", "categorical_10",
        "categorical_11", "categorical_12", "categorical_13", "categorical_14", "categorical_15",
        "categorical_16",
    ] = "country"  # fmt: skip
    merchants: Annotated[int, Field(ge=2, le=10_000)] = 20
    share: Annotated[float, Field(gt=0, le=1)] = 1.0


def read(options: AliExpressMarket, base: Path) -> Market:
    """Return the market of `options`; `options.directory` is relative to `base`.

    Searches of `train.csv` train, but one in ten, drawn by a hash, validates; `test.csv` tests.

    Raises:
        DataError: A file is missing, cannot be read or lacks a column.
    """
    parts = [
        _part(base / options.directory / f"AliExpress_{country}" / file, options.share).with_columns(
            country=pl.lit(country), **{DAY: _day(file)}
        )
        for country in options.countries
        for file in ("train.csv", "test.csv")
    ]
    return from_impressions(pl.concat(parts), options)


def from_impressions(impressions: pl.DataFrame, options: AliExpressMarket) -> Market:
    """Return the market of impressions with the columns of the files, `country` and `day` (see `read`)."""
    if options.by != "country":
        part = _hashed(pl.col(options.by)) % options.merchants
        impressions = impressions.with_columns(part=pl.format("{}-{}", pl.lit(options.by), part))
    parts = by_key(impressions, "country" if options.by == "country" else "part")
    return Market(
        name="aliexpress",
        merchants={f"aliexpress-{name}": _merchant(part) for name, part in parts.items()},
        validation_from=VALIDATION_FROM,
        test_from=TEST_FROM,
    )


def _part(file: Path, share: float) -> pl.DataFrame:
    """Read the searches of a file that belong to the share."""
    if not file.is_file():
        raise DataError(f"{file} is not there. {OBTAIN}")
    columns = [SEARCH, *FEATURES.values(), *LABELS.values()]
    try:
        scanned = pl.scan_csv(file, schema_overrides=dict.fromkeys(NUMBERS, pl.Float32))
        missing = [name for name in columns if name not in scanned.collect_schema().names()]
        if missing:
            raise DataError(f"{file} lacks the columns {', '.join(missing)}. {OBTAIN}")
        whole = pl.col(SEARCH, *CATEGORIES).cast(pl.Int64), pl.col(*LABELS.values()).cast(pl.Int8)
        kept = _hashed(pl.col(SEARCH)) < share * 2**32
        return scanned.select(*columns).with_columns(*whole).filter(kept).collect(engine="streaming")
    except (PolarsError, OSError) as error:
        raise DataError(f"{file} cannot be read ({error}). {OBTAIN}") from error


def _day(file: str) -> pl.Expr:
    if file == "test.csv":
        return pl.lit(TEST_FROM)
    held_out = _hashed(pl.col(SEARCH) + 1) % 100 < _HELD_OUT_PERCENT  # another hash than that of the share
    return pl.when(held_out).then(VALIDATION_FROM).otherwise(date(2000, 1, 1))


def _hashed(number: pl.Expr) -> pl.Expr:
    """Spread whole numbers over [0, 2^32); Knuth (1998), volume 3, section 6.4: multiplicative hashing."""
    return number.abs() % 2**31 * _KNUTH % 2**32


def _merchant(part: pl.DataFrame) -> MerchantTables:
    searches = part.filter(pl.col(DAY) < VALIDATION_FROM)[SEARCH].n_unique()
    return MerchantTables(
        table=part.select(SEARCH, DAY, *FEATURES.values(), *LABELS.values()),
        time=DAY,
        unit=SEARCH,
        columns=FEATURES,
        labels=LABELS,
        tier=tier_of(searches),
        group="all",
    )
