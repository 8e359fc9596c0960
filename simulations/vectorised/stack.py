"""The parameters of a cohort side by side, in one model.

Of a large table a merchant holds only the rows that it reads in the round. Nothing is sent inside a
simulation, so nobody learns which these are; the others do not move, but for what moves every row alike
(`Stack.elsewhere`).

Notation: as in the package; V rows of a table, R rows of it that a merchant reads.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from shared_model.features import Batch
from shared_model.model import MultiTaskModel
from shared_model.negatives import nothing
from shared_model.protocol import SharedArrays

from .padding import filled_up

_TABLES = "encoder.tables."

Start = Sequence[Mapping[str, Tensor]]
"""Parameters of every merchant, all of them; equal ones may be the same tensor."""

Elsewhere = Callable[[int, Tensor], Tensor]
"""`move(merchant, start)` is a table, (V, D), after a round in which nobody read it; a new tensor."""


@dataclass(frozen=True, kw_only=True)
class Touched:
    """The rows of one table that a cohort reads.

    Attributes:
        rows: Of every merchant, ascending, the first is 0; filled up with 0, shape (M, R), int64.
        counts: How many of them are meant, M numbers.
    """

    rows: Tensor
    counts: tuple[int, ...]


def compacted(batch: Batch, start: Start) -> tuple[Batch, dict[str, Touched]]:
    """Return the batch with ids that count the touched rows alone, and which rows those are, per parameter.

    A table is left as it is where a merchant looks up at least as many rows as it has.

    Args:
        batch: As `rows.Steps` has it.
        start: Knows the tables.
    """
    ids, items, found = dict(batch.ids), dict(batch.items), dict[str, Touched]()
    merchants = batch.numeric.shape[1]
    for parameter, table in start[0].items():
        if not parameter.startswith(_TABLES):
            continue
        feature = parameter.removeprefix(_TABLES).removesuffix(".weight")
        readers = [name for name in ids if name.rpartition(".")[2] == feature]
        choosers = [task for task, one in items.items() if feature in one.ids]
        read = [ids[name] for name in readers] + [items[t].ids[feature].unsqueeze(0) for t in choosers]
        looked_up = sum(i.numel() for i in read) // merchants
        if read and len(table) > looked_up:
            found[parameter], renamed = _renamed(read, len(table))
            ids |= zip(readers, renamed, strict=False)
            for task, now in zip(choosers, renamed[len(readers) :], strict=True):
                items[task] = replace(items[task], ids={**items[task].ids, feature: now.squeeze(0)})
    return replace(batch, ids=ids, items=items), found


def _renamed(ids: Sequence[Tensor], size: int) -> tuple[Touched, list[Tensor]]:
    merchants = ids[0].shape[1]
    first = torch.arange(merchants) * size
    keys = [i + first.view(1, -1, *[1] * (i.dim() - 2)) for i in ids]
    distinct, inverse = torch.unique(torch.cat([first, *(k.flatten() for k in keys)]), return_inverse=True)
    starts, inverse = inverse[:merchants], inverse[merchants:]
    counts = torch.diff(torch.cat([starts, torch.tensor([len(distinct)])]))
    owner = torch.repeat_interleave(torch.arange(merchants), counts)
    rows = torch.zeros(merchants, int(counts.max()), dtype=torch.int64)
    rows[owner, torch.arange(len(distinct)) - starts[owner]] = distinct - owner * size
    renamed = []
    for key, part in zip(keys, torch.split(inverse, [k.numel() for k in keys]), strict=True):
        renamed.append(part.view(key.shape) - starts.view(1, -1, *[1] * (key.dim() - 2)))
    return Touched(rows=rows, counts=tuple(counts.tolist())), renamed


class Stack:
    """A model that holds the parameters of a cohort.

    Attributes:
        model: Its parameters have a leading axis M.
        touched: As `compacted` returned it.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        start: Start,
        touched: Mapping[str, Touched],
        names: Collection[str] | None = None,
    ) -> None:
        """Put parameters of all merchants into `model`: those in `names`, all by default.

        The others stay what they were in `model`; nothing may read them.
        """
        self.model, self.touched, self._start = model, dict(touched), start
        self._elsewhere: dict[str, Elsewhere] = {}
        self._held: dict[str, Tensor] = {}
        self._travel = model.shared_parameters()
        self._whole: SharedArrays | None = None
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(False)
            parameter.grad = None
            if names is None or name in names:
                parameter.data = self._held[name] = self.start(name)

    def start(self, name: str) -> Tensor:
        """Return what a parameter held before the round, (M, ...).

        Where merchants choose among unlike numbers of items, places without an item have a bias with which
        nobody chooses them.
        """
        first = self._start[0][name]
        same = all(merchant[name] is first for merchant in self._start)
        if name in self.touched:
            rows = self.touched[name].rows
            if same:
                return first.index_select(0, rows.flatten()).view(*rows.shape, -1)
            return torch.stack([m[name][r] for m, r in zip(self._start, rows, strict=True)])
        if same:
            return first.unsqueeze(0).repeat(len(self._start), *[1] * first.dim())
        values = [merchant[name] for merchant in self._start]
        if any(value.shape != first.shape for value in values):
            return filled_up(values, nothing(first) if name.endswith(".bias") else 0.0)
        return torch.stack(values)

    def hold(self, name: str, value: Tensor) -> None:
        """Let a parameter lie elsewhere from now on, (M, ...); it has the same numbers there."""
        self.model.get_parameter(name).data = self._held[name] = value

    def holds_anything(self, name: str) -> bool:
        """Whether a parameter was anything but zero before the round, at any merchant."""
        different = {id(start[name]): start[name] for start in self._start}
        return any(bool(value.any()) for value in different.values())

    def elsewhere(self, name: str, move: Elsewhere) -> None:
        """Say what the round did to the rows of a table that nobody reads; otherwise they stay."""
        self._elsewhere[name] = move

    def of(self, merchant: int, name: str) -> Tensor:
        """Return one merchant's parameter as it is now, whole."""
        held = self._held[name][merchant]
        if name not in self.touched:
            return held[: len(self._start[merchant][name])]
        count = self.touched[name].counts[merchant]
        whole = self._elsewhere.get(name, _as_before)(merchant, self._start[merchant][name])
        return whole.index_copy_(0, self.touched[name].rows[merchant, :count], held[:count])

    def arrays(self, merchant: int) -> SharedArrays:
        """Return one merchant's parameters that travel, float32; they are read before the next cohort is.

        After the first call parameters must not change any more.
        """
        if self._whole is None:
            names = [name for name in self._travel if name not in self.touched]
            self._whole = {name: self._held[name].float().numpy() for name in names}
        return {
            name: self._whole[name][merchant]
            if name in self._whole
            else self.of(merchant, name).float().numpy()
            for name in self._travel
        }


def _as_before(merchant: int, start: Tensor) -> Tensor:
    return start.clone()
