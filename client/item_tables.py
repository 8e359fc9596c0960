"""The own part of a retrieval task, fitted on the merchant's rows: a table of items, their biases, repeats.

The problem is that of `serving_heads.fit` with as many outputs as the catalogue has items. Its gradient is
written out, so that of the scores only a chunk of rows exists at a time. Where the contract samples the
softmax, every group of `_GROUP` rows has drawn items of its own, the same in every look at them: the problem
is convex still, and its answer depends on nothing else.

Notation: B rows, D width of the representation with a column of ones, I items, S drawn items.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from shared_model import schema
from shared_model.model import MultiTaskModel
from shared_model.negatives import exactly, nothing, standing
from shared_model.repeats import TRAITS, none_earlier, traits
from shared_model.retrieval import CELLS, RetrievalHead

from .bought import Bought, bought
from .contests import drawn
from .data.examples import Examples

_CHUNK = 8192
_GROUP = 256
_REMEMBERED = 1 << 25
"""About so many numbers L-BFGS keeps of its way."""


class OwnPart(NamedTuple):
    """What is fitted, in float64.

    Attributes:
        table: With the biases in the last column, shape (I, D).
        repeats: What repeats are worth beyond what is learnt together, shape (3,); zeros for a head that
            learns nothing of them.
    """

    table: Tensor
    repeats: Tensor


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """What is known of the rows, in float64.

    Attributes:
        z: Representations with a column of ones, shape (B, D).
        chosen: Positions of the chosen items, shape (B,).
        wanted: What the tower looks for, shape (B, W); None without a tower.
        vectors: What the tower makes of the items, shape (I, W); None without a tower.
        bought: What shoppers bought before; nothing for a head that does not learn from it.
        repeats: What that is worth everywhere, shape (3,).
    """

    z: Tensor
    chosen: Tensor
    wanted: Tensor | None
    vectors: Tensor | None
    bought: Bought
    repeats: Tensor

    def scores(self, table: Tensor, rows: slice, items: Tensor | None) -> Tensor:
        """Return the scores by table and tower of some rows for some items (None: all), (rows, items)."""
        found = self.z[rows] @ (table if items is None else table[items]).T
        if self.wanted is None or self.vectors is None:
            return found
        return found.addmm_(self.wanted[rows], (self.vectors if items is None else self.vectors[items]).T)

    def scores_of(self, table: Tensor, rows: Tensor, items: Tensor) -> Tensor:
        """Return the same for one item each of some rows, shape (rows,)."""
        found = (self.z[rows] * table[items]).sum(1)
        if self.wanted is None or self.vectors is None:
            return found
        return found + (self.wanted[rows] * self.vectors[items]).sum(1)


def solve(
    model: MultiTaskModel, dataset: Examples, task: str, rows: Tensor, spec: schema.Retrieval, penalty: float
) -> OwnPart:
    """Return the own part that fits best.

    Args:
        model: Holds the released shared parameters.
        dataset: The merchant's rows.
        task: Name of the task.
        rows: Fit on these; all have a label.
        spec: The task's declaration.
        penalty: Of the table, in rows; that of repeats is `RetrievalHead.pull_of_repeats`.
    """
    head = model.head(task)
    if not isinstance(head, RetrievalHead):
        raise TypeError(f"Expected {task} to choose items, got a {type(head).__name__}.")
    problem = _problem(model, head, dataset, task, rows)
    table = torch.zeros(head.items, problem.z.shape[1], dtype=torch.float64)
    part = OwnPart(table, table.new_zeros(TRAITS))
    for parameter in part:
        parameter.grad = torch.zeros_like(parameter)
    optimizer = torch.optim.LBFGS(
        list(part),
        max_iter=200,
        tolerance_grad=1e-7,
        tolerance_change=1e-10,
        history_size=min(100, max(2, _REMEMBERED // table.numel())),
        line_search_fn="strong_wolfe",
    )
    strengths = (penalty, head.pull_of_repeats(penalty))
    optimizer.step(lambda: _look(problem, part, task, spec, strengths))  # type: ignore[no-untyped-call]
    return part


@torch.no_grad()
def _problem(
    model: MultiTaskModel, head: RetrievalHead, dataset: Examples, task: str, rows: Tensor
) -> _Problem:
    z, chosen, earlier = [], [], []
    for chunk in torch.split(rows, _CHUNK):
        batch = dataset.batch(chunk, [task])
        z.append(model.represent(batch, [task])[task])
        chosen.append(batch.labels[task].long())
        known = None if head.own_repeats is None else batch.earlier.get(task)
        earlier.append(none_earlier(len(chunk), z[-1]) if known is None else known)
    vectors = model.items(task, dataset.batch(rows[:1], [task]))
    represented = torch.cat(z)
    return _Problem(
        z=torch.cat([represented, represented.new_ones(len(rows), 1)], -1).double(),
        chosen=torch.cat(chosen),
        wanted=None if vectors is None else head.wanted(represented).double(),
        vectors=None if vectors is None else vectors.double(),
        bought=bought(earlier),
        repeats=_shared_worth(head),
    )


def _shared_worth(head: RetrievalHead) -> Tensor:
    if head.repeats is None:
        return torch.zeros(TRAITS, dtype=torch.float64)
    return head.repeats.weight.detach()[0].double()


@torch.no_grad()
def _look(
    problem: _Problem, part: OwnPart, task: str, spec: schema.Retrieval, strengths: tuple[float, float]
) -> Tensor:
    """Return the mean loss with its penalties, and leave its gradient on `part`."""
    count, gradient = len(problem.z), OwnPart(*(_gradient(parameter) for parameter in part))
    value = part.table.new_zeros(())
    for parameter, slope, strength in zip(part, gradient, strengths, strict=True):
        torch.mul(parameter, strength / count, out=slope)
        value += 0.5 * strength / count * parameter.square().sum()
    for here, items in _parts(count, len(part.table), task, spec):
        look = _among_all if items is None else partial(_among_drawn, items=items)
        value += look(problem, part, here, gradient)
    return value


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None  # `solve` has made it
    return parameter.grad


def _among_all(problem: _Problem, part: OwnPart, here: slice, gradient: OwnPart) -> Tensor:
    """Return what some rows add to the mean loss, and add its gradient."""
    z, place, count = problem.z[here], problem.chosen[here].unsqueeze(1), len(problem.z)
    scores = problem.scores(part.table, here, None)
    earlier = problem.bought.by(here)
    known = traits(earlier)
    scores.scatter_add_(1, earlier.items, known @ (problem.repeats + part.repeats))
    total = scores.logsumexp(1, keepdim=True)
    loss = (total - scores.gather(1, place)).sum()
    shares = scores.sub_(total).exp_().scatter_add_(1, place, -torch.ones_like(total))
    gradient.table.addmm_(shares.T, z, alpha=1 / count)
    gradient.repeats.add_(_summed(shares.gather(1, earlier.items), known), alpha=1 / count)
    return loss / count


def _among_drawn(
    problem: _Problem, part: OwnPart, here: slice, gradient: OwnPart, *, items: Tensor
) -> Tensor:
    """Return the same from drawn items (`negatives.standing`); what was bought before is counted exactly."""
    z, count = problem.z[here], len(problem.z)
    exact = exactly(problem.chosen[here], problem.bought.by(here))
    row, place = exact.counts.nonzero(as_tuple=True)
    item = exact.items[row, place]
    scores = torch.full(exact.items.shape, nothing(z), dtype=z.dtype)
    scores[row, place] = problem.scores_of(part.table, row + here.start, item)
    scores += exact.traits @ (problem.repeats + part.repeats)
    others = standing(problem.scores(part.table, here, items), exact, items, len(part.table))
    total = torch.cat([scores, others], 1).logsumexp(1, keepdim=True)
    loss = (total - scores[:, :1]).sum()
    shares = (scores - total).exp()
    shares[:, 0] -= 1
    gradient.table.index_add_(0, item, z[row] * shares[row, place].unsqueeze(1), alpha=1 / count)
    gradient.table.index_add_(0, items, others.sub_(total).exp_().T @ z, alpha=1 / count)
    gradient.repeats.add_(_summed(shares, exact.traits), alpha=1 / count)
    return loss / count


def _summed(shares: Tensor, known: Tensor) -> Tensor:
    """Shares (rows, H) times traits (rows, H, 3), summed over rows and items."""
    return shares.flatten() @ known.flatten(0, 1)


def _parts(
    count: int, items: int, task: str, spec: schema.Retrieval
) -> Iterator[tuple[slice, Tensor | None]]:
    """Yield rows, and the items that they are compared with."""
    sampled = items > spec.max_full
    size = _GROUP if sampled else max(1, CELLS // items)
    for first in range(0, count, size):
        yield slice(first, first + size), drawn(spec, items, f"serving/{task}/{first}")
