"""The plain loop: one merchant after another, written by hand in stock PyTorch and as lean as it gets.

A step takes slices of rows that were put in order once, gradients go straight into the tensors, only the
tasks of the merchant are computed, and nothing is sent, checked or written. All categories are in one table,
of which a merchant holds only the rows that it reads. The model starts as the platform's does.

Notation: B rows of a step, H width of the representation, E experts, T tasks.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from shared_model.model import build, initial_shared
from shared_model.parameters import take
from shared_model.protocol import SharedArrays
from shared_model.schema import MMoE, Multiclass, Regression, SharedBottom, Task
from simulations.vectorised.table import Table

from .ours import SEED
from .work import Work

Parameters = dict[str, Tensor]
Bottom = Callable[[Mapping[str, Tensor], Tensor], Mapping[str, Tensor]]
"""`bottom(parameters, x)` is the representation of every task, (B, H), of x, (B, inputs)."""

TABLE, _TABLES = "table", "encoder.tables."


class Loop:
    """A federation as a loop over its merchants.

    Attributes:
        shared: What travels, under the platform's names; all tables are one under `TABLE`.
    """

    def __init__(self, work: Work) -> None:
        """Put everything in place before the first round."""
        self._work, contract = work, work.contract
        model = build(contract, generator=torch.Generator().manual_seed(SEED))
        initial = {n: torch.from_numpy(a) for n, a in initial_shared(contract, SEED).items()}
        self._tables = {n: len(t) for n, t in initial.items() if n.startswith(_TABLES)}
        self.shared = joined(initial)
        self._local = {name: take(model, model.local_parameters()) for name in work.merchants}
        self._bottom = bottom_of(work)
        self._rows = {name: _Held(rows) for name, rows in work.merchants.items()}
        self._source = torch.Generator().manual_seed(SEED)

    def round(self, number: int) -> None:
        """Train the merchants of a round, drawn at random, and add the mean of their changes."""
        names = list(self._work.merchants)
        asked = self._work.contract.federation.asked(len(names))
        sums = {name: torch.zeros_like(tensor) for name, tensor in self.shared.items()}
        weights = dict.fromkeys(self.shared, 0)
        for position in torch.randperm(len(names), generator=self._source)[:asked].tolist():
            for name, (change, rows) in self._visit(names[position]).items():
                sums[name].add_(change) if rows is None else sums[name].index_add_(0, rows, change)
                weights[name] += 1
        for name, total in sums.items():
            self.shared[name].add_(total, alpha=1 / max(weights[name], 1))

    def arrays(self) -> SharedArrays:
        """Return what travels as the platform names it."""
        found = {n: t.numpy() for n, t in self.shared.items() if n != TABLE}
        if TABLE in self.shared:
            parts = torch.split(self.shared[TABLE], list(self._tables.values()))
            found |= {n: part.numpy() for n, part in zip(self._tables, parts, strict=True)}
        return found

    def _visit(self, name: str) -> dict[str, tuple[Tensor, Tensor | None]]:
        """Train one merchant; return the changes of what travels, of a table with the rows they are of."""
        rows, held = self._work.merchants[name], self._rows[name]
        start = {n: t for n, t in self.shared.items() if _trains(n, rows)}
        if TABLE in start:
            start[TABLE] = start[TABLE].index_select(0, held.touched)
        moved = {n: t.clone() for n, t in start.items()}
        self._train(rows, held, moved, self._local[name])
        return {n: (moved[n].sub_(t), held.touched if n == TABLE else None) for n, t in start.items()}

    def _train(self, rows: Table, held: "_Held", moved: Parameters, local: Parameters) -> None:
        terms, options = self._work.contract.federation, self._work.contract.local
        own = {n: t for n, t in local.items() if _trains(n, rows)}
        trained = {**moved, **own} if options.train_residuals else moved
        wanted = list(trained.values())
        for numbers, ids, labels in itertools.islice(
            held.batches(terms.expected_batch, self._source), terms.local_steps
        ):
            for tensor in wanted:
                tensor.requires_grad_()
            x = numbers if ids is None else torch.cat([numbers, F.embedding(ids, moved[TABLE]).flatten(1)], 1)
            z = self._bottom({**own, **moved}, x)
            losses = [
                _loss(task, logits_of(moved, own, t, z[t]), labels[t]) for t, task in rows.tasks.items()
            ]
            loss = (
                torch.stack(losses).sum() / terms.expected_batch
                if losses[1:]
                else losses[0] / terms.expected_batch
            )
            found = torch.autograd.grad(loss, wanted)
            for tensor in wanted:
                tensor.requires_grad_(False)
            torch._foreach_add_(wanted, list(found), alpha=-options.learning_rate)


class _Held:
    """The rows of one merchant as the loop reads them."""

    def __init__(self, rows: Table) -> None:
        """Put ids side by side, counted from the first row of the table that the merchant reads."""
        self.numbers, self._labels = rows.encoded.numeric, {t: rows.encoded.labels[t] for t in rows.tasks}
        self.touched, self.ids = torch.zeros(0, dtype=torch.long), None
        if rows.encoded.ids:
            ids = torch.stack(tuple(rows.encoded.ids.values()), 1)
            self.touched, self.ids = torch.unique(ids, return_inverse=True)

    def batches(
        self, size: int, source: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor | None, Mapping[str, Tensor]]]:
        """Yield for ever `size` rows without replacement, newly ordered each time; all, if fewer."""
        while True:
            order = torch.randperm(len(self.numbers), generator=source)
            numbers, labels = self.numbers[order], {t: y[order] for t, y in self._labels.items()}
            ids = None if self.ids is None else self.ids[order]
            for first in range(0, max(len(order) - size, 0) + 1, size):
                part = slice(first, first + size)
                yield (
                    numbers[part],
                    None if ids is None else ids[part],
                    {t: y[part] for t, y in labels.items()},
                )


def joined(arrays: Mapping[str, Tensor]) -> Parameters:
    """Return copies of parameters, all tables as one."""
    tables = [t for n, t in arrays.items() if n.startswith(_TABLES)]
    others = {n: t.clone() for n, t in arrays.items() if not n.startswith(_TABLES)}
    return {**others, TABLE: torch.cat(tables)} if tables else others


def bottom_of(work: Work) -> Bottom:
    """Return the bottom of the contract, written by hand."""
    spec, tasks = work.contract.bottom, tuple(sorted(work.tasks))
    if isinstance(spec, MMoE):
        return partial(_mixtures, tasks=tasks, depth=len(spec.hidden), experts=spec.experts)
    if isinstance(spec, SharedBottom):
        return partial(_tower, tasks=tasks, depth=len(spec.hidden))
    raise TypeError(f"Expected an mmoe or a shared_bottom, got {spec.architecture}.")


def logits_of(shared: Mapping[str, Tensor], own: Mapping[str, Tensor], task: str, z: Tensor) -> Tensor:
    """Return the logits of a task, prior and own part."""
    logits = F.linear(z, shared[f"heads.{task}.prior.weight"], shared[f"heads.{task}.prior.bias"])
    if own:
        logits = logits + F.linear(z, own[f"heads.{task}.own.weight"], own[f"heads.{task}.own.bias"])
    return logits


def _tower(p: Mapping[str, Tensor], x: Tensor, *, tasks: tuple[str, ...], depth: int) -> Mapping[str, Tensor]:
    for i in range(depth):
        x = F.linear(x, p[f"bottom.tower.layers.{i}.weight"], p[f"bottom.tower.layers.{i}.bias"]).relu()
    return dict.fromkeys(tasks, x)


def _mixtures(
    p: Mapping[str, Tensor], x: Tensor, *, tasks: tuple[str, ...], depth: int, experts: int
) -> Mapping[str, Tensor]:
    gates = F.linear(x, p["bottom.gate.weight"], p["bottom.gate.bias"])
    weights = gates.view(-1, len(tasks), experts).softmax(-1)  # (B, T, E)
    first, bias = p["bottom.experts.0.weight"], p["bottom.experts.0.bias"]
    h = F.linear(x, first.flatten(0, 1), bias.flatten()).relu().view(len(x), experts, -1).transpose(0, 1)
    for i in range(1, depth):
        bias = p[f"bottom.experts.{i}.bias"].unsqueeze(1)
        h = torch.baddbmm(bias, h, p[f"bottom.experts.{i}.weight"].transpose(1, 2)).relu()  # (E, B, H)
    return dict(zip(tasks, torch.matmul(weights, h.transpose(0, 1)).unbind(1), strict=True))


def _loss(task: Task, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the sum of the rows' losses."""
    if isinstance(task, Multiclass):
        return F.cross_entropy(logits, labels.long(), reduction="sum")
    if isinstance(task, Regression):
        return 0.5 * F.mse_loss(logits[:, 0], labels, reduction="sum")
    return F.binary_cross_entropy_with_logits(logits[:, 0], labels, reduction="sum")


def _trains(parameter: str, rows: Table) -> bool:
    return not parameter.startswith("heads.") or parameter.split(".")[1] in rows.tasks
