"""Embedding tables under private training, without touching every row in every step.

The mechanism adds noise to every row of every table in every step. Nobody can tell whether it was added when
a row is next read instead: the noise of n steps is the sum of n independent Gaussians, one Gaussian of n
times the variance. So every row has the number of steps whose noise it got; it gets the rest when it is next
read, and all rows do before anything is released. This is exact for plain SGD, where noise is added and
nothing else.

Until the release the model's tables are away: a placeholder without rows stands in their place. Whoever
reads a table other than through its layer, or forgets the release, gets an error and never numbers that lack
their noise.

A row is moved in float32, and only later gets the noise of the step. So the bound on a unit's contribution
holds up to what float32 loses among the units that read one row: 1e-6 for hundreds, a per cent for 100,000.

Notation: B rows of a batch, F tables read side by side, V table rows, D width, N lookups, n distinct rows.

Source: Lim et al. (2024), "LazyDP: Co-Designing Algorithm-Software for Scalable Training of Differentially
Private Recommendation Models", section 5.1 (lazy noise) and 5.2 (its aggregation).
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from shared_model.layers import Embedding, reading, recorded

from .clipping import Group
from .noise import Noise
from .products import lengths
from .rules import RULES, Norms, Rows, Rule, Sums, Use, joint, lookup_norms
from .units import Units

_CHUNK = 1 << 13
"""Rows whose noise is drawn at a time."""

_MOST_STEPS = 2**15 - 1
"""Steps that a row's counter can hold; after so many, every row is paid."""


class _Reading(NamedTuple):
    """What was fetched: distinct rows (n,), their vectors (n, D), which of them each lookup got (N,)."""

    rows: Tensor
    vectors: Tensor
    inverse: Tensor


class Store(nn.Module):
    """All tables of one width and one clip group, one below the other.

    Attributes:
        weight: The rows, shape (V, D), of all tables together.
        tables: What is stored.
        readings: What this step has fetched.
        collides: Whether a unit may have read a row twice in this step.
    """

    def __init__(self, tables: Sequence[Embedding], group: Group, step_std: float, noise: Noise) -> None:
        """Move the tables here; `step_std` is the noise of one step in units of a weight."""
        super().__init__()
        self.group, self._std, self._noise = group, step_std, noise
        self.tables = tuple(tables)
        self._own = [table.weight for table in tables]
        self.weight = nn.Parameter(_one_below_the_other(self._own), requires_grad=False)
        sizes = [len(weight) for weight in self._own]
        self._first = dict(zip(tables, itertools.accumulate([0, *sizes[:-1]]), strict=True))
        self._offsets: dict[tuple[Embedding, ...], Tensor] = {}
        self._paid = torch.zeros(sum(sizes), dtype=torch.int16)
        self._index = torch.int32 if sum(sizes) < 2**31 else torch.int64  # the shorter sorts twice as fast
        self._steps, self._away = 0, False
        self._scratch: dict[tuple[str, int], Tensor] = {}
        self._drawn = self.weight.new_empty(min(_CHUNK, sum(sizes)), self.weight.shape[1])
        self.readings: list[_Reading] = []
        self._read: list[Embedding] = []
        self.collides = False

    def look_up(self, tables: Sequence[Embedding], ids: Sequence[Tensor]) -> Tensor:
        """Return the rows of `tables` at `ids`, (...) each, side by side: shape (..., F D)."""
        self.collides |= ids[0].dim() > 1 or any(table in self._read for table in tables)
        self._read += tables
        with torch.no_grad():
            where = torch.stack(tuple(ids), -1)
            rows, present = where + self._offset(tuple(tables)), where > 0
            vectors = self._fetch(rows.flatten()).view(*rows.shape, -1)
        found = recorded(self, rows, vectors)
        if not present.all():
            found = found * present.unsqueeze(-1).to(found.dtype)
        return found.flatten(-2)

    def _offset(self, tables: tuple[Embedding, ...]) -> Tensor:
        """Return where each of `tables` begins, shape (F,)."""
        if tables not in self._offsets:
            self._offsets[tables] = torch.tensor([self._first[table] for table in tables])
        return self._offsets[tables]

    def take(self) -> None:
        """Put placeholders in the place of the tables, and begin a step."""
        self.readings, self._read, self.collides = [], [], False
        if not self._away:
            for table in self.tables:
                table.weight = nn.Parameter(self.weight.new_empty(0, self.weight.shape[1]))
        self._away = True

    def update(self, found: Rows | None, rate: float) -> None:
        """Move the rows that were read against the sum times `rate`; the step's noise is owed from now on."""
        if self.readings:
            if found is not None and len(self.readings) == 1:
                reading = self.readings[0]
                _add(reading.vectors, reading.inverse, found.vectors.mul_(-rate))
            self._write_back()
            if found is not None and len(self.readings) > 1:
                _add(self.weight.data, found.rows, found.vectors.mul_(-rate))
        self._steps += 1
        if self._steps == _MOST_STEPS:
            self._pay()

    def release(self) -> None:
        """Pay what is owed to every row, and put the tables back into the model."""
        self._pay()
        for table, weight in zip(self.tables, self._own, strict=True):
            table.weight = weight
        self._away = False

    def _pay(self) -> None:
        self._settle(self.weight.data, self._paid)
        self._paid.zero_()
        self._steps = 0

    def _fetch(self, rows: Tensor) -> Tensor:
        """Return the vectors (N, D) of `rows` (N,), with the noise that they are owed."""
        if self.readings:
            self._write_back()
        distinct, inverse = torch.unique(rows.to(self._index), return_inverse=True)
        distinct = distinct.long()
        vectors = torch.index_select(self.weight.data, 0, distinct, out=self._memory("rows", len(distinct)))
        self._settle(vectors, self._paid.index_select(0, distinct))
        found = torch.index_select(vectors, 0, inverse, out=self._memory("found", len(inverse)))
        self.readings.append(_Reading(distinct, vectors, inverse))
        return found.view(
            found.shape
        )  # autograd marks what it is given, and the memory is to stay free of it

    def _memory(self, use: str, rows: int) -> Tensor:
        """Return room for (rows, D) numbers, the same in every step: fresh memory is as dear as noise."""
        key = (use, len(self.readings))
        if key not in self._scratch or len(self._scratch[key]) < rows:
            self._scratch[key] = self.weight.new_empty(rows + rows // 8, self.weight.shape[1])
        return self._scratch[key][:rows]

    def _write_back(self) -> None:
        """Write what was read last; only now is its noise paid: a step that failed would owe it still."""
        last = self.readings[-1]
        self.weight.data.index_copy_(0, last.rows, last.vectors)
        self._paid.index_fill_(0, last.rows, self._steps)

    def _settle(self, vectors: Tensor, paid: Tensor) -> None:
        """Add to `vectors` (n, D) the noise of all steps after those that are `paid`, (n,)."""
        if self._std and self._steps:
            for part, until in zip(torch.split(vectors, _CHUNK), torch.split(paid, _CHUNK), strict=True):
                owed = (self._steps - until).to(part.dtype).sqrt_().mul_(self._std)
                part.addcmul_(self._noise.normal_(self._drawn[: len(part)]), owed.unsqueeze(1))


class Tables:
    """The stores of one model, and the reader that finds rows in them."""

    def __init__(self, stores: Sequence[Store]) -> None:
        """Index the stores by table."""
        self.stores = tuple(stores)
        self._store_of = {table: store for store in stores for table in store.tables}

    @contextmanager
    def open(self) -> Iterator[None]:
        """Answer the lookups of one forward pass."""
        for store in self.stores:
            store.take()
        with reading(self._read):
            yield

    def _read(self, tables: Sequence[Embedding], ids: Sequence[Tensor]) -> Tensor:
        stores = {self._store_of.get(table) for table in tables}
        if len(stores) == 1:
            (store,) = stores
            if store is not None:
                return store.look_up(tables, ids)
            if len(tables) == 1:
                return tables[0].look_up(ids[0])
        return torch.cat([self._read((t,), (i,)) for t, i in zip(tables, ids, strict=True)], -1)


def stored(
    model: nn.Module, group_of: Mapping[nn.Parameter, Group], *, rate: float, noise: Noise
) -> tuple[Tables, dict[nn.Parameter, Group]]:
    """Move the trained tables of `model` into stores; `rate` is the learning rate over the divisor.

    Returns:
        The stores, and `group_of` with the weights of the stores in the place of those of the tables.
    """
    tables: dict[tuple[int, Group], list[Embedding]] = {}
    for layer in model.modules():
        if isinstance(layer, Embedding) and layer.weight in group_of:
            tables.setdefault((layer.weight.shape[1], group_of[layer.weight]), []).append(layer)
    moved = {layer.weight for layers in tables.values() for layer in layers}
    stores = [Store(layers, group, rate * group.noise_std, noise) for (_, group), layers in tables.items()]
    kept = {parameter: group for parameter, group in group_of.items() if parameter not in moved}
    return Tables(stores), {**kept, **{store.weight: store.group for store in stores}}


def _one_below_the_other(weights: Sequence[nn.Parameter]) -> Tensor:
    """Return one tensor of which all `weights` are from now on views, each in turn moved there if needed."""
    rows = sum(len(weight) for weight in weights)
    first, width = weights[0].data, weights[0].shape[1]
    if _are_one_below_the_other(weights):
        return first.as_strided((rows, width), (width, 1))
    whole, start = _on_large_pages(first, rows), 0
    for weight in weights:
        part = whole[start : start + len(weight)]
        weight.data = part.copy_(weight.data)
        start += len(weight)
    return whole


def _on_large_pages(like: Tensor, rows: int) -> Tensor:
    """Return room for (rows, D) numbers; unlike torch, numpy asks Linux for pages of 2 MiB.

    Rows are read here and there: with pages of 4 KiB each costs a search for its page as well. Measured for
    26 tables of 100,000 rows: reading rows takes a quarter less time, writing them 40 % less.
    """
    return torch.from_numpy(np.empty((rows, like.shape[1]), like.detach().numpy().dtype))


def _are_one_below_the_other(weights: Sequence[nn.Parameter]) -> bool:
    expected, storage = weights[0].data_ptr(), weights[0].untyped_storage().data_ptr()
    for weight in weights:
        same = weight.untyped_storage().data_ptr() == storage and weight.data_ptr() == expected
        if not (same and weight.is_contiguous()):
            return False
        expected += weight.numel() * weight.element_size()
    return True


def _add(out: Tensor, rows: Tensor, vectors: Tensor) -> None:
    """Add vectors (N, D) to rows (N,) of `out`; ten times as fast as `index_add_`, which does one by one."""
    out.scatter_add_(0, rows.unsqueeze(1).expand_as(vectors), vectors)


def _store_norms(layer: nn.Module, uses: Sequence[Use], units: Units) -> Norms:
    assert isinstance(layer, Store)
    if units.single and not layer.collides:  # every unit read at most one row of every table
        return {layer.weight: units.total(joint(lengths(u.gradient) for u in uses), units.of_row)}
    return {layer.weight: lookup_norms(uses, units, len(layer.weight))}


def _store_sums(layer: nn.Module, uses: Sequence[Use], coefficients: Mapping[nn.Parameter, Tensor]) -> Sums:
    assert isinstance(layer, Store)
    rows = torch.cat([u.input.flatten() for u in uses])
    # fresh memory: what the lookups got may be, without a copy, the recorded input of the layer that follows
    vectors, start = layer.weight.new_empty(len(rows), layer.weight.shape[1]), 0
    of_row = coefficients[layer.weight].to(vectors.dtype).unsqueeze(1)
    for u in uses:
        part = vectors[start : start + u.input.numel()].view(len(u.input), -1)
        torch.mul(u.gradient.flatten(1), of_row, out=part)
        start += u.input.numel()
    return {layer.weight: Rows(rows, vectors)}


RULES[Store] = Rule(0, _store_norms, _store_sums)
