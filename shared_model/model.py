"""The model: feature encoder, bottom and heads; and which of its parameters are shared."""

from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor, nn

from . import schema
from .adaptation import Discriminator
from .architectures import ARCHITECTURES, Bottom
from .features import Batch, FeatureEncoder
from .heads import Head, outputs_of
from .parameters import to_arrays
from .protocol import SharedArrays


class MultiTaskModel(nn.Module):
    """`MultiTaskModel(encoder, bottom, heads)`; `build` makes one from the contract.

    Attributes:
        adaptation: Guesses domains, where the contract adapts to any; predictions do not read it.

    Guarantee: `shared_parameters` never names a head's own part, a gate, a table of local scope or anything
    of a merchant's own task (`tests/shared_model/test_model.py`).
    """

    def __init__(
        self,
        encoder: FeatureEncoder,
        bottom: Bottom,
        heads: Mapping[str, Head],
        local: frozenset[str],
        adaptation: Discriminator | None = None,
    ) -> None:
        """Store the parts; `local` names the prefixes of parameters that stay."""
        super().__init__()
        self.encoder = encoder
        self.bottom = bottom
        self.heads = nn.ModuleDict(dict(heads))
        self.adaptation = adaptation
        stays = tuple(f"{prefix}." for prefix in local)
        names = sorted(name for name, _ in self.named_parameters())
        self._shared = tuple(name for name in names if not name.startswith(stays))
        self._local = tuple(name for name in names if name.startswith(stays))

    def shared_parameters(self) -> tuple[str, ...]:
        """Return the names of the parameters that travel, in a fixed order."""
        return self._shared

    def local_parameters(self) -> tuple[str, ...]:
        """Return the names of the parameters that stay, in a fixed order."""
        return self._local

    def head(self, task: str) -> Head:
        """Return the head of one task."""
        found = self.heads[task]
        if not isinstance(found, Head):
            raise TypeError(f"Expected a head of {task}, got {type(found).__name__}.")
        return found

    def represent(self, batch: Batch) -> dict[str, Tensor]:
        """Return every task's representation, shape (..., B, D)."""
        return self.bottom(self.encoder(batch))

    def forward(
        self, batch: Batch, tasks: Iterable[str] | None = None, *, own: bool = True
    ) -> dict[str, Tensor]:
        """Return the logits of `tasks` (of all, by default), shape (..., B, O) each.

        Args:
            batch: Encoded rows.
            tasks: Names of heads to compute.
            own: Add the merchant's own part; without it the shared prior alone speaks.
        """
        return self.logits(self.represent(batch), self.heads if tasks is None else tasks, own=own)

    def logits(
        self, representations: Mapping[str, Tensor], tasks: Iterable[str], *, own: bool = True
    ) -> dict[str, Tensor]:
        """Return the logits of `tasks` from what `represent` returned (see `forward`)."""
        return {t: self.head(t)(representations[t], own=own) for t in tasks}

    def domain_losses(self, representations: Mapping[str, Tensor], tasks: Iterable[str]) -> Tensor | None:
        """Return every row's loss of being recognised (`Discriminator.row_losses`), shape (..., B).

        None where there is no domain to be recognised by.

        Args:
            representations: What `represent` returned.
            tasks: Those that are trained; their representations are looked at.
        """
        if self.adaptation is None or self.adaptation.domain is None:
            return None
        return self.adaptation.row_losses(representations[t] for t in tasks)

    def learns_in_rounds(self, task: str) -> bool:
        """Whether training on `task` moves anything that travels."""
        shares_bottom = any(n.startswith(("bottom.", "encoder.")) for n in self._shared)
        return self.head(task).uses_prior or shares_bottom


def build(
    federation: schema.Federation,
    *,
    generator: torch.Generator,
    own_tasks: Mapping[str, schema.Task] | None = None,
    alone: Collection[str] = (),
    catalogues: Mapping[str, int] | None = None,
    domain: str | None = None,
) -> MultiTaskModel:
    """Return the model of a contract.

    Args:
        federation: The contract.
        generator: Draws the initial weights.
        own_tasks: Tasks of the merchant's own; their heads stay.
        alone: Tasks of the contract for which the merchant wants a head of its own only.
        catalogues: Number of items per retrieval task; a task without one gets a catalogue of one item.
        domain: The merchant's own, one of those that the contract adapts to; None trains no discriminator.
    """
    architecture = ARCHITECTURES[federation.bottom.architecture]
    features = {n: f for n, f in federation.features.items() if isinstance(f, architecture.reads)}
    tasks: dict[str, schema.Task] = {**federation.tasks, **(own_tasks or {})}
    encoder = FeatureEncoder(features, generator=generator)
    bottom = architecture.build(federation.bottom, encoder, tuple(sorted(tasks)), generator)
    heads = {
        name: Head(task, bottom.width, outputs_of(task, (catalogues or {}).get(name, 1)), alone=name in alone)
        for name, task in tasks.items()
    }
    local = {f"heads.{name}.own" for name in tasks}
    local |= {f"heads.{name}" for name in tasks if name not in federation.tasks}
    local |= {f"bottom.{part}" for part in bottom.local_parts}
    local |= {
        f"encoder.{part}.{name}"
        for part in ("tables", "projections", "sequences")
        for name, feature in features.items()
        if _stays(feature, features)
    }
    adaptation: Discriminator | None = None
    if federation.adaptation is not None:
        adaptation = Discriminator(federation.adaptation, bottom.width, domain=domain, generator=generator)
    return MultiTaskModel(encoder, bottom, heads, frozenset(local), adaptation)


def _stays(feature: schema.Feature, features: Mapping[str, schema.Feature]) -> bool:
    """Whether what a feature owns stays; an encoder of events stays where any of their tables does."""
    if isinstance(feature, schema.Sequence):
        return any(_stays(features[of], features) for of in feature.of)
    return not isinstance(feature, schema.Numeric) and feature.scope == "local"


def initial_shared(federation: schema.Federation, seed: int) -> SharedArrays:
    """Return the shared parameters that a new training starts from."""
    model = build(federation, generator=torch.Generator().manual_seed(seed))
    return to_arrays(model, model.shared_parameters())


def task_of(federation: schema.Federation) -> dict[str, str]:
    """Return, for every shared parameter that belongs to one task alone, the name of that task."""
    names = initial_shared(federation, 0)
    return {name: name.split(".")[1] for name in names if name.startswith("heads.")}
