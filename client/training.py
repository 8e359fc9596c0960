"""Local training: what a merchant does with the shared parameters in one round.

This is training without privacy; `client/private/training.py` is the other one, and `client/rounds.py`
chooses between them.

Notation: B rows in a step, K local steps.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from shared_model.features import Batch
from shared_model.losses import Losses, row_losses
from shared_model.model import MultiTaskModel
from shared_model.parameters import take
from shared_model.schema import Federation, LocalTraining, MetaLearning, Task

from .contests import with_contests
from .data.examples import Examples
from .meta import SHARE, adapted, halved
from .weighting import WEIGHTINGS, Memory, Step, Weigher

Backward = Callable[[Sequence[Tensor], Sequence[nn.Parameter], Sequence[nn.Parameter]], None]
"""`backward(losses, shared, own)` adds the gradients of a step; a parameter of `own` is moved by one task."""


def train_plain(
    model: MultiTaskModel,
    dataset: Examples,
    federation: Federation,
    generator: torch.Generator,
    *,
    public: str = "",
    memory: Memory | None = None,
    rows: Mapping[str, slice] | None = None,
) -> Memory:
    """Take K optimiser steps on the merchant's training rows, without privacy.

    With `[local.meta]` each of them is a step of meta-learning (`client/meta.py`).

    A step draws B = `expected_batch` rows of each kind without replacement (all of them where there are
    fewer, or with `full_batch`) and minimises, summed over tasks, factor x weight x sum of row losses / B
    with the factors of the contract's weighting; where the tasks' gradients of what they share conflict, the
    contract's rule makes one of them (`conflicts.py`). A merchant without training rows, or without a task
    that moves anything shared, changes nothing.

    Args:
        model: Holds the round's shared parameters and the merchant's own; changed in place.
        dataset: The merchant's rows.
        federation: Steps, batch, optimiser, FedProx term, weighting, rule for conflicts.
        generator: Draws the rows, which of their vectors are hidden, and what the rule draws.
        public: Name of the round, from which the negatives of large catalogues are drawn (`contests.py`).
        memory: What the weighting remembers of the round before.
        rows: Parameter -> the rows of it that the round trains, where it does not train all
            (`shared_model.row_blocks`); the others only decay, and what they lose is not sent.

    Returns:
        What it remembers for the next one.

    Source: McMahan et al. (2017), algorithm 1 (ClientUpdate); Li et al. (2020), eq. 2 for the proximal term.
    """
    tasks = [t for t in dataset.tasks if model.learns_in_rounds(t)]
    kinds = sorted({dataset.rows_of[t] for t in tasks})
    names = trained_parameters(model, tasks, federation.local)
    if not names:
        return memory or {}
    parameters = dict(model.named_parameters())
    optimizer = OPTIMIZERS[federation.local.optimizer](
        [parameters[n] for n in names],
        lr=federation.local.learning_rate,
        weight_decay=federation.local.weight_decay,
    )
    anchor = take(model, model.shared_parameters()) if federation.local.proximal else {}
    terms, weigher = federation.federation, WEIGHTINGS[federation.local.weighting](memory or {})
    common = model.moved_by_several(names, tasks)
    shared, own = ([parameters[n] for n in names if (n in common) == several] for several in (True, False))
    losses = _Losses(model, dataset, tasks, float(terms.expected_batch), weigher, shared, generator, public)
    backward = _backward(federation.local, generator)
    drawn = batches(dataset, kinds, None if terms.full_batch else terms.expected_batch, generator)
    partly = [(parameters[n], part) for n, part in (rows or {}).items() if n in names]
    for chosen in itertools.islice(drawn, terms.local_steps):
        optimizer.zero_grad(set_to_none=True)
        for name, start in anchor.items():
            pull = 0.5 * federation.local.proximal * (parameters[name] - start).square().sum()
            pull.backward()  # type: ignore[no-untyped-call]
        with _where(model, names, chosen, losses, federation.local.meta, generator) as found:
            backward(found(), shared, own)
        for parameter, part in partly:
            _keep(parameter, part)
        optimizer.step()
    return weigher.memory()


class _Losses:
    """What the steps of a round minimise: `losses(rows, share of the divisor)`, scalars of tasks."""

    def __init__(
        self,
        model: MultiTaskModel,
        dataset: Examples,
        tasks: list[str],
        divisor: float,
        weigher: Weigher,
        shared: Sequence[nn.Parameter],
        generator: torch.Generator,
        public: str,
    ) -> None:
        self._model, self._dataset, self._tasks, self._divisor = model, dataset, tasks, divisor
        self._weigher, self._shared, self._public = weigher, shared, public
        self._uniform, self._looks = partial(Tensor.uniform_, generator=generator), itertools.count()

    def __call__(self, rows: Tensor, share: float) -> list[Tensor]:
        """Return the domain's loss, where there is one, and the weighed losses of the tasks."""
        divisors = dict.fromkeys(self._dataset.rows_of.values(), share * self._divisor)
        batch = self._model.encoder.with_hidden(self._dataset.batch(rows, self._tasks), self._uniform)
        named = f"{self._public}/{next(self._looks)}"
        batch = with_contests(self._model, batch, self._dataset.tasks, named)
        found, recognised = trained_losses(self._model, self._dataset.tasks, batch, self._tasks)
        parts = _divided(self._dataset, found, divisors)
        factors = self._weigher.factors(_step(parts, found, self._shared))
        domain = [] if recognised is None else [recognised.sum() / (share * self._divisor)]
        return [*domain, *(factors.get(task, 1.0) * part for task, part in parts.items())]


@contextmanager
def _where(
    model: MultiTaskModel,
    names: list[str],
    rows: list[Tensor],
    losses: Callable[[Tensor, float], list[Tensor]],
    meta: MetaLearning | None,
    generator: torch.Generator,
) -> Iterator[Callable[[], list[Tensor]]]:
    """Give the losses of one step where their gradient is taken; `losses(rows, share of the divisor)`."""
    if meta is None:
        yield partial(losses, torch.cat(rows), 1.0)
        return
    support, query = halved(rows, generator)
    with adapted(model, names, lambda: _added(losses(support, SHARE)), meta):
        yield partial(losses, query, SHARE)


def _keep(parameter: nn.Parameter, rows: slice) -> None:
    """Take the gradient off all rows of a parameter but some."""
    if parameter.grad is not None:
        parameter.grad[: rows.start] = 0.0
        parameter.grad[rows.stop :] = 0.0


def _backward(local: LocalTraining, generator: torch.Generator) -> Backward:
    """Return how the contract makes one gradient of those of all tasks."""
    if local.conflict == "none":
        return _add_gradients
    from .conflicts import Resolver  # TorchJD takes seconds to import, so only where it is asked for

    return Resolver(local.conflict, generator).backward


def _add_gradients(
    losses: Sequence[Tensor], shared: Sequence[nn.Parameter], own: Sequence[nn.Parameter]
) -> None:
    if losses:
        _added(losses).backward()  # type: ignore[no-untyped-call]


def multitask_loss(
    model: MultiTaskModel,
    dataset: Examples,
    batch: Batch,
    tasks: list[str],
    divisors: Mapping[str, float],
    *,
    own: bool = True,
) -> Tensor:
    """Return the sum over tasks of weight x sum of row losses / divisor of the task's row kind, a scalar.

    At a merchant with a domain all rows' losses of being recognised are added, over the largest divisor; in a
    round all divisors are alike.
    """
    found, recognised = trained_losses(model, dataset.tasks, batch, tasks, own=own)
    parts = _divided(dataset, found, divisors).values()
    return _added(parts if recognised is None else [recognised.sum() / max(divisors.values()), *parts])


def trained_losses(
    model: MultiTaskModel, specs: Mapping[str, Task], batch: Batch, tasks: list[str], *, own: bool = True
) -> tuple[dict[str, Losses], Tensor | None]:
    """Return what every row adds to training, shape (B,): per task, and at a merchant with a domain by it."""
    representations = model.represent(batch, tasks)
    logits = model.logits(representations, batch, tasks, own=own)
    found = {t: model.head(t).weighed(row_losses(specs[t], logits[t], batch.labels[t])) for t in tasks}
    return found, model.domain_losses(representations, tasks)


def weighted_losses(
    model: MultiTaskModel,
    batch: Batch,
    specs: Mapping[str, Task],
    tasks: list[str],
    weight: Tensor,
    *,
    own: bool = True,
) -> Tensor:
    """Return every row's loss, shape (..., B): row weight x sum over tasks of task weight x loss.

    At a merchant with a domain its loss of being recognised is added. Without `own`, heads speak for their
    priors alone.

    No row's loss depends on another row, and nothing is divided by a number of rows or labels.
    """
    representations = model.represent(batch, tasks)
    logits = model.logits(representations, batch, tasks, own=own)
    recognised = model.domain_losses(representations, tasks)
    total = torch.zeros_like(weight) if recognised is None else recognised
    for loss in task_losses(model, batch, specs, logits):
        total = total + loss
    return weight * total


def task_losses(
    model: MultiTaskModel, batch: Batch, specs: Mapping[str, Task], logits: Mapping[str, Tensor]
) -> Iterator[Tensor]:
    """Yield task weight x loss of every row, shape (..., B), task by task."""
    for task, found in logits.items():
        spec = specs[task]
        yield spec.weight * model.head(task).weighed(row_losses(spec, found, batch.labels[task])).value


def _divided(
    dataset: Examples, losses: Mapping[str, Losses], divisors: Mapping[str, float]
) -> dict[str, Tensor]:
    """Return weight x sum of row losses / divisor of every task whose kind of row has a divisor."""
    return {
        t: dataset.tasks[t].weight / divisors[dataset.rows_of[t]] * found.value.sum()
        for t, found in losses.items()
        if dataset.rows_of[t] in divisors
    }


def _step(losses: Mapping[str, Tensor], found: Mapping[str, Losses], shared: Sequence[nn.Parameter]) -> Step:
    labelled = [task for task in losses if found[task].present.any()]
    means = {t: float(found[t].value.detach().sum() / found[t].present.sum()) for t in labelled}
    return Step(losses={t: losses[t] for t in labelled}, means=means, shared=shared)


def _added(losses: Iterable[Tensor]) -> Tensor:
    return sum(losses, start=torch.zeros(()))


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
}


def trained_parameters(model: MultiTaskModel, tasks: list[str], local: LocalTraining) -> list[str]:
    """Return the names of the parameters that a round changes: those that a loss of `tasks` moves.

    No residual is among them, unless the contract says so.
    """
    residuals = tuple(f"heads.{t}.own." for t in tasks if model.head(t).is_residual)
    skipped = () if local.train_residuals else residuals
    return [
        n
        for n, _ in model.named_parameters()
        if not n.startswith(skipped) and not model.moved_by(n).isdisjoint(tasks)
    ]


def batches(
    dataset: Examples, kinds: list[str], size: int | None, generator: torch.Generator
) -> Iterator[list[Tensor]]:
    """Yield for ever the rows of a step, `size` of each kind (None: all); nothing where there are no rows."""
    found = [rows for kind in kinds if len(rows := dataset.rows("train", kind=kind))]
    streams = [_drawn(rows, size or len(rows), generator) for rows in found]
    while streams:
        yield [next(stream) for stream in streams]


def first_batches(rows: Tensor, batch: int, steps: int, generator: torch.Generator) -> Tensor:
    """Return what the first steps of `batches` are for one kind with these rows, at once; shape (K, B)."""
    if batch >= len(rows):
        return rows.expand(steps, -1)
    each = len(rows) // batch
    drawn = (torch.randperm(len(rows), generator=generator) for _ in range(0, steps, each))
    return torch.cat([rows.index_select(0, order[: each * batch]) for order in drawn]).view(-1, batch)[:steps]


def _drawn(rows: Tensor, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield batches without replacement, in a new random order once the rows are used up."""
    if batch >= len(rows):
        while True:
            yield rows
    while True:
        order = rows[torch.randperm(len(rows), generator=generator)]
        yield from (order[i : i + batch] for i in range(0, len(rows) - batch + 1, batch))
