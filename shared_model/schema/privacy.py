"""The `[privacy]` and `[tiers]` tables: what every merchant guarantees each of its shoppers."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from ..declared import CLOSED
from .primitives import Count, Name, NonNegative, Positive, Rate, Share

Aggregate = Literal["one_product", "noised", "at_home"]
"""What becomes, in private rounds, of a task whose rows mix shoppers."""
Role = Literal["train", "receive"]
"""`train`: takes part in rounds. `receive`: gets the released model only, and releases nothing."""
Delta = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class TaskPrivacy:
    """A `[privacy.tasks.NAME]` table: the clip group of one task, and what becomes of rows that mix shoppers.

    Attributes:
        share: Of the budget that statistics and telemetry leave, relative to the other tasks' shares. A task
            that noise hurts most gets more.
        clipping_norm: Instead of `privacy.clipping_norm`.
        labels: Of a task whose rows mix shoppers (sales of an item), and of no other: `one_product` lets each
            shopper count for one item, `noised` trains on counts that are released once with noise, and
            `at_home` leaves the task out of private rounds.
        lines: With `noised`: a shopper counts for at most so many pairs of an item and a week.
        quantity: With `noised`: for each of them with at most so many units.
    """

    share: Positive = 1.0
    clipping_norm: Positive | None = None
    labels: Aggregate | None = None
    lines: Count = 2
    quantity: Positive = 1.0


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Telemetry:
    """The `[privacy.telemetry]` table: a noised sum of losses in every round, for the coordinator to watch.

    Attributes:
        share: Of the budget.
        bound: A shopper's loss is cut to [0, bound], each task's alone.
    """

    share: Annotated[float, Field(gt=0, lt=1)] = 0.05
    bound: Positive = 2.0


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class MerchantPrivacy:
    """The `[privacy.merchants]` table: a second layer, which hides each merchant's update in the aggregate.

    The coordinator adds it, so it protects against everybody but the coordinator.

    Attributes:
        epsilon: Budget of the whole plan, for one merchant.
        delta: Of the same guarantee.
        clipping_norm: Largest L2 norm of a merchant's update, over all arrays.
    """

    epsilon: Positive
    delta: Delta
    clipping_norm: Positive


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Privacy:
    """The `[privacy]` table: what every merchant guarantees each of its shoppers.

    Attributes:
        unit: Whose presence is hidden: a shopper at one merchant, or a single record.
        max_records: k, at most so many records of one unit count, of each kind of row.
        epsilon: Budget of the whole plan.
        delta: Of the same guarantee.
        clipping_norm: C, the largest L2 norm of one unit's contribution to a step.
        statistics: Share of the budget for statistics across shoppers (a merchant's usual delivery time);
            0 where no feature reads any.
        engine: Which code clips: `bookkeeping` is the fast one, `hooks` is Opacus's own, the reference.
    """

    unit: Literal["shopper", "record"] = "shopper"
    max_records: Count = 8
    epsilon: Positive
    delta: Delta
    clipping_norm: Positive = 1.0
    statistics: Share = 0.0
    engine: Literal["bookkeeping", "hooks"] = "bookkeeping"
    tasks: dict[Name, TaskPrivacy] = Field(default_factory=dict)
    telemetry: Telemetry | None = None
    merchants: MerchantPrivacy | None = None


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Tier:
    """A public size class. A merchant declares one; its exact size stays private.

    Attributes:
        shoppers: It has at least so many.
        weight: Of its updates in the aggregate.
        sampling_rate: q, the chance of a unit to be drawn into a private step. By default 1 with full
            batches, otherwise `expected_batch` of `shoppers`.
        expected_batch: Instead of `federation.expected_batch`.
        learning_rate: Instead of `local.learning_rate`.
        role: `receive` for a size that is too small to add more than noise: its merchants release nothing,
            spend nothing and get the released model like all others.
        answer_seconds: An answer to a round leaves at a whole multiple of it after the question, so that its
            time says little about a merchant's exact size; 0: as soon as it is ready.
    """

    shoppers: Annotated[int, Field(ge=0)]
    weight: Positive
    sampling_rate: Rate | None = None
    expected_batch: Count | None = None
    learning_rate: Positive | None = None
    role: Role = "train"
    answer_seconds: NonNegative = 0.0
