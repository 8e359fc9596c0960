"""The canonical tables of a shop: names, types and meaning of every column.

Shops export all sorts of files; a preset (`presets.py`) renames a known export into these columns, and a
`rename` table in `merchant.toml` does it by hand. Everything after that sees canonical tables only.

Times are UTC. Ids are any text or number; they never leave the merchant.
"""

from dataclasses import dataclass
from typing import Literal

ColumnType = Literal["id", "time", "number", "category", "text", "flag"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a canonical table.

    Attributes:
        type: `id` and `category` are read as text, `time` as UTC time, `flag` as true or false.
        required: The table cannot be used without it.
        known: Column that says when an outcome became known; empty for facts known at once.
        meaning: In words, with unit.
    """

    type: ColumnType
    meaning: str
    required: bool = False
    known: str = ""


ORDERS: dict[str, Column] = {
    "order_id": Column(type="id", required=True, meaning="the order; one row per order line"),
    "order_ts": Column(type="time", required=True, meaning="when it was placed"),
    "item_id": Column(type="id", required=True, meaning="the item of this line"),
    "quantity": Column(type="number", required=True, meaning="units in this line"),
    "unit_price": Column(type="number", required=True, meaning="price of one unit, shop's currency"),
    "customer_id": Column(type="id", meaning="the shopper; missing for an anonymous guest"),
    "status": Column(type="category", meaning="paid, cancelled, refunded or pending; only paid lines train"),
    "currency": Column(type="category", meaning="ISO 4217; a shop's rows must agree on one"),
    "discount": Column(type="number", meaning="discount of this line"),
    "shipping": Column(type="number", meaning="shipping cost of this line"),
    "country": Column(type="category", meaning="shopper's country, ISO 3166-1"),
    "region": Column(type="category", meaning="shopper's region, ISO 3166-2"),
    "merchant_region": Column(type="category", meaning="region it is sent from"),
    "distance_km": Column(type="number", meaning="from shop to shopper, kilometres"),
    "payment_type": Column(type="category", meaning="card, wallet, transfer, invoice, cod or other"),
    "installments": Column(type="number", meaning="number of instalments"),
    "promised_ts": Column(type="time", meaning="when delivery was promised"),
    "ship_by_ts": Column(type="time", meaning="latest agreed hand-over to the carrier"),
    "shipped_ts": Column(type="time", known="shipped_ts", meaning="hand-over to the carrier"),
    "delivered_ts": Column(type="time", known="delivered_ts", meaning="arrival at the shopper"),
    "review_score": Column(type="number", known="review_ts", meaning="1 to 5 stars"),
    "review_ts": Column(
        type="time", known="review_ts", meaning="when it was written; 4 days after delivery if absent"
    ),
    "returned": Column(type="flag", known="return_ts", meaning="whether the line was sent back"),
    "return_ts": Column(type="time", known="return_ts", meaning="when; 30 days after delivery if absent"),
}

ITEMS: dict[str, Column] = {
    "item_id": Column(type="id", required=True, meaning="as in orders"),
    "category": Column(type="category", meaning="the merchant's word, or a public one through category_map"),
    "price": Column(type="number", meaning="list price"),
    "brand": Column(type="category", meaning="brand"),
    "weight_g": Column(type="number", meaning="weight, grams"),
    "volume_cm3": Column(type="number", meaning="volume, cubic centimetres"),
    "photos": Column(type="number", meaning="number of pictures"),
    "title": Column(type="text", meaning="product name"),
    "title_length": Column(
        type="number", meaning="characters of the name, where the name itself is not exported"
    ),
}

EVENTS: dict[str, Column] = {
    "event_ts": Column(type="time", required=True, meaning="when"),
    "event_type": Column(
        type="category",
        required=True,
        meaning="view, add_to_cart, checkout, purchase, ad_impression or ad_click",
    ),
    "session_id": Column(type="id", required=True, meaning="the visit"),
    "customer_id": Column(type="id", meaning="the shopper"),
    "item_id": Column(type="id", meaning="as in orders"),
    "channel": Column(type="category", meaning="where the visit came from"),
    "device": Column(type="category", meaning="phone, tablet or desktop"),
}

TABLES: dict[str, dict[str, Column]] = {"orders": ORDERS, "items": ITEMS, "events": EVENTS}
