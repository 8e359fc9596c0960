"""What is audited: a mechanism, under one contract, for merchants of one tier."""

from dataclasses import dataclass, field, replace

import torch

from shared_model import schema
from shared_model.privacy.plan import Plan
from simulations import seeds

from .mechanism import HONEST, Mechanism


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A mechanism and what was claimed for it.

    Attributes:
        federation: The contract.
        plan: The claim: what a merchant of one tier releases, and with how much noise.
        mechanism: What runs.
        seed: Of everything that the audit draws; the same seed gives the same findings, bit for bit.
    """

    federation: schema.Federation
    plan: Plan
    mechanism: Mechanism = field(default_factory=lambda: HONEST)
    seed: int = 0

    @property
    def step(self) -> Plan:
        """The claim for one step of a round, without telemetry."""
        return replace(self.plan, steps=1, telemetry=None)

    @property
    def groups(self) -> list[str]:
        """Names of the clip groups."""
        return [group.name for group in self.plan.groups]

    def number(self, *purpose: str) -> int:
        """Return a seed of its own for one purpose."""
        return int(seeds.generator(self.seed, "audit", *purpose).integers(2**63 - 1))

    def generator(self, *purpose: str) -> torch.Generator:
        """Return a generator of its own for one purpose."""
        return torch.Generator().manual_seed(self.number(*purpose))
