"""Local training: what a merchant does with the shared parameters in one round.

A trainer changes a model in place. `trainer_for` chooses it from the contract: this is the place where
private training plugs in, and a contract with a privacy policy is never trained without it.

Notation: B rows in a step, K local steps.
"""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from shared_model.errors import ConfigError
from shared_model.features import Batch
from shared_model.heads import row_losses
from shared_model.model import MultiTaskModel
from shared_model.parameters import take
from shared_model.schema import Federation, LocalTraining

from .data.examples import Examples

Trainer = Callable[[MultiTaskModel, Examples, Federation, torch.Generator], None]
"""`trainer(model, dataset, federation, generator)` trains `model` in place for one round."""


def trainer_for(federation: Federation) -> Trainer:
    """Return the trainer that the contract asks for.

    Raises:
        ConfigError: The contract has a privacy policy, which this version cannot honour. It is refused
            rather than trained without.
    """
    if federation.privacy is not None:
        raise ConfigError(
            "federation.toml",
            "privacy",
            "a policy",
            "no [privacy] table in this version, which trains without",
        )
    return train_plain


def train_plain(
    model: MultiTaskModel, dataset: Examples, federation: Federation, generator: torch.Generator
) -> None:
    """Take K optimiser steps on the merchant's training rows, without privacy.

    A step draws `expected_batch` rows of each kind without replacement (all of them where there are fewer)
    and minimises, summed over tasks, weight x sum of row losses / rows drawn of the task's kind. A merchant
    without training rows changes nothing.

    Args:
        model: Holds the round's shared parameters and the merchant's own; changed in place.
        dataset: The merchant's rows.
        federation: Steps, batch, optimiser, FedProx term.
        generator: Draws the rows.

    Source: McMahan et al. (2017), algorithm 1 (ClientUpdate); Li et al. (2020), eq. 2 for the proximal term.
    """
    tasks = [t for t in dataset.tasks if model.learns_in_rounds(t)]
    kinds = sorted({dataset.rows_of[t] for t in tasks})
    names = _trained(model, tasks, federation.local)
    parameters = dict(model.named_parameters())
    optimizer = _OPTIMIZERS[federation.local.optimizer](
        [parameters[n] for n in names],
        lr=federation.local.learning_rate,
        weight_decay=federation.local.weight_decay,
    )
    anchor = take(model, model.shared_parameters()) if federation.local.proximal else {}
    batches = _batches(dataset, kinds, federation.federation.expected_batch, generator)
    for _, (rows, drawn) in zip(range(federation.federation.local_steps), batches, strict=False):
        optimizer.zero_grad(set_to_none=True)
        loss = multitask_loss(model, dataset, dataset.batch(rows, tasks), tasks, drawn)
        for name, start in anchor.items():
            loss = loss + 0.5 * federation.local.proximal * (parameters[name] - start).square().sum()
        loss.backward()
        optimizer.step()


def multitask_loss(
    model: MultiTaskModel,
    dataset: Examples,
    batch: Batch,
    tasks: list[str],
    drawn: Mapping[str, int],
    *,
    own: bool = True,
) -> Tensor:
    """Return the weighted sum over tasks of (sum of row losses / rows drawn of the task's kind), a scalar."""
    logits = model(batch, tasks, own=own)
    per_task = (
        dataset.tasks[t].weight
        / drawn[dataset.rows_of[t]]
        * row_losses(dataset.tasks[t], logits[t], batch.labels[t]).value.sum()
        for t in tasks
        if dataset.rows_of[t] in drawn
    )
    return sum(per_task, start=torch.zeros((), dtype=batch.numeric.dtype))


_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
}


def _trained(model: MultiTaskModel, tasks: list[str], local: LocalTraining) -> list[str]:
    """Names of the parameters that a round changes: never a residual, unless the contract says so."""
    residuals = tuple(f"heads.{t}.own." for t in tasks if model.heads[t].uses_prior)
    others = tuple(f"heads.{t}." for t in model.heads if t not in tasks)
    skipped = others if local.train_residuals else (*others, *residuals)
    return [n for n, _ in model.named_parameters() if not n.startswith(skipped)]


def _batches(
    dataset: Examples, kinds: list[str], expected: int | str, generator: torch.Generator
) -> Iterator[tuple[Tensor, dict[str, int]]]:
    """Yield for ever the rows of a step and how many of them are of each kind; nothing where no rows are."""
    streams = {
        kind: _drawn(rows, len(rows) if expected == "all" else int(expected), generator)
        for kind in kinds
        if len(rows := dataset.rows("train", kind=kind))
    }
    while streams:
        parts = {kind: next(stream) for kind, stream in streams.items()}
        yield torch.cat(list(parts.values())), {kind: len(rows) for kind, rows in parts.items()}


def _drawn(rows: Tensor, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield batches without replacement, in a new random order once the rows are used up."""
    if batch >= len(rows):
        while True:
            yield rows
    while True:
        order = rows[torch.randperm(len(rows), generator=generator)]
        yield from (order[i : i + batch] for i in range(0, len(rows) - batch + 1, batch))
