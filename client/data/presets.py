"""Known exports: how their columns become canonical ones.

A preset is a table of tables: canonical table, canonical column, and the export's own column or an
expression over its columns. Canonical columns that a preset does not name are absent.
"""

from collections.abc import Mapping

import polars as pl

from .canonical import EVENTS, ITEMS, ORDERS

Reading = str | pl.Expr
"""An export's own column, or an expression over its columns."""

_OLIST_PAYMENTS = {"credit_card": "card", "debit_card": "card", "boleto": "transfer", "voucher": "other"}

_OLIST_ORDERS: dict[str, Reading] = {
    "order_id": "order_id",
    "order_ts": "purchase_ts",
    "item_id": "product_id",
    "quantity": pl.lit(1.0),  # one row per unit
    "unit_price": "price",
    "customer_id": "customer_id",
    "status": pl.when(pl.col("order_status").cast(pl.String).is_in(["canceled", "unavailable"]))
    .then(pl.lit("cancelled"))
    .otherwise(pl.lit("paid")),
    "shipping": "freight",
    "region": "customer_state",
    "merchant_region": "merchant_state",
    "distance_km": "distance_km",
    "payment_type": pl.col("payment_type").cast(pl.String).replace(_OLIST_PAYMENTS),
    "installments": "installments",
    "promised_ts": "estimated_ts",
    "ship_by_ts": "shipping_limit_ts",
    "shipped_ts": "carrier_ts",
    "delivered_ts": "delivered_ts",
    "review_score": "review_score",  # the export does not say when it was written: 4 days after delivery
}

_OLIST_ITEMS: dict[str, Reading] = {
    "item_id": "product_id",
    "category": "category",
    "price": "price",
    "weight_g": "weight_g",
    "volume_cm3": "volume_cm3",
    "photos": "photos",
    "title_length": "name_len",
}

PRESETS: Mapping[str, Mapping[str, Mapping[str, Reading]]] = {
    "canonical": {
        "orders": {name: name for name in ORDERS},
        "items": {name: name for name in ITEMS},
        "events": {name: name for name in EVENTS},
    },
    "olist": {"orders": _OLIST_ORDERS, "items": _OLIST_ITEMS},
}
"""Preset, canonical table, canonical column. `olist` reads the joined export of docs/datasets.md."""
