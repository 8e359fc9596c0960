"""The own part of a retrieval task, fitted on the merchant's rows: a table of items, and their biases.

The problem is that of `serving_heads.fit` with as many outputs as the catalogue has items. Its gradient is
written out, so that of the scores only a chunk of rows exists at a time. Where the contract samples the
softmax, every group of `_GROUP` rows has drawn items of its own, the same in every look at them: the problem
is convex still, and its answer depends on nothing else.

Notation: B rows, D width of the representation with a column of ones, I items, S drawn items.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from shared_model import schema
from shared_model.model import MultiTaskModel
from shared_model.retrieval import CELLS, RetrievalHead, standing

from .contests import drawn
from .data.examples import Examples

_CHUNK = 8192
_GROUP = 256
_REMEMBERED = 1 << 25
"""About so many numbers L-BFGS keeps of its way."""


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """What is known of the rows, in float64.

    Attributes:
        z: Representations with a column of ones, shape (B, D).
        chosen: Positions of the chosen items, shape (B,).
        wanted: What the tower looks for, shape (B, W); None without a tower.
        vectors: What the tower makes of the items, shape (I, W); None without a tower.
    """

    z: Tensor
    chosen: Tensor
    wanted: Tensor | None
    vectors: Tensor | None

    def scores(self, solution: Tensor, rows: slice, items: Tensor | None) -> Tensor:
        """Return the scores of some rows for some items (None: all), shape (rows, items)."""
        table = solution if items is None else solution[items]
        found = self.z[rows] @ table.T
        if self.wanted is None or self.vectors is None:
            return found
        return found.addmm_(self.wanted[rows], (self.vectors if items is None else self.vectors[items]).T)

    def score_of(self, solution: Tensor, rows: slice) -> Tensor:
        """Return the score of each row's chosen item, shape (rows,)."""
        chosen = self.chosen[rows]
        found = (self.z[rows] * solution[chosen]).sum(1)
        if self.wanted is None or self.vectors is None:
            return found
        return found + (self.wanted[rows] * self.vectors[chosen]).sum(1)


def solve(
    model: MultiTaskModel, dataset: Examples, task: str, rows: Tensor, spec: schema.Retrieval, penalty: float
) -> Tensor:
    """Return the own part with its biases in the last column, float64, shape (I, D).

    Args:
        model: Holds the released shared parameters.
        dataset: The merchant's rows.
        task: Name of the task.
        rows: Fit on these; all have a label.
        spec: The task's declaration.
        penalty: In rows.
    """
    head = model.head(task)
    if not isinstance(head, RetrievalHead):
        raise TypeError(f"Expected {task} to choose items, got a {type(head).__name__}.")
    problem = _problem(model, head, dataset, task, rows)
    solution = torch.zeros(head.items, problem.z.shape[1], dtype=torch.float64)
    solution.grad = torch.zeros_like(solution)
    optimizer = torch.optim.LBFGS(
        [solution],
        max_iter=200,
        tolerance_grad=1e-7,
        tolerance_change=1e-10,
        history_size=min(100, max(2, _REMEMBERED // solution.numel())),
        line_search_fn="strong_wolfe",
    )
    optimizer.step(lambda: _look(problem, solution, task, spec, penalty))  # type: ignore[no-untyped-call]
    return solution


@torch.no_grad()
def _problem(
    model: MultiTaskModel, head: RetrievalHead, dataset: Examples, task: str, rows: Tensor
) -> _Problem:
    z, chosen = [], []
    for chunk in torch.split(rows, _CHUNK):
        batch = dataset.batch(chunk, [task])
        z.append(model.represent(batch, [task])[task])
        chosen.append(batch.labels[task].long())
    vectors = model.items(task, dataset.batch(rows[:1], [task]))
    represented = torch.cat(z)
    return _Problem(
        z=torch.cat([represented, represented.new_ones(len(rows), 1)], -1).double(),
        chosen=torch.cat(chosen),
        wanted=None if vectors is None else head.wanted(represented).double(),
        vectors=None if vectors is None else vectors.double(),
    )


@torch.no_grad()
def _look(problem: _Problem, solution: Tensor, task: str, spec: schema.Retrieval, penalty: float) -> Tensor:
    """Return the mean loss with its penalty, and leave its gradient on `solution`."""
    count, gradient = len(problem.z), solution.grad
    assert gradient is not None  # `solve` has made it
    torch.mul(solution, penalty / count, out=gradient)
    value = 0.5 * penalty / count * solution.square().sum()
    for here, items in _parts(count, len(solution), task, spec):
        look = _among_all if items is None else partial(_among_drawn, items=items)
        value += look(problem, solution, here, gradient)
    return value


def _among_all(problem: _Problem, solution: Tensor, here: slice, gradient: Tensor) -> Tensor:
    """Return the part of some rows in the mean loss, and add its gradient."""
    z, place = problem.z[here], problem.chosen[here].unsqueeze(1)
    scores = problem.scores(solution, here, None)
    total = scores.logsumexp(1, keepdim=True)
    loss = (total - scores.gather(1, place)).sum()
    shares = scores.sub_(total).exp_().scatter_add_(1, place, -torch.ones_like(total))
    gradient.addmm_(shares.T, z, alpha=1 / len(problem.z))
    return loss / len(problem.z)


def _among_drawn(
    problem: _Problem, solution: Tensor, here: slice, gradient: Tensor, *, items: Tensor
) -> Tensor:
    """Return the same from drawn items (`retrieval.standing`)."""
    z, chosen, count = problem.z[here], problem.chosen[here], len(problem.z)
    won = problem.score_of(solution, here)
    others = standing(problem.scores(solution, here, items), chosen, items, len(solution))
    total = torch.cat([won.unsqueeze(1), others], 1).logsumexp(1)
    gradient.index_add_(0, chosen, z * ((won - total).exp() - 1).unsqueeze(1), alpha=1 / count)
    gradient.index_add_(0, items, others.sub_(total.unsqueeze(1)).exp_().T @ z, alpha=1 / count)
    return (total - won).sum() / count


def _parts(
    count: int, items: int, task: str, spec: schema.Retrieval
) -> Iterator[tuple[slice, Tensor | None]]:
    """Yield rows, and the items that they are compared with."""
    sampled = items > spec.max_full
    size = _GROUP if sampled else max(1, CELLS // items)
    for first in range(0, count, size):
        yield slice(first, first + size), drawn(spec, items, f"serving/{task}/{first}")
