"""The three layers that own every parameter: `Linear`, `Bank` and `Embedding`.

Each works in two forms, told apart by the shape of its weight alone: one merchant, or a cohort with a
leading merchant axis M. Inputs then have the same leading axis. So one model definition serves plain
training, private training and the vectorised cohort.

While a tape listens (`recording`), every layer leaves a record of its input and its output. The records
are all that per-unit norms and clipped sums need: one backward to the outputs gives, with the inputs, the
gradient of every unit (`tests/shared_model/test_layers.py`).

While a reader listens (`reading`), it answers every lookup in a table. So an engine may keep tables where and
how it likes.

Notation: rows B, inputs I, outputs O, experts E, table rows V, width D.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge


class Record(NamedTuple):
    """One use of a layer: the layer, what went in (detached), and the place in the graph of what came out.

    The place suffices to differentiate to it, and lets go of its numbers, which only the next layer needs.
    """

    layer: nn.Module
    input: Tensor
    output: GradientEdge


Reader = Callable[[Sequence["Embedding"], Sequence[Tensor]], Tensor]
"""`reader(tables, ids)` returns what `side_by_side` does."""

_tape: ContextVar[list[Record] | None] = ContextVar("tape", default=None)
_reader: ContextVar[Reader | None] = ContextVar("reader", default=None)


@contextmanager
def recording() -> Iterator[list[Record]]:
    """Collect a record of every layer used inside the block, in order of use.

    A layer used several times leaves several records. Outputs require gradients even where no parameter
    does, so the caller may differentiate to them alone.

    >>> layer = Linear(2, 1, generator=torch.Generator())
    >>> with recording() as tape:
    ...     _ = layer(torch.ones(3, 2))
    >>> [(type(r.layer).__name__, tuple(r.input.shape)) for r in tape]
    [('Linear', (3, 2))]
    """
    tape: list[Record] = []
    token = _tape.set(tape)
    try:
        yield tape
    finally:
        _tape.reset(token)


@contextmanager
def reading(reader: Reader) -> Iterator[None]:
    """Let `reader` answer every lookup inside the block; it leaves the records, too (`recorded`)."""
    token = _reader.set(reader)
    try:
        yield
    finally:
        _reader.reset(token)


def recorded(layer: nn.Module, inputs: Tensor, output: Tensor) -> Tensor:
    """Return `output`, and leave a record of it where a tape listens."""
    tape = _tape.get()
    if tape is not None:
        if not output.requires_grad:
            output.requires_grad_()
        tape.append(Record(layer, inputs.detach(), get_gradient_edge(output)))
    return output


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))


class Linear(nn.Module):
    """y = x W^T + b.

    Shapes:
        weight (O, I) or (M, O, I); x (..., I) or (M, ..., I); y (..., O) or (M, ..., O).
    """

    def __init__(self, inputs: int, outputs: int, *, generator: torch.Generator, bias: bool = True) -> None:
        super().__init__()
        bound = inputs**-0.5 if inputs else 0.0
        self.weight = _uniform((outputs, inputs), bound, generator)
        self.bias = _uniform((outputs,), bound, generator) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Return y for x."""
        weight, bias = self.weight, self.bias
        if weight.dim() == 2:
            return recorded(self, x, F.linear(x, weight, bias))
        rows = x.flatten(1, -2) if x.dim() > 3 else x
        y = torch.bmm(rows, weight.mT) if bias is None else torch.baddbmm(bias.unsqueeze(-2), rows, weight.mT)
        return recorded(self, x, y.view(*x.shape[:-1], y.shape[-1]) if x.dim() > 3 else y)


class Bank(nn.Module):
    """E linear maps side by side, one per expert.

    Shapes:
        weight (E, O, I) or (M, E, O, I); y (E, B, O) or (M, E, B, O).
        x is (B, I) or (M, B, I) where all experts read the same rows (`shared_input`), and otherwise
        (E, B, I) or (M, E, B, I).
    """

    def __init__(
        self, experts: int, inputs: int, outputs: int, *, shared_input: bool, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.shared_input = shared_input
        bound = inputs**-0.5 if inputs else 0.0
        self.weight = _uniform((experts, outputs, inputs), bound, generator)
        self.bias = _uniform((experts, outputs), bound, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return every expert's y for x."""
        if self.weight.dim() == 3:
            rows = x.unsqueeze(-3) if self.shared_input else x
            y = torch.matmul(rows, self.weight.mT) + self.bias.unsqueeze(-2)
        else:
            y = self._of_cohort(x)
        return recorded(self, x, y)

    def _of_cohort(self, x: Tensor) -> Tensor:
        """Return the same with a merchant axis: one product of matrices per merchant, or per expert of it."""
        merchants, experts, outputs, inputs = self.weight.shape
        if self.shared_input:
            wide = self.weight.reshape(merchants, experts * outputs, inputs)
            y = torch.baddbmm(self.bias.reshape(merchants, 1, -1), x, wide.mT)
            return y.view(merchants, -1, experts, outputs).transpose(1, 2)
        y = torch.baddbmm(self.bias.reshape(-1, 1, outputs), x.flatten(0, 1), self.weight.flatten(0, 1).mT)
        return y.view(merchants, experts, -1, outputs)


class Embedding(nn.Module):
    """Rows of a table; row 0 means "missing" and reads as the zero vector, whatever the table holds.

    Shapes:
        weight (V, D) or (M, V, D); ids (...) or (M, ...), integers; y (..., D) or (M, ..., D).
    """

    def __init__(self, rows: int, width: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows, width).normal_(0.0, 0.05, generator=generator))

    def forward(self, ids: Tensor) -> Tensor:
        """Return the table's rows at `ids`."""
        reader = _reader.get()
        return self.look_up(ids) if reader is None else reader((self,), (ids,))

    def look_up(self, ids: Tensor) -> Tensor:
        """Return the table's rows at `ids`, from the table itself."""
        if self.weight.dim() == 2:
            found = F.embedding(ids, self.weight)
        else:
            merchants, rows, width = self.weight.shape
            first = torch.arange(merchants, device=ids.device).view(-1, *[1] * (ids.dim() - 1)) * rows
            found = F.embedding(ids + first, self.weight.reshape(merchants * rows, width))
        return recorded(self, ids, found) * (ids > 0).unsqueeze(-1).to(found.dtype)


def side_by_side(tables: Sequence[Embedding], ids: Sequence[Tensor]) -> Tensor:
    """Return what several tables hold at their ids, (...) each, as one tensor (..., sum of widths)."""
    reader = _reader.get()
    if reader is not None:
        return reader(tables, ids)
    return torch.cat([table(i) for table, i in zip(tables, ids, strict=True)], -1)
