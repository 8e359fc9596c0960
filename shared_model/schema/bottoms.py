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


Bottom = Annotated[Wide | SharedBottom | MMoE, Field(discriminator="architecture")]
