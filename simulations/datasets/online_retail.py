"""Online Retail: one real British gift wholesaler, its countries as storefronts, 2010-12 to 2011-12.

Every country becomes a merchant that exports canonical tables.

Source: Chen, Sain and Guo (2012), UCI data set 352, https://archive.ics.uci.edu/dataset/352/online+retail
"""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
from pydantic import Field
from pydantic.dataclasses import dataclass

from shared_model.declared import CLOSED

from ..market import Market, MerchantTables, tier_of
from . import originals

FILES = ("online_retail.parquet", "online_retail.csv", "Online Retail.csv")
COLUMNS = (
    "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country",
)  # fmt: skip
VALIDATION_FROM, TEST_FROM = date(2011, 8, 1), date(2011, 10, 1)
OBTAIN = "Download UCI data set 352, Online Retail (licence CC BY 4.0), and save it as docs/datasets.md says."

COUNTRIES: dict[str, str] = {
    "United Kingdom": "GB", "Germany": "DE", "France": "FR", "EIRE": "IE", "Belgium": "BE", "Spain": "ES",
    "Netherlands": "NL", "Switzerland": "CH", "Portugal": "PT", "Australia": "AU", "Italy": "IT",
    "Finland": "FI", "Sweden": "SE", "Norway": "NO",
}  # fmt: skip
"""Countries of the file that can be storefronts -> ISO 3166-1; the others have fewer than 40 invoices."""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class OnlineRetailMarket:
    """How many storefronts, from which folder.

    Attributes:
        directory: Folder that holds the file (`FILES`).
        storefronts: The countries with most invoices, so many of them.
    """

    kind: Literal["online_retail"] = "online_retail"
    directory: str
    storefronts: Annotated[int, Field(ge=1, le=len(COUNTRIES))] = 8


def read(options: OnlineRetailMarket, base: Path) -> Market:
    """Return the market of the largest storefronts; `options.directory` is relative to `base`.

    Raises:
        DataError: The file is missing or is another file.
    """
    lines = originals.read(base / options.directory, FILES, COLUMNS, obtain=OBTAIN)
    return from_lines(lines, options.storefronts)


def from_lines(lines: pl.DataFrame, storefronts: int) -> Market:
    """Return the market of the `storefronts` countries with most invoices.

    An invoice whose number begins with C cancels something: its lines stay, as cancelled. Left out and
    counted are lines that sell nothing: postage, fees and gift vouchers (stock codes that do not begin with
    five digits), corrections of the stock (negative quantities without a C) and lines without a price.
    """
    lines = lines.with_columns(pl.col("InvoiceNo", "StockCode").cast(pl.String))
    cancels = pl.col("InvoiceNo").str.starts_with("C")
    reason = (
        pl.when(~pl.col("Country").is_in(list(COUNTRIES))).then(pl.lit("of other countries"))
        .when(~pl.col("StockCode").str.contains(r"^\d{5}")).then(pl.lit("not an item"))
        .when((pl.col("Quantity") <= 0) & ~cancels).then(pl.lit("correction of the stock"))
        .when(pl.col("UnitPrice") <= 0).then(pl.lit("without a price"))
    )  # fmt: skip
    lines = lines.with_columns(reason=reason, cancelled=cancels)
    kept = lines.filter(pl.col("reason").is_null())
    invoices = kept.filter(~pl.col("cancelled")).group_by("Country").agg(n=pl.col("InvoiceNo").n_unique())
    largest = invoices.sort("n", "Country", descending=[True, False])["Country"].head(storefronts).to_list()
    chosen = kept.filter(pl.col("Country").is_in(largest))
    counted = lines.drop_nulls("reason").group_by("reason", maintain_order=True).len().iter_rows()
    dropped = {"of other countries": 0} | dict(counted)
    dropped["of other countries"] += len(kept) - len(chosen)
    return Market(
        name="online-retail",
        merchants={_name(c): _merchant(chosen.filter(pl.col("Country") == c)) for c in largest},
        validation_from=VALIDATION_FROM,
        test_from=TEST_FROM,
        dropped=dropped,
    )


def _name(country: str) -> str:
    return f"retail-{country.lower().replace(' ', '-')}"


def _merchant(lines: pl.DataFrame) -> MerchantTables:
    lines = lines.sort("InvoiceDate", "InvoiceNo", maintain_order=True)
    orders = lines.select(
        order_id="InvoiceNo",
        order_ts=pl.col("InvoiceDate").cast(pl.Datetime("us")),
        item_id="StockCode",
        quantity=pl.col("Quantity").abs(),
        unit_price="UnitPrice",
        customer_id=pl.col("CustomerID").cast(pl.String),
        status=pl.when("cancelled").then(pl.lit("cancelled")).otherwise(pl.lit("paid")),
        currency=pl.lit("GBP"),
        country=pl.col("Country").replace_strict(COUNTRIES),
    )
    shoppers = orders.filter(pl.col("order_ts") < VALIDATION_FROM, pl.col("status") == "paid")["customer_id"]
    tier = tier_of(shoppers.drop_nulls().n_unique())
    return MerchantTables(orders=orders, items=_items(lines), tier=tier, group=tier)


def _items(lines: pl.DataFrame) -> pl.DataFrame:
    """Each item with its most common description (of equally common ones the first in the alphabet)."""
    titles = lines.group_by("StockCode", "Description").len().drop_nulls("Description")
    titles = titles.sort("StockCode", "len", "Description", descending=[False, True, False])
    titles = titles.unique("StockCode", keep="first", maintain_order=True)
    prices = lines.group_by("StockCode").agg(pl.col("UnitPrice").median())
    return (
        prices.join(titles, on="StockCode", how="left")
        .select(item_id="StockCode", price="UnitPrice", title="Description")
        .sort("item_id")
    )
