"""The model: feature encoder, bottom and heads; and which of its parameters are shared."""

import functools
import math
from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from . import schema
from .adaptation import Discriminator
from .architectures import ARCHITECTURES, Bottom
from .architectures.cascade import both, chain_of, first_probabilities
from .blocks import Named, Tasks
from .features import Batch, FeatureEncoder
from .heads import Head, outputs_of
from .parameters import hand_over
from .protocol import SharedArrays
from .retrieval import Describe, RetrievalHead

_ITEMS = 8192
"""Items of a catalogue that are encoded at a time."""


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
        chain: tuple[str, ...] = (),
        adaptation: Discriminator | None = None,
    ) -> None:
        """Store the parts.

        Args:
            encoder: Of features.
            bottom: Of the architecture.
            heads: Of every task.
            local: Prefixes of the names of parameters that stay.
            chain: Tasks along which the priors' probabilities multiply (`architectures/cascade.py`).
            adaptation: See the class.
        """
        super().__init__()
        self.encoder = encoder
        self.bottom = bottom
        self.heads = Named(dict(heads))
        self.adaptation = adaptation
        stays = tuple(f"{prefix}." for prefix in local)
        names = sorted(name for name, _ in self.named_parameters())
        self._shared = tuple(name for name in names if not name.startswith(stays))
        self._local = tuple(name for name in names if name.startswith(stays))
        self._priors = {task: _priors(task, head, chain) for task, head in heads.items()}
        self._restricted = self._movers()

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

    def represent(self, batch: Batch, tasks: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Return the representations that `tasks` need (all, by default), shape (..., B, D) each.

        Those are their own, and along a chain those of the tasks before them.
        """
        wanted = tuple(self.heads if tasks is None else tasks)
        needed = dict.fromkeys([*wanted, *(prior for task in wanted for prior in self._priors[task])])
        return self.bottom(self.encoder(batch), tuple(needed))

    def priors(self, representations: Mapping[str, Tensor], tasks: Iterable[str]) -> dict[str, Tensor]:
        """Return what the shared priors say of those of `tasks` whose heads use one, shape (..., B, O) each.

        That of an item choice is not among them: it speaks of items, which are not in representations.
        Along a chain it is the logit of the product of the probabilities up to the task.
        """
        chains = {
            task: self._priors[task]
            for task in tasks
            if self._priors[task] and not isinstance(self.head(task), RetrievalHead)
        }
        links = dict.fromkeys(link for chain in chains.values() for link in chain)
        said = {link: self.head(link).shared(representations[link]) for link in links}
        return {
            task: functools.reduce(both, (said[link] for link in chain)) for task, chain in chains.items()
        }

    def forward(
        self, batch: Batch, tasks: Iterable[str] | None = None, *, own: bool = True
    ) -> dict[str, Tensor]:
        """Return the logits of `tasks` (of all, by default), shape (..., B, O) each.

        Args:
            batch: Encoded rows.
            tasks: Names of heads to compute.
            own: Add the merchant's own part; without it the shared prior alone speaks.
        """
        wanted = tuple(self.heads if tasks is None else tasks)
        return self.logits(self.represent(batch, wanted), batch, wanted, own=own)

    def logits(
        self, representations: Mapping[str, Tensor], batch: Batch, tasks: Iterable[str], *, own: bool = True
    ) -> dict[str, Tensor]:
        """Return the logits of `tasks` from what `represent` made of `batch` for them (see `forward`)."""
        wanted = tuple(tasks)
        priors = self.priors(representations, wanted)
        return {t: self._logits(t, representations[t], batch, own, priors.get(t)) for t in wanted}

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

    def speaks_alone(self, task: str) -> bool:
        """Whether the logits of a task are those of its own head, and its head speaks for no other task."""
        others = (priors for other, priors in self._priors.items() if other != task)
        chained = len(self._priors[task]) > 1 or any(task in priors for priors in others)
        return not chained and not isinstance(self.head(task), RetrievalHead)

    def moved_by(self, parameter: str) -> frozenset[str]:
        """Return the tasks whose losses move a parameter, by its name."""
        return self._restricted.get(parameter, frozenset(self.heads))

    def items(self, task: str, batch: Batch) -> Tensor | None:
        """Return what the tower of a retrieval task makes of the catalogue in `batch`, shape (..., I, D).

        None for a task without a tower.
        """
        head = self.head(task)
        return head.vectors(self._describe(task, batch)) if isinstance(head, RetrievalHead) else None

    def _logits(self, task: str, z: Tensor, batch: Batch, own: bool, prior: Tensor | None) -> Tensor:
        head, contest = self.head(task), batch.contests.get(task)
        if isinstance(head, RetrievalHead):
            if contest is not None:
                return head.contested(
                    z,
                    contest,
                    own=own,
                    describe=self._describe(task, batch),
                    earlier=batch.earlier.get(task),
                )
            vectors = self.items(task, batch)
            return head.scores(z, vectors, own=own, earlier=batch.earlier.get(task))
        logits: Tensor = head(z, own=own, prior=prior)
        return logits

    def _describe(self, task: str, batch: Batch) -> Describe | None:
        head, items = self.head(task), batch.items.get(task)
        if items is None or not isinstance(head, RetrievalHead):
            return None
        return functools.partial(_described, self.encoder, items, head.content)

    def moved_by_several(self, parameters: Iterable[str], tasks: Iterable[str]) -> frozenset[str]:
        """Return those of `parameters` that more than one of `tasks` moves."""
        trained = frozenset(tasks)
        return frozenset(name for name in parameters if len(self.moved_by(name) & trained) > 1)

    def learns_in_rounds(self, task: str) -> bool:
        """Whether training on `task` moves anything that travels."""
        return any(task in self.moved_by(name) for name in self._shared)

    def _shares(self, task: str) -> bool:
        """Whether what repeats are worth is learnt together in rounds; its own part is then a residual."""
        head = self.head(task)
        return isinstance(head, RetrievalHead) and head.repeats is not None

    def _movers(self) -> dict[str, frozenset[str]]:
        """Return the tasks whose losses move a parameter, for parameters that not all losses move."""
        readers = {
            task: frozenset(t for t, priors in self._priors.items() if task in priors) for task in self.heads
        }
        movers = {f"heads.{task}.prior.": readers[task] for task in self.heads}
        movers |= {f"heads.{task}.own.": frozenset({task}) for task in self.heads}
        movers |= {f"heads.{task}.repeats.": frozenset({task}) for task in self.heads}
        movers |= {f"heads.{task}.own.repeats.": frozenset() for task in self.heads if self._shares(task)}
        movers |= {
            f"heads.{task}.log_variance.": frozenset({task} if self.head(task).is_weighed else ())
            for task in self.heads
        }
        movers |= {
            f"bottom.{part}.": tasks.union(*(readers[task] for task in tasks))
            for part, tasks in self.bottom.parts.read_by.items()
        }
        return {
            name: tasks
            for name, _ in self.named_parameters()
            for prefix, tasks in movers.items()
            if name.startswith(prefix)
        }


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
    names = Tasks(tuple(sorted(federation.tasks)), tuple(sorted(set(tasks) - set(federation.tasks))))
    chain = chain_of(federation.bottom)
    starts = {t: math.log(p / (1 - p)) for t, p in first_probabilities(chain, federation.tasks).items()}
    encoder = FeatureEncoder(features, generator=generator)
    bottom = architecture.build(federation.bottom, encoder, names, generator)
    items = catalogues or {}
    heads = {
        name: RetrievalHead(
            task,
            bottom.width,
            items.get(name, 1),
            encoder.described_width(task.content),
            shares=federation.privacy is None,
            generator=generator,
        )
        if isinstance(task, schema.Retrieval)
        else Head(task, bottom.width, outputs_of(task), alone=name in alone, prior_start=starts.get(name))
        for name, task in tasks.items()
    }
    if federation.local.weighting == "uncertainty":
        for head in heads.values():
            head.add_log_variance()
    local = {f"heads.{name}.own" for name in tasks}
    local |= {f"heads.{name}.log_variance" for name, task in tasks.items() if task.head == "local"}
    local |= {f"heads.{name}" for name in tasks if name not in federation.tasks}
    local |= {f"bottom.{part}" for part in bottom.parts.stay}
    local |= {
        f"encoder.{part}.{name}"
        for part in ("tables", "projections", "sequences")
        for name, feature in features.items()
        if _stays(feature, features)
    }
    adaptation: Discriminator | None = None
    if federation.adaptation is not None:
        adaptation = Discriminator(federation.adaptation, bottom.width, domain=domain, generator=generator)
    return MultiTaskModel(encoder, bottom, heads, frozenset(local), chain, adaptation)


def _described(
    encoder: FeatureEncoder, items: Batch, names: Collection[str], positions: Tensor | None
) -> Tensor:
    """Return the content of some items (all for None); of many, some at a time, again when differentiated.

    Those of a cohort are described at once.
    """
    if positions is None and (items.numeric.dim() > 2 or len(items) <= _ITEMS):
        return encoder.described(items, names)
    positions = torch.arange(len(items)) if positions is None else positions
    parts = [items.select(part) for part in torch.split(positions, _ITEMS)]
    if len(parts) == 1:
        return encoder.described(parts[0], names)
    return torch.cat([checkpoint(encoder.described, part, names, use_reentrant=False) for part in parts])


def _stays(feature: schema.Feature, features: Mapping[str, schema.Feature]) -> bool:
    """Whether what a feature owns stays; an encoder of events stays where any of their tables does."""
    if isinstance(feature, schema.Sequence):
        return any(_stays(features[of], features) for of in feature.of)
    return not isinstance(feature, schema.Numeric) and feature.scope == "local"


def initial_shared(federation: schema.Federation, seed: int) -> SharedArrays:
    """Return the shared parameters that a new training starts from."""
    model = build(federation, generator=torch.Generator().manual_seed(seed))
    return hand_over(model, model.shared_parameters())


def movers(federation: schema.Federation) -> dict[str, frozenset[str]]:
    """Return the tasks that move a shared parameter, for those that not all tasks move, and all of priors."""
    model = build(federation, generator=torch.Generator().manual_seed(0))
    everybody = frozenset(federation.tasks)
    found = {name: model.moved_by(name) for name in model.shared_parameters()}
    return {n: tasks for n, tasks in found.items() if tasks != everybody or n.startswith("heads.")}


def _priors(task: str, head: Head, chain: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tasks whose priors enter the logits of `task`."""
    if not head.uses_prior:
        return ()
    return chain[: chain.index(task) + 1] if task in chain else (task,)
