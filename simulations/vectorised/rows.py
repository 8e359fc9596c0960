"""The rows that merchants drew for a round, put side by side.

Notation as in the package; N rows of one merchant in all steps.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from shared_model.features import Batch
from shared_model.repeats import Earlier

from .items import catalogues_of, earlier_of, longest_list, widened


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What one merchant reads in one round.

    Attributes:
        batch: The rows of all steps, one step after the other, shape (N, ...) each.
        counts: Rows of every step, K numbers.
        unit: Owner of every row among the units of its step, int64, (N,); None where nobody asks.
        units: Units of every step, K numbers; none where nobody asks.
        weight: Of every row's loss, (N,); None for 1.
    """

    batch: Batch
    counts: tuple[int, ...]
    unit: Tensor | None = None
    units: tuple[int, ...] = ()
    weight: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of one step of a cohort.

    Attributes:
        batch: Shape (M, B, ...) each; what is not there has no label. Items: (M, I, ...).
        weight: Of every row's loss, 0 where there is none, shape (M, B).
        unit: Owner of every row among the units of the step, -1 where there is none, shape (M, B); None
            where nobody asks.
        units: Of every merchant, M numbers; none where nobody asks.
    """

    batch: Batch
    weight: Tensor
    unit: Tensor | None
    units: tuple[int, ...]


def joined(batches: Sequence[Batch]) -> Batch:
    """Return the rows of several batches with the same columns, one after the other."""
    first = batches[0]
    return replace(
        first,
        numeric=torch.cat([b.numeric for b in batches]),
        ids={n: torch.cat([b.ids[n] for b in batches]) for n in first.ids},
        vectors={n: torch.cat([b.vectors[n] for b in batches]) for n in first.vectors},
        labels={n: torch.cat([b.labels[n] for b in batches]) for n in first.labels},
        earlier={t: _one_after_another([b.earlier[t] for b in batches]) for t in first.earlier},
    )


def _one_after_another(parts: Sequence[Earlier]) -> Earlier:
    return Earlier(*(torch.cat(columns) for columns in zip(*widened(parts), strict=True)))


class Steps:
    """The rows of all steps of a cohort, padded to the longest step of a merchant.

    Attributes:
        batch: Shape (K, M, B, ...) each. Items, which are those of all steps: (M, I, ...).
    """

    def __init__(
        self, drawn: Sequence[Drawn], labels: Mapping[str, int], dense: Callable[[Batch], Tensor]
    ) -> None:
        """Put the rows of merchants side by side.

        Args:
            drawn: One per merchant, all with K steps.
            labels: Task -> numbers of a label: 0 for one without an axis of its own.
            dense: What numbers are for the model, computed for all steps at once.
        """
        self._drawn = drawn
        self._counts = torch.tensor([d.counts for d in drawn]).T  # (K, M)
        steps, merchants = self._counts.shape
        self._longest = self._counts.amax(1).tolist()
        self._shape = (steps, merchants, max(self._longest))
        self._places = self._find_places()
        first = drawn[0].batch
        self.batch = Batch(
            numeric=self._placed([d.batch.numeric for d in drawn], 0.0),
            ids={name: self._placed(_widened([d.batch.ids[name] for d in drawn]), 0) for name in first.ids},
            vectors={
                name: self._placed([d.batch.vectors[name] for d in drawn], 0.0) for name in first.vectors
            },
            labels={task: self._labels(task, width) for task, width in labels.items()},
            items=catalogues_of([d.batch for d in drawn]),
            earlier={
                task: self._earlier(parts) for task, parts in earlier_of([d.batch for d in drawn]).items()
            },
        )
        self._bought = {task: longest_list(earlier) for task, earlier in self.batch.earlier.items()}
        self.batch = replace(self.batch, dense=dense(self.batch))
        kind = first.numeric.dtype
        weights = [torch.ones(len(d.batch), dtype=kind) if d.weight is None else d.weight for d in drawn]
        self.weight = self._placed(weights, 0.0)
        self._unit: Tensor | None = None
        if drawn[0].unit is not None:
            self._unit = self._placed([d.unit for d in drawn if d.unit is not None], -1)

    def __len__(self) -> int:
        return self._shape[0]

    def __getitem__(self, step: int) -> Rows:
        longest = self._longest[step]

        def cut(values: Tensor) -> Tensor:
            return values[step, :, :longest]

        batch = self.batch
        return Rows(
            batch=Batch(
                numeric=cut(batch.numeric),
                ids={name: cut(ids) for name, ids in batch.ids.items()},
                vectors={name: cut(vectors) for name, vectors in batch.vectors.items()},
                labels={name: cut(labels) for name, labels in batch.labels.items()},
                items=batch.items,
                earlier={
                    task: Earlier(*(cut(column)[..., : self._bought[task][step]] for column in earlier))
                    for task, earlier in batch.earlier.items()
                },
                dense=None if batch.dense is None else cut(batch.dense),
            ),
            weight=cut(self.weight),
            unit=None if self._unit is None else cut(self._unit),
            units=tuple(d.units[step] for d in self._drawn) if self._unit is not None else (),
        )

    def __iter__(self) -> Iterator[Rows]:
        return (self[step] for step in range(len(self)))

    def _find_places(self) -> Tensor | None:
        """Where the rows of all merchants, one after the other, belong; None where no place stays empty."""
        steps, merchants, longest = self._shape
        counts = self._counts.T.reshape(-1)  # merchant by merchant
        if bool((counts == longest).all()):
            return None
        first = (torch.arange(steps) * merchants + torch.arange(merchants).unsqueeze(1)).reshape(-1) * longest
        before = counts.cumsum(0) - counts
        return torch.arange(int(counts.sum())) + torch.repeat_interleave(first - before, counts)

    def _placed(self, parts: Sequence[Tensor], empty: float) -> Tensor:
        """Return the rows of all merchants at their places, (K, M, B, ...)."""
        steps, merchants, longest = self._shape
        trailing = parts[0].shape[1:]
        if self._places is None:
            return torch.stack([part.view(steps, longest, *trailing) for part in parts], 1)
        out = parts[0].new_full((steps * merchants * longest, *trailing), empty)
        return out.index_copy_(0, self._places, torch.cat(list(parts))).view(
            steps, merchants, longest, *trailing
        )

    def _earlier(self, parts: Sequence[Earlier]) -> Earlier:
        return Earlier(*(self._placed(columns, 0) for columns in zip(*parts, strict=True)))

    def _labels(self, task: str, width: int) -> Tensor:
        kind = self._drawn[0].batch.numeric.dtype
        trailing = (width,) if width else ()
        parts = [
            d.batch.labels[task]
            if task in d.batch.labels
            else torch.full((len(d.batch), *trailing), torch.nan, dtype=kind)
            for d in self._drawn
        ]
        return self._placed(parts, torch.nan)


def _widened(ids: Sequence[Tensor]) -> list[Tensor]:
    """Return the ids of all merchants, (N,) or (N, L), with as many places as the longest has."""
    if ids[0].dim() == 1:
        return list(ids)
    longest = max(i.shape[1] for i in ids)
    return [torch.nn.functional.pad(i, (0, longest - i.shape[1])) for i in ids]
