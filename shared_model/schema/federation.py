"""All of `federation.toml`."""

import hashlib
from functools import cached_property
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from .. import declared
from ..declared import CLOSED
from .adaptation import Adaptation
from .bottoms import Bottom
from .features import Features
from .primitives import Name
from .privacy import Privacy, Tier
from .tasks import Task
from .training import LocalTraining, Rounds, ServerOptimizer


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Federation:
    """All of `federation.toml`."""

    federation: Rounds
    features: Features
    tasks: Annotated[dict[Name, Task], Field(min_length=1)]
    bottom: Bottom
    local: LocalTraining = LocalTraining()
    server: ServerOptimizer = ServerOptimizer()
    adaptation: Adaptation | None = None
    privacy: Privacy | None = None
    tiers: dict[Name, Tier] = Field(default_factory=lambda: {"any": Tier(shoppers=0, weight=1.0)})

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical form, in hex: the same for every file that means the same."""
        return hashlib.sha256(declared.canonical(self)).hexdigest()
