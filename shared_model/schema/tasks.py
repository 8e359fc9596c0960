"""The `[tasks]` tables."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from ..declared import CLOSED
from .primitives import Finite, Name, Positive

HeadPolicy = Literal["residual", "local"]
"""`residual`: a shared prior plus a private residual that starts at zero. `local`: a private head only."""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class TaskDeclaration:
    """What all tasks declare.

    Attributes:
        library: The library task that computes the labels (`shared_model.library.TASKS`); empty for a
            label column that the merchant maps.
        horizon_days: How far a library task looks ahead, where it does.
        weight: Its share in the sum of losses.
        head: See `HeadPolicy`.
        residual_penalty: Strength of the pull of a private residual towards zero, as a number of rows:
            the residual moves freely once the merchant has many more rows than this.
    """

    library: str = ""
    horizon_days: Annotated[int, Field(ge=1, le=366)] = 28
    weight: Positive = 1.0
    head: HeadPolicy = "residual"
    residual_penalty: Positive = 300.0


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Binary(TaskDeclaration):
    """Yes or no. `initial` is the public constant probability predicted before any training."""

    kind: Literal["binary"]
    initial: Annotated[float, Field(gt=0, lt=1)] = 0.5


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Multiclass(TaskDeclaration):
    """One of `classes`, a public list."""

    kind: Literal["multiclass"]
    classes: Annotated[tuple[str, ...], Field(min_length=2)]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Multilabel(TaskDeclaration):
    """Any subset of `labels`, a public list."""

    kind: Literal["multilabel"]
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    initial: Annotated[float, Field(gt=0, lt=1)] = 0.5


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Regression(TaskDeclaration):
    """A number, learnt as (transform(y) - center) / scale with y first cut to [low, high].

    `initial` is the public constant predicted before any training, in scaled units.
    """

    kind: Literal["regression"]
    transform: Literal["identity", "log1p", "signed_log1p"] = "identity"
    center: Finite = 0.0
    scale: Positive = 1.0
    low: float = float("-inf")
    high: float = float("inf")
    initial: Finite = 0.0


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class CountTask(TaskDeclaration):
    """A number of events, at most `high`, learnt with the Poisson loss.

    `initial` is the public constant rate predicted before any training.
    """

    kind: Literal["count"]
    high: Positive = 1000.0
    initial: Positive = 1.0


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Retrieval(TaskDeclaration):
    """One item of the merchant's own catalogue, of which the `max_items` most sold are kept.

    Its own part, the table of items, is always local.

    Attributes:
        repeats: Learn how shoppers come back to what they bought before (`shared_model.repeats`).
        content: Features that describe an item to a tower that travels (`shared_model.retrieval`); without
            any and without repeats, nothing of the head travels.
        max_full: Up to so many items the softmax runs over all of them; beyond, over drawn ones.
        negatives: Number of items that are drawn then, the same for all rows of a step.
    """

    kind: Literal["retrieval"]
    max_items: Annotated[int, Field(ge=2, le=200_000)] = 1000
    repeats: bool = False
    content: tuple[Name, ...] = ()
    max_full: Annotated[int, Field(ge=2, le=50_000)] = 50_000
    negatives: Annotated[int, Field(ge=2, le=50_000)] = 1024
    head: Literal["local"] = "local"


Task = Annotated[
    Binary | Multiclass | Multilabel | Regression | CountTask | Retrieval, Field(discriminator="kind")
]
