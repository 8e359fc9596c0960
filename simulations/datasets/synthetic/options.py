"""What a synthetic market may be told."""

from datetime import date, timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from shared_model.declared import CLOSED

Share = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Orders = Annotated[int, Field(ge=1, le=1_000_000)]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class SyntheticMarket:
    """How many merchants, how large, and in which ways they differ.

    Attributes:
        merchants: How many; the first n are the same whatever the number.
        seed: Of every draw.
        start: First day with orders.
        days: Length of the history; the shop exports its tables at its end.
        validation_from: Rows before this day train.
        test_from: Rows from this day test.
        median_orders: Half of the merchants expect fewer orders than this.
        sigma_orders: Standard deviation of the logarithm of their expected orders.
        min_orders: No merchant expects fewer.
        max_orders: No merchant expects more.
        items: Items in a shop, about; small shops have fewer.
        relatedness: r. 1: the same mechanics hold at every merchant. 0: every merchant has its own, and there
            is nothing to learn from one another.
        feature_shift: How much distances, prices, regions and categories differ between merchants.
        label_shift: How much base rates differ between merchants.
        season: Strength of the seasons; 1 is ordinary.
        repeat: Share of orders that another order of the same shopper follows, about.
        without_deliveries: Share of merchants whose exports lack delivery times.
        without_reviews: Share of merchants whose exports lack reviews.
        without_events: Share of merchants that record no visits.
    """

    kind: Literal["synthetic"] = "synthetic"
    merchants: Annotated[int, Field(ge=1, le=100_000)] = 12
    seed: Annotated[int, Field(ge=0)] = 0
    start: date = date(2022, 1, 1)
    days: Annotated[int, Field(ge=30, le=3660)] = 540
    validation_from: date = date(2023, 2, 15)
    test_from: date = date(2023, 4, 1)
    median_orders: Orders = 250
    sigma_orders: Strength = 1.2
    min_orders: Orders = 60
    max_orders: Orders = 1500
    items: Annotated[int, Field(ge=2, le=10_000)] = 80
    relatedness: Share = 1.0
    feature_shift: Strength = 0.5
    label_shift: Strength = 0.2
    season: Strength = 1.0
    repeat: Annotated[float, Field(gt=0, lt=0.9)] = 0.3
    without_deliveries: Share = 0.0
    without_reviews: Share = 0.0
    without_events: Share = 0.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.start < self.validation_from < self.test_from < self.end:
            raise ValueError(
                f"start {self.start} < validation_from {self.validation_from} < test_from {self.test_from} "
                f"< start + days, which is {self.end}"
            )
        if self.min_orders > self.max_orders:
            raise ValueError(f"min_orders {self.min_orders} at most max_orders {self.max_orders}")
        return self

    @property
    def end(self) -> date:
        """The day of the export; nothing later is known."""
        return self.start + timedelta(days=self.days)
