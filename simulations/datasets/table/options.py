"""What may be said of a table of one's own: where it lies, what its columns are, what separates merchants."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from shared_model.declared import CLOSED
from shared_model.schema import Count, NonNegative, Positive

By = Literal["key", "dirichlet", "quantity", "time"]

_MEANT: dict[str, frozenset[str]] = {
    "key": frozenset({"column", "minimum", "merchants"}),
    "dirichlet": frozenset({"column", "merchants", "alpha", "together", "seed"}),
    "quantity": frozenset({"merchants", "sigma", "together", "seed"}),
    "time": frozenset({"column", "merchants"}),
}
"""By -> the other keys that it reads."""

_NEEDED: dict[str, frozenset[str]] = {
    "key": frozenset({"column"}),
    "dirichlet": frozenset({"column", "merchants"}),
    "quantity": frozenset({"merchants"}),
    "time": frozenset({"merchants"}),
}


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Partition:
    """The `[market.partition]` table.

    Attributes:
        by: What separates merchants (`simulations/partitioners.py`): a `key` that the data have, `dirichlet`
            mixes of a label, `quantity` alone, or a period of `time` each.
        column: Of the key (seller, store, country) or of the label; of time the market's own by default.
        merchants: How many; of a key those with most rows, by default all.
        minimum: Of a key, values with fewer rows are left out; 1 by default.
        alpha: Of dirichlet; small: a label sits with few merchants; 0.5 by default.
        sigma: Of quantity, the spread of the logarithm of a merchant's size; 1 by default.
        together: Of dirichlet and quantity: the column whose rows stay together; the market's unit by
            default.
        seed: Of dirichlet and quantity; 0 by default.
    """

    by: By
    column: str = ""
    merchants: Count | None = None
    minimum: Count | None = None
    alpha: Positive | None = None
    sigma: NonNegative | None = None
    together: str | None = None
    seed: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _keys_belong_together(self) -> Self:
        names = ("column", "merchants", "minimum", "alpha", "sigma", "together", "seed")
        said = {name for name in names if getattr(self, name) not in (None, "")}
        if strange := sorted(said - _MEANT[self.by]):
            raise ValueError(
                f"without {', '.join(strange)}: by {self.by} reads {', '.join(sorted(_MEANT[self.by]))}"
            )
        if missing := sorted(_NEEDED[self.by] - said):
            raise ValueError(f"by {self.by} with {', '.join(missing)}")
        return self


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class TableMarket:
    """A table of one's own, split into merchants.

    Attributes:
        directory: Folder of the file, relative to the experiment file.
        file: CSV (gzipped or not) or Parquet.
        name: Of the market.
        holds: `examples`: a ready table, one row per example. `orders`: one row per order line, in the
            columns of `preset`.
        preset: Of orders, which export they look like (`client/data/presets.py`).
        time: Column with the time of a row; of orders the preset says.
        unit: Column that says whose a row is; of orders the preset says.
        columns: Contract feature -> column; a feature of the same name as its column need not be said.
        labels: Contract task -> column.
        validation_from: Rows before this day train.
        test_from: Rows from this day test. Without the two dates each merchant's last days do, and where rows
            have no time, a hash of the unit decides.
        tiers: What merchants declare: the contract's lowest tier, or `small`, `medium` and `large` by size.
        partition: What separates merchants.
    """

    kind: Literal["table"] = "table"
    directory: str
    file: Annotated[str, Field(min_length=1)]
    name: str = "own table"
    holds: Literal["examples", "orders"] = "examples"
    preset: str = "canonical"
    time: str = ""
    unit: str = ""
    columns: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    validation_from: date | None = None
    test_from: date | None = None
    tiers: Literal["lowest", "size"] = "lowest"
    partition: Partition

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.holds == "examples" and not self.labels:
            raise ValueError("labels: at least one task and its column; or holds = 'orders'")
        if self.holds == "orders" and (self.columns or self.labels):
            raise ValueError("without columns and labels: those of orders follow from the preset")
        first, second = self.validation_from, self.test_from
        if (first is None) != (second is None) or (
            first is not None and second is not None and first >= second
        ):
            raise ValueError("validation_from and test_from, the first earlier, or neither")
        if self.partition.by == "time":
            self._check_periods()
        return self

    def _check_periods(self) -> None:
        if self.validation_from is not None:
            raise ValueError("without validation_from and test_from: every merchant has a period of its own")
        if not (self.partition.column or self.time):
            raise ValueError("partition.column or time: the column to sort by")
