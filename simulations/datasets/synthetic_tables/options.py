"""What a market of made-up ready tables may be told."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from shared_model.declared import CLOSED
from shared_model.schema import Name

from ...last_days import LastDays

Share = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rows = Annotated[int, Field(ge=10, le=10_000_000)]
Effects = dict[Name, Annotated[float, Field(allow_inf_nan=False)]]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class NumberColumn:
    """A number: `form` of center + spread x standard normal. Its predictor is the standard normal.

    Attributes:
        form: `plain`; `exp` for positive numbers with a long tail; `share` for numbers between 0 and 1
            (logistic).
        center: Before `form`.
        spread: Before `form`.
        shift: How much its mean differs between merchants, in spreads.
        per: Drawn for every row, or once for every unit.
    """

    kind: Literal["number"]
    form: Literal["plain", "exp", "share"] = "plain"
    center: float = 0.0
    spread: Annotated[float, Field(gt=0)] = 1.0
    shift: Strength = 0.3
    per: Literal["row", "unit"] = "row"


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class CategoryColumn:
    """One of `values`. Its predictor is a number that was drawn, for each label, for the value.

    Attributes:
        values: All that occur, at all merchants.
        shift: How much the log odds of a value differ between merchants.
        per: As in `NumberColumn`.
    """

    kind: Literal["category"]
    values: Annotated[tuple[str, ...], Field(min_length=2)]
    shift: Strength = 0.5
    per: Literal["row", "unit"] = "row"


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class MatchColumn:
    """1 where two category columns agree, else 0; its predictor is the same.

    Attributes:
        of: The two.
        hidden: Labels follow from it, but no table has it: a model has to find it in the two.
    """

    kind: Literal["match"]
    of: tuple[str, str]
    hidden: bool = False


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class BinaryLabel:
    """Yes or no, with log odds = those of `rate` + the sum of effect x predictor.

    Attributes:
        rate: Where all predictors are 0.
        effects: Column -> coefficient.
        shift: How much the log odds differ between merchants.
        known_where: A binary label: this one is known on rows where that one is 1; empty for all rows.
        only_where: A binary label without which this one is 0: what is not clicked is not bought. `rate` and
            effects then are those of rows where that one is 1.
    """

    kind: Literal["binary"]
    rate: Annotated[float, Field(gt=0, lt=1)]
    effects: Effects
    shift: Strength = 0.2
    known_where: str = ""
    only_where: str = ""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class NumberLabel:
    """A number: center + spread x (the sum of effect x predictor + noise x standard normal), cut to bounds.

    Attributes:
        center: Where all predictors are 0.
        spread: Unit of the effects.
        noise: In spreads.
        effects: Column -> coefficient.
        shift: How much the center differs between merchants, in spreads.
        low: Bound.
        high: Bound.
        known_where: As in `BinaryLabel`.
    """

    kind: Literal["number"]
    center: float
    spread: Annotated[float, Field(gt=0)]
    noise: Strength = 1.0
    effects: Effects
    shift: Strength = 0.2
    low: float = float("-inf")
    high: float = float("inf")
    known_where: str = ""


Column = Annotated[NumberColumn | CategoryColumn | MatchColumn, Field(discriminator="kind")]
Label = Annotated[BinaryLabel | NumberLabel, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class SyntheticTablesMarket(LastDays):
    """Merchants with one table each: which columns it has, and what the labels follow from.

    Attributes, beside those of `LastDays`:
        merchant: What a merchant is called: `bank` makes `synthetic-bank-01` and so on.
        merchants: How many; the first n are the same whatever the number.
        seed: Of every draw.
        median_rows: Half of the merchants have fewer rows than this.
        sigma_rows: Standard deviation of the logarithm of their numbers of rows.
        min_rows: No merchant has fewer.
        max_rows: No merchant has more.
        rows_per_unit: Rows of a person, on average.
        relatedness: r. 1: the same effects hold at every merchant. 0: every merchant has its own.
        columns: Of every table.
        labels: Of every table; each is a task of the contract.
    """

    kind: Literal["synthetic_tables"] = "synthetic_tables"
    merchant: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")] = "merchant"
    merchants: Annotated[int, Field(ge=1, le=100_000)] = 12
    seed: Annotated[int, Field(ge=0)] = 0
    median_rows: Rows = 400
    sigma_rows: Strength = 0.8
    min_rows: Rows = 60
    max_rows: Rows = 1_000_000
    rows_per_unit: Annotated[float, Field(ge=1)] = 1.0
    relatedness: Share = 0.9
    columns: Annotated[dict[Name, Column], Field(min_length=1)]
    labels: Annotated[dict[Name, Label], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        categories = {name for name, c in self.columns.items() if isinstance(c, CategoryColumn)}
        binary: set[str] = set()
        for name, column in self.columns.items():
            if isinstance(column, MatchColumn) and not set(column.of) <= categories:
                raise ValueError(f"columns.{name}.of: two of the categories {', '.join(sorted(categories))}")
        for name, label in self.labels.items():
            if unknown := set(label.effects) - set(self.columns):
                raise ValueError(f"labels.{name}.effects: columns only, not {', '.join(sorted(unknown))}")
            for key in ("known_where", "only_where"):
                if (other := getattr(label, key, "")) and other not in binary:
                    raise ValueError(f"labels.{name}.{key}: a binary label that stands before it")
            binary |= {name} if isinstance(label, BinaryLabel) else set()
        if both := set(self.columns) & set(self.labels):
            raise ValueError(f"labels.{min(both)}: a name that no column has")
        if self.min_rows > self.max_rows:
            raise ValueError(f"min_rows {self.min_rows} at most max_rows {self.max_rows}")
        return self

    @property
    def written(self) -> tuple[str, ...]:
        """Columns that the tables have."""
        return tuple(n for n, c in self.columns.items() if not (isinstance(c, MatchColumn) and c.hidden))
