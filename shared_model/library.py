"""What the words of a shop mean, so that a common task is the same task at every merchant.

Three public tables: the kinds of rows that are derived from a shop's tables, the columns that each kind
offers to features, and the tasks. How rows, columns and labels are computed is the merchant's side of
the matter (`client/data/`); what they mean is agreed here.

Times: a row stands for a moment `time` at which somebody wants a prediction. Its columns hold only what
was known then. A label becomes known at `known_at`; before that it does not exist for training.
"""

from dataclasses import dataclass
from typing import Literal

Owner = Literal["shopper", "item"]
_SENSITIVITY: dict[Owner, float] = {"shopper": 1.0, "item": 2.0}


@dataclass(frozen=True, kw_only=True)
class RowKind:
    """One kind of example.

    Attributes:
        moment: When its prediction is made, in words.
        owner: Who the row belongs to. `shopper`: removing one shopper removes whole rows. `item`: a row
            mixes shoppers, so clipping rows does not protect one of them.
        sensitivity: By how many clipping norms a private sum over the row's units moves at most when one
            shopper is removed. 1 where the shopper is the unit. 2 where the item is: of a shopper only one
            item counts, whose contribution is replaced by another one.
        columns: Names that features may read; all others are missing on rows of this kind.
    """

    moment: str
    owner: Owner
    columns: tuple[str, ...]

    @property
    def sensitivity(self) -> float:
        """See above."""
        return _SENSITIVITY[self.owner]


@dataclass(frozen=True, kw_only=True)
class LibraryTask:
    """One task that the library can label.

    Attributes:
        kind: Its task kind in the contract.
        rows: The kind of row it is asked on (a key of `ROW_KINDS`).
        needs: Columns of the shop's tables without which the task is switched off.
        meaning: The question, in words.
    """

    kind: Literal["binary", "regression", "count", "retrieval"]
    rows: str
    needs: tuple[str, ...]
    meaning: str


_CALENDAR = ("month", "weekday", "hour_block", "season_sin", "season_cos", "row_kind")
_PLACE = ("country", "region", "same_region", "distance_km")
_ITEM = (
    "item_id", "category", "brand", "price", "weight_g", "volume_cm3", "photos", "title", "title_length",
)  # fmt: skip
_TRAILING = ("trailing_delivery_days", "trailing_deliveries", "trailing_bad_reviews", "trailing_orders_28d")
ACROSS_SHOPPERS = frozenset(_TRAILING)
"""Columns of a shopper's rows that other shoppers move too. Private training takes noised ones instead."""
_SHOPPER = ("history", "orders_before", "days_since_last_order")
_PURCHASE = (
    *_CALENDAR, *_PLACE, *_ITEM, *_TRAILING, *_SHOPPER,
    "payment_type", "installments", "shipping", "discount", "quantity", "lines",
    "promised_days", "ship_by_days",
)  # fmt: skip

ROW_KINDS: dict[str, RowKind] = {
    "purchase": RowKind(moment="an order has just been placed", owner="shopper", columns=_PURCHASE),
    "delivery": RowKind(
        moment="an order has just arrived",
        owner="shopper",
        columns=(*_PURCHASE, "delivery_days", "delay_days"),
    ),
    "visit": RowKind(
        moment="a shopper is about to choose; the item is not known yet",
        owner="shopper",
        columns=(*_CALENDAR, *_PLACE, *_TRAILING, *_SHOPPER, "payment_type"),
    ),
    "item_window": RowKind(
        moment="a reference date, once for every item sold lately",
        owner="item",
        columns=(*_CALENDAR, *_ITEM, *_TRAILING, "units_7d", "units_28d", "units_90d", "item_age_days"),
    ),
    "session": RowKind(
        moment="a session has begun",
        owner="shopper",
        columns=(*_CALENDAR, "channel", "device", "views", "cart_adds", *_SHOPPER, *_ITEM),
    ),
    "impression": RowKind(
        moment="an advertisement is about to be shown",
        owner="shopper",
        columns=(*_CALENDAR, "channel", "device", *_SHOPPER, *_ITEM),
    ),
}

TASKS: dict[str, LibraryTask] = {
    "will_rebuy": LibraryTask(
        kind="binary", rows="purchase", needs=("customer_id",),
        meaning="Does this shopper order again within horizon_days?",
    ),
    "delivery_days": LibraryTask(
        kind="regression", rows="purchase", needs=("delivered_ts",),
        meaning="How many days from order to delivery?",
    ),
    "late": LibraryTask(
        kind="binary", rows="purchase", needs=("delivered_ts", "promised_ts"),
        meaning="Does the order arrive after the promised day?",
    ),
    "bad_review": LibraryTask(
        kind="binary", rows="delivery", needs=("review_score", "delivered_ts"),
        meaning="Is the review, if one is written, 3 stars or fewer?",
    ),
    "returned": LibraryTask(
        kind="binary", rows="delivery", needs=("returned",),
        meaning="Is the order sent back?",
    ),
    "order_value": LibraryTask(
        kind="regression", rows="visit", needs=(),
        meaning="How much is spent in this order, items only, in the shop's currency?",
    ),
    "next_item": LibraryTask(
        kind="retrieval", rows="visit", needs=(),
        meaning="Which item of the shop's own catalogue is chosen?",
    ),
    "units": LibraryTask(
        kind="regression", rows="item_window", needs=(),
        meaning="How many units of the item are sold in the next horizon_days?",
    ),
    "session_purchase": LibraryTask(
        kind="binary", rows="session", needs=("event_type", "session_id"),
        meaning="Does this session end in a purchase?",
    ),
    "ad_click": LibraryTask(
        kind="binary", rows="impression", needs=("event_type",),
        meaning="Is the advertisement clicked?",
    ),
}  # fmt: skip
