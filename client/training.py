"""Local training: what a merchant does with the shared parameters in one round.

This is training without privacy; `client/private/training.py` is the other one, and `client/rounds.py`
chooses between them.

Notation: B rows in a step, K local steps.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor

from shared_model.features import Batch
from shared_model.heads import row_losses
from shared_model.model import MultiTaskModel
from shared_model.parameters import take
from shared_model.schema import Federation, LocalTraining, MetaLearning

from .contests import with_contests
from .data.examples import Examples
from .meta import SHARE, adapted, halved


def train_plain(
    model: MultiTaskModel,
    dataset: Examples,
    federation: Federation,
    generator: torch.Generator,
    *,
    public: str = "",
) -> None:
    """Take K optimiser steps on the merchant's training rows, without privacy.

    With `[local.meta]` each of them is a step of meta-learning (`client/meta.py`).

    A step draws B = `expected_batch` rows of each kind without replacement (all of them where there are
    fewer, or with `full_batch`) and minimises, summed over tasks, weight x sum of row losses / B. A merchant
    without training rows, or without a task that moves anything shared, changes nothing.

    Args:
        model: Holds the round's shared parameters and the merchant's own; changed in place.
        dataset: The merchant's rows.
        federation: Steps, batch, optimiser, FedProx term.
        generator: Draws the rows, and which of their vectors are hidden.
        public: Name of the round, from which the negatives of large catalogues are drawn (`contests.py`).

    Source: McMahan et al. (2017), algorithm 1 (ClientUpdate); Li et al. (2020), eq. 2 for the proximal term.
    """
    tasks = [t for t in dataset.tasks if model.learns_in_rounds(t)]
    kinds = sorted({dataset.rows_of[t] for t in tasks})
    names = trained_parameters(model, tasks, federation.local)
    if not names:
        return
    parameters = dict(model.named_parameters())
    optimizer = _OPTIMIZERS[federation.local.optimizer](
        [parameters[n] for n in names],
        lr=federation.local.learning_rate,
        weight_decay=federation.local.weight_decay,
    )
    anchor = take(model, model.shared_parameters()) if federation.local.proximal else {}
    terms = federation.federation
    uniform, looks = partial(Tensor.uniform_, generator=generator), itertools.count()

    def loss(rows: Tensor, share: float) -> Tensor:
        divisors = dict.fromkeys(kinds, share * terms.expected_batch)
        batch = model.encoder.with_hidden(dataset.batch(rows, tasks), uniform)
        batch = with_contests(model, batch, dataset.tasks, f"{public}/{next(looks)}")
        return multitask_loss(model, dataset, batch, tasks, divisors)

    drawn = batches(dataset, kinds, None if terms.full_batch else terms.expected_batch, generator)
    for rows in itertools.islice(drawn, terms.local_steps):
        optimizer.zero_grad(set_to_none=True)
        for name, start in anchor.items():
            pull = 0.5 * federation.local.proximal * (parameters[name] - start).square().sum()
            pull.backward()  # type: ignore[no-untyped-call]
        _differentiate(model, names, rows, loss, federation.local.meta, generator)
        optimizer.step()


def _differentiate(
    model: MultiTaskModel,
    names: list[str],
    rows: list[Tensor],
    loss: Callable[[Tensor, float], Tensor],
    meta: MetaLearning | None,
    generator: torch.Generator,
) -> None:
    """Add the gradient of one step to the parameters: of `loss(rows, share of the divisor)`."""
    if meta is None:
        loss(torch.cat(rows), 1.0).backward()  # type: ignore[no-untyped-call]
        return
    support, query = halved(rows, generator)
    with adapted(model, names, lambda: loss(support, SHARE), meta):
        loss(query, SHARE).backward()  # type: ignore[no-untyped-call]


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
    representations = model.represent(batch, tasks)
    logits = model.logits(representations, batch, tasks, own=own)
    per_task = (
        dataset.tasks[t].weight
        / divisors[dataset.rows_of[t]]
        * row_losses(dataset.tasks[t], logits[t], batch.labels[t]).value.sum()
        for t in tasks
        if dataset.rows_of[t] in divisors
    )
    recognised = model.domain_losses(representations, tasks)
    start = torch.zeros((), dtype=batch.numeric.dtype)
    if recognised is not None:
        start = recognised.sum() / max(divisors.values())
    return sum(per_task, start=start)


_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
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


def _drawn(rows: Tensor, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield batches without replacement, in a new random order once the rows are used up."""
    if batch >= len(rows):
        while True:
            yield rows
    while True:
        order = rows[torch.randperm(len(rows), generator=generator)]
        yield from (order[i : i + batch] for i in range(0, len(rows) - batch + 1, batch))
