"""A made-up history whose last days judge: the same four keys in every market that has one."""

from datetime import date, timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from shared_model.declared import CLOSED


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class LastDays:
    """Base of a market's options.

    Attributes:
        start: First day.
        days: Length of the history.
        validation_days: Before the test.
        test_days: The last days.
    """

    start: date = date(2024, 1, 1)
    days: Annotated[int, Field(ge=30, le=3660)] = 360
    validation_days: Annotated[int, Field(ge=1)] = 45
    test_days: Annotated[int, Field(ge=1)] = 75

    @model_validator(mode="after")
    def _leave_days_to_train(self) -> Self:
        if self.validation_days + self.test_days >= self.days:
            raise ValueError(f"validation_days + test_days below days, which is {self.days}")
        return self

    @property
    def test_from(self) -> date:
        """First day of the test."""
        return self.start + timedelta(days=self.days - self.test_days)

    @property
    def validation_from(self) -> date:
        """First day of the validation."""
        return self.test_from - timedelta(days=self.validation_days)
