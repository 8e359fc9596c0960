"""From a batch of encoded rows to the tensors a bottom reads.

Notation: B rows, N numeric features, L values of a bag or sequence, D width. Every tensor may have a
leading merchant axis; only trailing axes are named here.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from . import schema
from .blocks import Named
from .layers import Embedding, Linear, side_by_side
from .repeats import Earlier
from .sequences import ENCODERS
from .sequences.mean import mean_of_present


class Contest(NamedTuple):
    """Against which items the chosen ones stand in a training step.

    Attributes:
        chosen: Positions in the catalogue of what the rows chose, int64, (..., B); 0 where there is no label.
        drawn: Positions of the items of a sampled softmax, the same for all rows, int64, (S,); None for all.
    """

    chosen: Tensor
    drawn: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Encoded rows, as `client/data/encoding.py` writes them.

    Attributes:
        numeric: Scaled values of the numeric features in order of name (`schema.Features`), NaN where
            missing, shape (..., B, N).
        ids: Rows of embedding tables, 0 for missing or padding. Categorical: shape (..., B). Multi and
            text: shape (..., B, L). A sequence `s` described by a feature `f`: under `s.f`, (..., B, L).
        vectors: Vector features, zeros where missing, shape (..., B, length).
        labels: Per task. Binary, regression, count: shape (..., B), NaN where there is no label; regression
            in scaled units. Multiclass and retrieval: class or item index as float, NaN where there is none.
            Multilabel: shape (..., B, labels), NaN in the whole row where there is none.
        items: Per retrieval task with content: the items of the catalogue, encoded like rows, with the
            features of its content alone.
        earlier: Per retrieval task with repeats: what the rows' shoppers bought before.
        contests: Per retrieval task, in training steps only; the label of such a task is then 0, which is
            the place of the chosen item in its contest.
        dense: What `FeatureEncoder.dense` makes of the rows, where it was computed before: it has no
            parameters. None where it was not.
    """

    numeric: Tensor
    ids: Mapping[str, Tensor] = field(default_factory=dict)
    vectors: Mapping[str, Tensor] = field(default_factory=dict)
    labels: Mapping[str, Tensor] = field(default_factory=dict)
    items: Mapping[str, "Batch"] = field(default_factory=dict)
    earlier: Mapping[str, Earlier] = field(default_factory=dict)
    contests: Mapping[str, Contest] = field(default_factory=dict)
    dense: Tensor | None = None

    def __len__(self) -> int:
        return self.numeric.shape[-2]

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> "Batch":
        """Return the batch on another device, its floats in `dtype`."""
        return replace(
            self,
            numeric=self.numeric.to(device, dtype),
            ids={name: t.to(device) for name, t in self.ids.items()},
            vectors={name: t.to(device, dtype) for name, t in self.vectors.items()},
            labels={name: t.to(device, dtype) for name, t in self.labels.items()},
            items={task: items.to(device, dtype) for task, items in self.items.items()},
            earlier={task: earlier.to(device, dtype) for task, earlier in self.earlier.items()},
        )

    def select(self, rows: Tensor) -> "Batch":
        """Return the features of some rows, (B,), in their order, without labels."""
        return Batch(
            numeric=self.numeric.index_select(-2, rows),
            ids={name: t.index_select(0, rows).long() for name, t in self.ids.items()},
            vectors={name: t.index_select(0, rows) for name, t in self.vectors.items()},
        )


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What a bottom reads.

    Attributes:
        dense: Numbers with their hinges, steps and missing flags, shape (..., B, dense_width).
        embedded: Vectors of all other features side by side, shape (..., B, embedded_width).
    """

    dense: Tensor
    embedded: Tensor

    @property
    def joined(self) -> Tensor:
        """Both side by side, shape (..., B, dense_width + embedded_width)."""
        return torch.cat([self.dense, self.embedded], -1) if self.embedded.shape[-1] else self.dense


class Column(NamedTuple):
    """One column of `Encoded.joined`: the feature that it comes from, and which part of it it is."""

    feature: str
    part: str


class FeatureEncoder(nn.Module):
    """One embedding per declared feature; numbers pass through fixed public transforms.

    Attributes:
        columns: What the columns of `Encoded.joined` are, in their order.

    Shapes:
        input: a `Batch` of B rows; output: `Encoded`, (..., B, dense_width) and (..., B, embedded_width).
    """

    def __init__(self, features: Mapping[str, schema.Feature], *, generator: torch.Generator) -> None:
        super().__init__()
        self._numeric = {n: f for n, f in features.items() if isinstance(f, schema.Numeric)}
        self._categorical = tuple(n for n, f in features.items() if isinstance(f, schema.Categorical))
        self._bags = tuple(n for n, f in features.items() if isinstance(f, schema.Multi | schema.Text))
        self._vectors = tuple(n for n, f in features.items() if isinstance(f, schema.Vector))
        self._hidden = {
            n: f.dropout for n, f in features.items() if isinstance(f, schema.Vector) and f.dropout
        }
        self._sequences = {n: f.of for n, f in features.items() if isinstance(f, schema.Sequence)}
        self.tables = Named(
            {
                name: Embedding(f.buckets, f.width, generator=generator)
                for name, f in features.items()
                if isinstance(f, schema.Categorical | schema.Multi | schema.Text)
            }
        )
        self.projections = Named(
            {
                name: Linear(f.length, f.width, generator=generator, bias=False)
                for name, f in features.items()
                if isinstance(f, schema.Vector)
            }
        )
        width = {n: f.width for n, f in features.items() if not isinstance(f, schema.Sequence)}
        encoders = {
            name: ENCODERS[f.encoder](f, tuple(width[of] for of in f.of), generator)
            for name, f in features.items()
            if isinstance(f, schema.Sequence)
        }
        self.sequences = Named({n: e for n, e in encoders.items() if isinstance(e, nn.Module)})
        self._widths = width | {n: encoder.width for n, encoder in encoders.items()}
        self.dense_width = sum(f.width for f in self._numeric.values())
        self.embedded_width = sum(self._widths.values()) - self.dense_width
        self.columns = tuple(
            Column(name, part) for name, f in self._numeric.items() for part in _parts(f)
        ) + tuple(
            Column(name, str(position))
            for name in (*self._categorical, *self._bags, *self._vectors, *self._sequences)
            for position in range(self._widths[name])
        )

    def forward(self, batch: Batch) -> Encoded:
        """Return the dense and the embedded part of `batch`."""
        dense = self.dense(batch) if batch.dense is None else batch.dense
        return Encoded(dense=dense, embedded=self._embedded(batch, self._widths))

    def dense(self, batch: Batch) -> Tensor:
        """Return numbers with their hinges, steps and missing flags, shape (..., B, dense_width)."""
        return self._dense(batch, self._numeric)

    def described(self, batch: Batch, names: Collection[str]) -> Tensor:
        """Return what some features alone make of a batch that has no others, shape (..., B, width)."""
        numeric = {n: f for n, f in self._numeric.items() if n in names}
        return torch.cat([self._dense(batch, numeric), self._embedded(batch, names)], -1)

    def described_width(self, names: Collection[str]) -> int:
        """Return the width of what `described` returns."""
        return sum(self._widths[name] for name in names)

    @property
    def hides(self) -> bool:
        """Whether `with_hidden` may hide anything."""
        return bool(self._hidden)

    def with_hidden(self, batch: Batch, uniform: Callable[[Tensor], Tensor]) -> Batch:
        """Return the batch as a training step sees it: some rows without some of their vectors.

        Whether a vector of a row is hidden is drawn for it alone, with the chance that the contract names
        (`schema.Vector.dropout`). What is hidden is missing; what is left is not scaled, since rows that
        never had a vector are to look the same. Serving and evaluation do not call this.

        Args:
            batch: Encoded rows.
            uniform: Fills a tensor with independent draws from U[0, 1) and returns it.

        Source: Neverova et al. (2016), "ModDrop: Adaptive Multi-Modal Gesture Recognition", section 4.3.
        """
        vectors = dict(batch.vectors)
        for name, chance in self._hidden.items():
            kept = uniform(vectors[name].new_empty(*vectors[name].shape[:-1], 1)) >= chance
            vectors[name] = vectors[name] * kept
        return replace(batch, vectors=vectors) if self._hidden else batch

    def _dense(self, batch: Batch, features: Mapping[str, schema.Numeric]) -> Tensor:
        raw = batch.numeric[..., : len(features)]
        values = raw.nan_to_num(0.0)
        if all(f.width == 1 for f in features.values()):
            return values
        missing = raw.isnan()
        columns: list[Tensor] = []
        for position, feature in enumerate(features.values()):
            value, absent = values[..., position], missing[..., position]
            present = (~absent).to(raw.dtype)
            columns.append(value)
            columns += [(value - knot).clamp_min(0) * present for knot in feature.hinges]
            columns += [(value > knot).to(raw.dtype) * present for knot in feature.steps]
            if feature.flag_missing:
                columns.append(absent.to(raw.dtype))
        return torch.stack(columns, -1)

    def _embedded(self, batch: Batch, names: Collection[str]) -> Tensor:
        categorical = [name for name in self._categorical if name in names]
        parts = [self._categories(batch, categorical)] if categorical else []
        parts += [
            mean_of_present(self.tables[name](batch.ids[name]), batch.ids[name])
            for name in self._bags
            if name in names
        ]
        parts += [self.projections[name](batch.vectors[name]) for name in self._vectors if name in names]
        parts += [
            self._events(batch, name, described)
            for name, described in self._sequences.items()
            if name in names
        ]
        return torch.cat(parts, -1) if parts else batch.numeric[..., :0]

    def _categories(self, batch: Batch, names: list[str]) -> Tensor:
        tables = [t for name in names if isinstance(t := self.tables[name], Embedding)]
        return side_by_side(tables, [batch.ids[name] for name in names])

    def _events(self, batch: Batch, name: str, described: tuple[str, ...]) -> Tensor:
        ids = [batch.ids[f"{name}.{of}"] for of in described]
        vectors = [self.tables[of](i) for of, i in zip(described, ids, strict=True)]
        encoded: Tensor = self.sequences[name](vectors, ids)
        return encoded


def _parts(feature: schema.Numeric) -> list[str]:
    """Return the columns of a number, in the order of `FeatureEncoder`'s dense part."""
    knots = [f"hinge {knot}" for knot in feature.hinges] + [f"step {knot}" for knot in feature.steps]
    return ["value", *knots, *(["missing"] if feature.flag_missing else [])]
