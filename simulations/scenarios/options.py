"""What a scenario may be told: the knobs of a made-up market whose right answer is known."""

from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from shared_model.declared import CLOSED
from shared_model.schema import Name, NonNegative, Positive

from ..last_days import LastDays

Share = Annotated[float, Field(ge=0, le=1)]
Rows = Annotated[int, Field(ge=5, le=10_000_000)]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Fixed:
    """Every merchant has `rows` rows."""

    kind: Literal["fixed"]
    rows: Rows = 300


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class LogNormal:
    """Half of the merchants have fewer rows than `median`; `sigma` is the spread of the logarithm."""

    kind: Literal["log_normal"] = "log_normal"
    median: Rows = 300
    sigma: NonNegative = 1.0
    least: Rows = 40
    most: Rows = 20_000


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Uniform:
    """Any number of rows between `least` and `most` is as likely as another."""

    kind: Literal["uniform"]
    least: Rows = 40
    most: Rows = 1000


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Pareto:
    """Few giants, many dwarfs: P(rows > x) = (least / x)^alpha, cut at `most`."""

    kind: Literal["pareto"]
    least: Rows = 40
    alpha: Positive = 1.2
    most: Rows = 20_000


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Listed:
    """The first merchant has `rows[0]` rows and so on, from the beginning again where the list ends."""

    kind: Literal["listed"]
    rows: Annotated[tuple[Rows, ...], Field(min_length=1)]


Size = Annotated[Fixed | LogNormal | Uniform | Pareto | Listed, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class TaskKnobs:
    """One `[market.tasks.NAME]`; what is not said is as in the market.

    Attributes:
        relatedness: Instead of the market's.
        share: Of the merchants that have the task, instead of `task_share`.
        signal: Instead of the market's.
        noise: Instead of the market's; regression only.
    """

    relatedness: Share | None = None
    share: Share | None = None
    signal: NonNegative | None = None
    noise: Positive | None = None


class Knobs(NamedTuple):
    """The knobs of a task, all of them set (see `TaskKnobs`)."""

    relatedness: float
    share: float
    signal: float
    noise: float


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class ScenarioMarket(LastDays):
    """A made-up market: features and tasks are those of a contract, everything else are knobs.

    Attributes, beside those of `LastDays`:
        contract: Whose features and tasks the tables have; an experiment sets it to its own.
        merchant: What a merchant is called: `shop` makes `synthetic-shop-01` and so on.
        merchants: How many; the first n are the same whatever the number.
        seed: Of every draw.
        size: How many rows merchants have.
        relatedness: r, the share of the variance of merchants' coefficients that is common. 1: the same
            effects hold everywhere. 0: nothing that one merchant learns is true at another.
        groups: What is common is common within a group only; merchants are dealt to them in turn.
        strangers: Share of merchants whose coefficients are all their own, whatever r is.
        drift: How far coefficients turn from the first to the last day; 1: into others, independent of them.
        feature_shift: How much means of numbers, in their spreads, and log odds of categories differ between
            merchants.
        label_shift: How much levels of tasks differ between merchants, in log odds or spreads.
        task_share: Chance that a merchant has a task; every merchant has at least one.
        vocabulary: Values of a category.
        vocabulary_overlap: Share of them that every merchant has; the rest are its own.
        rows_per_shopper: On average.
        shared_shoppers: Share of a merchant's shoppers that buy at others too.
        shopper_pool: How many such shoppers there are in all.
        likeness: Share of the variance of numbers that belongs to the shopper.
        season: Strength of the season, in log odds or spreads.
        signal: Standard deviation of what the features say, in log odds or spreads.
        noise: Of a number around what the features say, in spreads.
        tasks: What differs by task.
    """

    kind: Literal["scenario"] = "scenario"
    contract: str = ""
    merchant: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")] = "shop"
    merchants: Annotated[int, Field(ge=1, le=100_000)] = 12
    seed: Annotated[int, Field(ge=0)] = 0
    size: Size = LogNormal()
    relatedness: Share = 0.9
    groups: Annotated[int, Field(ge=1, le=1000)] = 1
    strangers: Share = 0.0
    drift: Share = 0.0
    feature_shift: NonNegative = 0.3
    label_shift: NonNegative = 0.3
    task_share: Share = 1.0
    vocabulary: Annotated[int, Field(ge=2, le=100_000)] = 8
    vocabulary_overlap: Share = 1.0
    rows_per_shopper: Annotated[float, Field(ge=1)] = 2.0
    shared_shoppers: Share = 0.0
    shopper_pool: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    likeness: Share = 0.3
    season: NonNegative = 0.0
    signal: NonNegative = 1.0
    noise: Positive = 1.0
    tasks: dict[Name, TaskKnobs] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        least, most = getattr(self.size, "least", 0), getattr(self.size, "most", 0)
        if least > most:
            raise ValueError(f"size.least {least} at most size.most {most}")
        return self

    def of_task(self, task: str) -> Knobs:
        """Return the knobs of a task with the market's where it has none of its own."""
        own = self.tasks.get(task, TaskKnobs())
        return Knobs(
            relatedness=self.relatedness if own.relatedness is None else own.relatedness,
            share=self.task_share if own.share is None else own.share,
            signal=self.signal if own.signal is None else own.signal,
            noise=self.noise if own.noise is None else own.noise,
        )

    def name_of(self, number: int) -> str:
        """Return what merchant `number`, from 0, is called."""
        return f"synthetic-{self.merchant}-{number + 1:02d}"
