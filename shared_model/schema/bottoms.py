"""The `[bottom]` table."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from ..declared import CLOSED
from .primitives import Width


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Wide:
    """No bottom: every task's prior is linear in the dense inputs (`architectures/wide.py`)."""

    architecture: Literal["wide"]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class SharedBottom:
    """One network for all tasks (`architectures/shared_bottom.py`)."""

    architecture: Literal["shared_bottom"]
    hidden: Annotated[tuple[Width, ...], Field(min_length=1)] = (64, 64)


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class MMoE:
    """Expert networks, mixed for each task by the merchant's own gate (`architectures/mmoe.py`)."""

    architecture: Literal["mmoe"]
    experts: Annotated[int, Field(ge=1, le=64)] = 4
    hidden: Annotated[tuple[Width, ...], Field(min_length=1)] = (64, 64)


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class PLE:
    """Experts of all tasks and of each task, mixed level by level (`architectures/ple.py`).

    Attributes:
        experts: Shared ones on every level.
        task_experts: Every task's own ones on every level.
        hidden: Width of every level, the first one next to the features.
    """

    architecture: Literal["ple"]
    experts: Annotated[int, Field(ge=1, le=64)] = 2
    task_experts: Annotated[int, Field(ge=0, le=64)] = 1
    hidden: Annotated[tuple[Width, ...], Field(min_length=1)] = (64, 64)


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class TaskEmbedding:
    """One network that is told by a vector which task it works for (`architectures/task_embedding.py`).

    Attributes:
        hidden: Widths of the network.
        width: Of a task's vector.
    """

    architecture: Literal["task_embedding"]
    hidden: Annotated[tuple[Width, ...], Field(min_length=1)] = (64, 64)
    width: Width = 8


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Cascade:
    """A network per task; probabilities multiply along `chain` (`architectures/cascade.py`).

    Attributes:
        hidden: Widths of every task's network.
        chain: Binary tasks, each of which can only come true where the one before it did.
    """

    architecture: Literal["cascade"]
    hidden: Annotated[tuple[Width, ...], Field(min_length=1)] = (64, 64)
    chain: Annotated[tuple[str, ...], Field(min_length=2)]


Bottom = Annotated[
    Wide | SharedBottom | MMoE | PLE | TaskEmbedding | Cascade, Field(discriminator="architecture")
]
