"""What a merchant draws for a round: rows, which vectors are hidden, and noise.

All of it comes from the merchant's own stream, in the order in which it is drawn where the merchant trains
alone (`client.training.train_plain`, `client.private.training.train_private`): so it is the same.

Notation: as in the package; N rows of one merchant in all steps, P trained parameters that are no tables.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from client.data.examples import Examples, PrivateExamples
from client.training import batches, first_batches, trained_parameters
from shared_model import schema
from shared_model.errors import PrivacyError
from shared_model.features import Batch
from shared_model.layers import Embedding
from shared_model.model import MultiTaskModel
from shared_model.privacy.plan import plan_of

from .rows import Drawn, joined
from .structure import Structure

if TYPE_CHECKING:
    from client.private.noise import Noise


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What one merchant draws for one round.

    Attributes:
        tasks: Those that it trains.
        rows: That it reads.
        noise: Normals of all steps, (K, P), in the order of the clip groups and of their parameters; None
            without privacy.
        source: Of the noise of tables, which is drawn as they are read; None without privacy.
    """

    tasks: frozenset[str]
    rows: Drawn
    noise: Tensor | None = None
    source: "Noise | None" = None


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a round changes.

    Attributes:
        tasks: That are trained, in order.
        parameters: What they move, by name.
        layers: That own these.
    """

    tasks: list[str]
    parameters: dict[str, nn.Parameter]
    layers: frozenset[nn.Module]


class Drawing:
    """How merchants of one structure draw.

    Attributes:
        federation: The contract.
        specs: Declarations of the structure's tasks.
        model: Of the structure; whoever trains a cohort puts its parameters there.
        tasks: Those of the structure that move what travels; a merchant trains some of them.
        plan: Of the merchants' tier; None without privacy.
    """

    def __init__(
        self,
        federation: schema.Federation,
        structure: Structure,
        *,
        tier: str = "",
        tasks: Collection[str] | None = None,
        model: MultiTaskModel | None = None,
    ) -> None:
        """Make the model of a structure.

        Args:
            federation: The contract.
            structure: Of the merchants.
            tier: Of all of them, under a privacy policy.
            tasks: That any of them may train; by default all of the structure.
            model: Instead of a fresh one.
        """
        self.federation, self.specs = federation, structure.specs
        self.model = structure.model(federation) if model is None else model
        self._trained: dict[frozenset[str], Trained] = {}
        self.tasks = trained_tasks(self.model, self.specs, tasks)
        self.plan = None if federation.privacy is None else plan_of(federation, tier)
        self._numbers = {name: parameter.numel() for name, parameter in self.model.named_parameters()}
        self._sizes: dict[frozenset[str], list[int]] = {}

    def trains(self, tasks: frozenset[str]) -> Trained:
        """Return what a round changes where merchants train some of `tasks`; it is found out once."""
        if tasks not in self._trained:
            wanted = [task for task in self.tasks if task in tasks]
            names = trained_parameters(self.model, wanted, self.federation.local)
            parameters = {name: self.model.get_parameter(name) for name in names}
            moved = set(parameters.values())
            layers = frozenset(m for m in self.model.modules() if not moved.isdisjoint(m.parameters(False)))
            self._trained[tasks] = Trained(tasks=wanted, parameters=parameters, layers=layers)
        return self._trained[tasks]

    @cached_property
    def read(self) -> frozenset[str]:
        """Names of the parameters that a round reads: all but those of heads that train nothing that travels.

        Such a head may have another shape at every merchant, as one that chooses among its own items has.
        """
        idle = tuple(f"heads.{task}." for task in self.model.heads if task not in self.tasks)
        shared = frozenset(self.model.shared_parameters())
        names = (name for name, _ in self.model.named_parameters())
        return frozenset(name for name in names if name in shared or not name.startswith(idle))

    @cached_property
    def residuals(self) -> tuple[str, ...]:
        """Names of the own parts of heads that a round reads."""
        return tuple(name for name in sorted(self.read) if name.startswith("heads.") and ".own." in name)

    @cached_property
    def own_stays(self) -> bool:
        """Whether all trained heads have a prior, and no round trains their own parts."""
        heads = [self.model.head(task) for task in self.tasks]
        return not self.federation.local.train_residuals and all(head.is_residual for head in heads)

    @cached_property
    def trained_local(self) -> tuple[str, ...]:
        """Names of the parameters that a round changes and that stay at the merchant."""
        stay = frozenset(self.model.local_parameters())
        return tuple(name for name in self.trains(frozenset(self.tasks)).parameters if name in stay)

    def plain(self, examples: Examples, generator: torch.Generator) -> Draw | None:
        """Return what a merchant draws without privacy; None where it has nothing to train on."""
        tasks = [t for t in self.tasks if t in examples.tasks]
        terms, kinds = self.federation.federation, sorted({examples.rows_of[t] for t in tasks})
        size = None if terms.full_batch else terms.expected_batch
        if len(kinds) == 1 and not self.model.encoder.hides:
            return _of_one_kind(examples, kinds[0], tasks, size, terms.local_steps, generator)
        drawn = itertools.islice(batches(examples, kinds, size, generator), terms.local_steps)
        steps = (torch.cat(rows) for rows in drawn)
        found = self._read(examples, steps, tasks, lambda out: out.uniform_(generator=generator))
        if found is None:
            return None
        batch, counts = found
        return Draw(tasks=frozenset(tasks), rows=Drawn(batch=batch, counts=counts))

    def private(self, rows: PrivateExamples, noise: "Noise") -> Draw:
        """Return what a merchant draws in a private round; it takes part without rows, too.

        Raises:
            PrivacyError: It trains no task.
        """
        from client.private.sampling import COIN, drawn  # Opacus, only where it trains

        assert self.plan is not None
        tasks, encoder = [t for t in self.tasks if t in rows.tasks], self.model.encoder
        steps, rate, sizes = self.plan.steps, self.plan.sampling_rate, self._sizes_of_noise(frozenset(tasks))
        coins = torch.empty(steps, rows.units, dtype=COIN)
        normals = next(self.model.parameters()).new_empty(steps, sum(sizes))
        parts = torch.split(normals, sizes, 1)
        hidden: list[Batch] = []
        for step in range(steps):
            noise.uniform_(coins[step])
            if encoder.hides:  # what is hidden is drawn between the units and the noise of a step
                found = rows.rows_of_units(drawn(coins[step], rate).nonzero().squeeze(1))
                hidden.append(encoder.with_hidden(rows.batch(found, tasks), noise.uniform_))
            for part in parts:
                noise.normal_(part[step])
        read = _of_units(rows, tasks, drawn(coins, rate), joined(hidden) if hidden else None)
        return Draw(tasks=frozenset(tasks), rows=read, noise=normals, source=noise)

    def _sizes_of_noise(self, tasks: frozenset[str]) -> list[int]:
        """Return how many numbers are drawn for each clip group in a step: those of parameters but tables."""
        from client.private.training import clip_groups  # Opacus, only where it trains

        assert self.plan is not None
        if tasks not in self._sizes:
            tables, trained = tables_of(self.model), self.trains(tasks).parameters
            if not trained:
                raise PrivacyError("Expected at least one trained parameter.")
            groups = clip_groups(self.plan, list(trained))
            found = [sum(self._numbers[n] for n in g.parameters if n not in tables) for g in groups]
            self._sizes[tasks] = [size for size in found if size]
        return self._sizes[tasks]

    def _read(
        self,
        rows: Examples,
        steps: Iterable[Tensor],
        tasks: list[str],
        uniform: Callable[[Tensor], Tensor],
    ) -> tuple[Batch, tuple[int, ...]] | None:
        """Return the rows of all steps, and how many each has; None where there is no step."""
        encoder = self.model.encoder
        if encoder.hides:  # what is hidden is drawn between the rows of two steps
            parts = [encoder.with_hidden(rows.batch(step, tasks), uniform) for step in steps]
            return (joined(parts), tuple(len(part) for part in parts)) if parts else None
        numbers = list(steps)
        if not numbers:
            return None
        return rows.batch(torch.cat(numbers), tasks), tuple(len(step) for step in numbers)


def _of_units(rows: PrivateExamples, tasks: list[str], taken: Tensor, batch: Batch | None) -> Drawn:
    """Return the rows of the units that are taken in every step, in the order in which they are alone.

    Args:
        rows: Of the merchant.
        tasks: Whose labels are read.
        taken: Which units are, bool, (K, U).
        batch: The rows, if they are known; None reads them.
    """
    mine = taken.index_select(1, rows.unit)  # (K, N)
    step, numbers = mine.nonzero().unbind(1)
    place = taken.cumsum(1) - 1  # of a unit among those of its step
    batch = rows.batch(numbers, tasks) if batch is None else batch
    return Drawn(
        batch=batch,
        counts=tuple(mine.sum(1).tolist()),
        unit=place[step, rows.unit.index_select(0, numbers)],
        units=tuple(taken.sum(1).tolist()),
        weight=rows.weight.index_select(0, numbers).to(batch.numeric.dtype),
    )


def _of_one_kind(
    examples: Examples,
    kind: str,
    tasks: list[str],
    size: int | None,
    steps: int,
    generator: torch.Generator,
) -> Draw | None:
    """Return what is drawn of one kind of rows; nothing else comes between the draws of two steps."""
    rows = examples.rows("train", kind=kind)
    if not len(rows):
        return None
    found = first_batches(rows, size or len(rows), steps, generator)
    read = Drawn(batch=examples.batch(found.flatten(), tasks), counts=(found.shape[1],) * steps)
    return Draw(tasks=frozenset(tasks), rows=read)


def trained_tasks(
    model: MultiTaskModel, specs: Mapping[str, schema.Task], tasks: Collection[str] | None
) -> list[str]:
    """Return those of `tasks`, of all declared ones by default, that move what travels."""
    return [task for task in specs if model.learns_in_rounds(task) and task in (tasks or specs)]


def tables_of(model: MultiTaskModel) -> frozenset[str]:
    """Return the names of the parameters that are tables."""
    return frozenset(f"{n}.weight" for n, layer in model.named_modules() if isinstance(layer, Embedding))
