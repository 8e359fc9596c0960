"""From typed columns to the arrays that a model reads, exactly as `shared_model.features.Batch` says.

Everything here is a fixed public function of the contract and the value itself: no statistic of the
merchant enters. Letters: B rows, N numeric features, L values of a bag or sequence.

A frame of features has a column per slot (`client.mapping.feature_slots`); a slot without a column is
missing everywhere.
"""

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared_model import schema
from shared_model.errors import DataError
from shared_model.schema import Federation

from .arrays import Array
from .hashing import bucket, bucket_column, canonical_text, digest, grams

Where = Callable[[int], str]
"""Names a row for a person."""

_TRANSFORMS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda x: x,
    "log1p": lambda x: np.log1p(np.maximum(x, 0.0)),
    "signed_log1p": lambda x: np.sign(x) * np.log1p(np.abs(x)),
}


# --- features -----------------------------------------------------------------------------------------


def encode_features(frame: pl.DataFrame, federation: Federation) -> dict[str, Array]:
    """Return `numeric` (B, N), `ids.<name>` (B,) or (B, L), `vectors.<name>` (B, length).

    Args:
        frame: A column per slot: text or numbers for a categorical feature, float for a numeric one, text for
            a text, lists of text for a bag and for a sequence, lists of float for a vector.
        federation: The contract.
    """
    key = federation.federation.hash_key
    numeric: list[NDArray[np.float32]] = []
    arrays: dict[str, Array] = {}
    for name, feature in federation.features.items():
        if isinstance(feature, schema.Numeric):
            numeric.append(_scaled_column(frame, name, feature))
        elif isinstance(feature, schema.Categorical):
            arrays[f"ids.{name}"] = _category(frame, name, feature, key)
        elif isinstance(feature, schema.Vector):
            arrays[f"vectors.{name}"] = _vector(frame, name, feature)
        elif isinstance(feature, schema.Sequence):
            for of in feature.of:
                described = federation.features[of]
                assert isinstance(described, schema.Categorical)  # the contract's parser saw to it
                lists = _lists(frame, f"{name}.{of}")
                arrays[f"ids.{name}.{of}"] = _events(lists, of, described.buckets, feature.max_length, key)
        elif isinstance(feature, schema.Multi):
            lists = _lists(frame, name).list.unique(maintain_order=True)
            arrays[f"ids.{name}"] = _bags(lists, name, feature.buckets, feature.max_values, key)
        else:
            arrays[f"ids.{name}"] = _text(frame, name, feature, key)
    table = np.stack(numeric, 1) if numeric else np.zeros((len(frame), 0), np.float32)
    return {"numeric": table, **arrays}


def scale(values: Array, feature: schema.Numeric | schema.Regression) -> NDArray[np.float64]:
    """Return (transform(x) - center) / scale in float64; NaN stays NaN."""
    transformed: NDArray[np.float64] = _TRANSFORMS[feature.transform](values.astype(np.float64))
    return (transformed - feature.center) / feature.scale


def encode_numbers(values: Array, feature: schema.Numeric) -> NDArray[np.float32]:
    """Return the values of a numeric feature as a model reads them, NaN where missing."""
    return np.clip(scale(values, feature), -feature.clip, feature.clip).astype(np.float32)


def _scaled_column(frame: pl.DataFrame, name: str, feature: schema.Numeric) -> NDArray[np.float32]:
    if name not in frame.columns:
        return np.full(len(frame), np.nan, np.float32)
    return encode_numbers(frame[name].cast(pl.Float64).to_numpy(), feature)


def _category(frame: pl.DataFrame, name: str, feature: schema.Categorical, key: str) -> NDArray[np.int32]:
    if name not in frame.columns:
        return np.zeros(len(frame), np.int32)
    return bucket_column(frame[name], name=name, buckets=feature.buckets, key=key)


def _lists(frame: pl.DataFrame, slot: str) -> pl.Series:
    if slot not in frame.columns:
        return pl.Series(slot, [None], dtype=pl.List(pl.String)).new_from_index(0, len(frame))
    return frame[slot]


def _bags(lists: pl.Series, name: str, buckets: int, length: int, key: str) -> NDArray[np.int32]:
    """The first `length` present members of every list, hashed; 0 behind them."""
    flat = (
        pl.DataFrame({"row": np.arange(len(lists)), "value": lists})
        .explode("value")
        .filter(pl.col("value").is_not_null())
    )
    ids = bucket_column(flat["value"], name=name, buckets=buckets, key=key)
    rows = flat["row"].to_numpy()[ids > 0]
    return _padded(rows, ids[ids > 0], len(lists), length)


def _events(lists: pl.Series, name: str, buckets: int, length: int, key: str) -> NDArray[np.int32]:
    """The first `length` members of every list, hashed; one that is missing keeps its place, which is 0.

    So the features of one event stand in the same place.
    """
    flat = pl.DataFrame({"row": np.arange(len(lists)), "value": lists.list.head(length)}).explode("value")
    ids = bucket_column(flat["value"], name=name, buckets=buckets, key=key)
    return _padded(flat["row"].to_numpy(), ids, len(lists), length)


def _padded(rows: Array, ids: NDArray[np.int32], count: int, length: int) -> NDArray[np.int32]:
    """Place ids, given in row order, from the left into their rows."""
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = place < length
    padded = np.zeros((count, length), np.int32)
    padded[rows[kept], place[kept]] = ids[kept]
    return padded


def _text(frame: pl.DataFrame, name: str, feature: schema.Text, key: str) -> NDArray[np.int32]:
    padded = np.zeros((len(frame), feature.max_grams), np.int32)
    if name not in frame.columns:
        return padded
    distinct = frame[name].unique(maintain_order=True)
    seen: dict[str, int] = {}
    table = np.zeros((len(distinct), feature.max_grams), np.int32)
    for row, text in enumerate(distinct):
        for place, gram in enumerate(grams(text, feature)):
            if gram not in seen:
                seen[gram] = bucket(gram, name=name, buckets=feature.buckets, key=key)
            table[row, place] = seen[gram]
    found: NDArray[np.int32] = table[_positions(frame[name], distinct)]
    return found


def _positions(values: pl.Series, distinct: pl.Series) -> Array:
    numbers = pl.Series(np.arange(len(distinct)))
    return values.replace_strict(distinct, numbers, return_dtype=pl.Int64).to_numpy()


def _vector(frame: pl.DataFrame, name: str, feature: schema.Vector) -> NDArray[np.float32]:
    if name not in frame.columns:
        return np.zeros((len(frame), feature.length), np.float32)
    values = frame[name]
    wrong = (values.list.len() != feature.length).fill_null(False)
    if wrong.any():
        found = values.list.len()[wrong.arg_max() or 0]
        raise DataError(
            f"feature {name}: a vector of {found} numbers was found; the contract says {feature.length}. "
            "Map a column of that length, or agree on another contract."
        )
    zeros = pl.Series([[0.0] * feature.length], dtype=pl.List(pl.Float64))
    filled = pl.DataFrame({name: values}).select(pl.col(name).fill_null(pl.lit(zeros).first())).to_series()
    flat = filled.explode(empty_as_null=False).cast(pl.Float32).to_numpy()
    vectors: NDArray[np.float32] = flat.reshape(len(frame), feature.length)
    return np.nan_to_num(vectors, posinf=0.0, neginf=0.0)


# --- labels -------------------------------------------------------------------------------------------


def encode_label(name: str, task: schema.Task, values: pl.Series, where: Where) -> Array:
    """Return the labels of a task, NaN where missing, float32 (B,); multilabel (B, labels).

    A retrieval label stays a 64-bit hash of the item here, uint64 (B,) and 0 where missing: the catalogue,
    into which it will point, is known only at the end (`catalogue.py`).

    Args:
        name: Of the task.
        task: Its declaration.
        values: Float for binary, regression and count; text for multiclass and retrieval; lists of text for
            multilabel.
        where: Names a row in an error.

    Raises:
        DataError: A label lies outside what the task allows.
    """
    if isinstance(task, schema.Retrieval):
        return item_hashes(values)
    if isinstance(task, schema.Multiclass):
        return _classes(name, task, values, where)
    if isinstance(task, schema.Multilabel):
        return _label_sets(name, task, values, where)
    numbers = values.cast(pl.Float64).to_numpy()
    if isinstance(task, schema.Binary):
        _refuse(name, ~np.isnan(numbers) & (numbers != 0) & (numbers != 1), "0 or 1 (false or true)", where)
        return np.asarray(numbers, np.float32)
    if isinstance(task, schema.CountTask):
        _refuse(name, numbers < 0, "a number of events, 0 or more", where)
        return np.asarray(np.minimum(numbers, task.high), np.float32)
    scaled: NDArray[np.float32] = scale(np.clip(numbers, task.low, task.high), task).astype(np.float32)
    return scaled


def item_hashes(items: pl.Series) -> NDArray[np.uint64]:
    """Return a 64-bit hash of every item id, text or codes of text, 0 where missing."""
    distinct = items.unique()
    numbers = pl.Series([item_hash(item) for item in distinct], dtype=pl.UInt64)
    codes = items.to_physical()
    return codes.replace_strict(distinct.to_physical(), numbers, return_dtype=pl.UInt64).to_numpy()


def item_hash(item: str | None) -> int:
    """Return a 64-bit hash of an item id, which is taken letter by letter; 0 where missing."""
    return digest(item, "item") or 1 if item else 0


def _classes(name: str, task: schema.Multiclass, values: pl.Series, where: Where) -> Array:
    indices = _indices(values, task.classes)
    _refuse(name, indices == -1, f"one of {', '.join(task.classes)}", where)
    return np.where(indices < 0, np.nan, indices).astype(np.float32)


def _label_sets(name: str, task: schema.Multilabel, values: pl.Series, where: Where) -> Array:
    flat = pl.DataFrame({"row": np.arange(len(values)), "value": values}).explode("value")
    flat = flat.filter(pl.col("value").is_not_null())
    indices, rows = _indices(flat["value"], task.labels), flat["row"].to_numpy()
    wrong = np.zeros(len(values), bool)
    wrong[rows[indices == -1]] = True
    _refuse(name, wrong, f"any of {', '.join(task.labels)}", where)
    sets = np.zeros((len(values), len(task.labels)), np.float32)
    sets[rows[indices >= 0], indices[indices >= 0]] = 1.0
    sets[values.is_null().to_numpy()] = np.nan
    return sets


def _indices(values: pl.Series, names: tuple[str, ...]) -> NDArray[np.int64]:
    """Position of every value among `names`, in canonical form; -1 where unknown, -2 where missing."""
    position: Mapping[str, int] = {"": -2} | {canonical_text(n): i for i, n in enumerate(names)}
    distinct = values.unique()
    found = pl.Series([position.get(canonical_text(v), -1) for v in distinct], dtype=pl.Int64)
    return values.replace_strict(distinct, found, return_dtype=pl.Int64).to_numpy()


def _refuse(name: str, wrong: Array, allowed: str, where: Where) -> None:
    if wrong.any():
        raise DataError(
            f"task {name}: {int(wrong.sum())} labels are not what the contract allows, which is {allowed}; "
            f"the first is in {where(int(wrong.argmax()))}. Correct the column, or map another one."
        )
