"""Which merchants can be trained together: those whose models have the same shape."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from client.config import MerchantConfig
from shared_model import schema
from shared_model.model import MultiTaskModel, build


@dataclass(frozen=True, kw_only=True)
class Structure:
    """What decides the shape of a merchant's model, beside the contract.

    Attributes:
        tasks: All that the merchant's file wants, as it wants them, in order of name.
        own: Those of them that are its own.
        alone: Those of the contract for which it wants a head of its own only.
        domain: As in its file.
    """

    tasks: tuple[tuple[str, schema.Task], ...]
    own: frozenset[str] = frozenset()
    alone: frozenset[str] = frozenset()
    domain: str | None = None

    @property
    def specs(self) -> Mapping[str, schema.Task]:
        """Task -> declaration."""
        return dict(self.tasks)

    def model(
        self, federation: schema.Federation, catalogues: Mapping[str, int] | None = None
    ) -> MultiTaskModel:
        """Return a model of this structure, with any weights.

        Args:
            federation: The contract.
            catalogues: Items per retrieval task, one by default.
        """
        return build(
            federation,
            generator=torch.Generator().manual_seed(0),
            own_tasks={name: task for name, task in self.tasks if name in self.own},
            alone=self.alone,
            catalogues=catalogues,
            domain=self.domain,
        )


def structure_of(config: MerchantConfig, federation: schema.Federation) -> Structure:
    """Return the structure of a merchant."""
    return Structure(
        tasks=tuple(sorted(config.tasks.items())),
        own=frozenset(config.own_tasks),
        alone=config.alone(federation),
        domain=config.domain,
    )
