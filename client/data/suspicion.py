"""What looks as if it knew the answer. Notation: B rows under inspection."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from shared_model import schema
from shared_model.schema import Federation

from .dataset import Dataset
from .missing import absent
from .table import KIND as READY

SUSPICIOUS = 0.98
"""A feature that alone reaches this AUC, or this absolute correlation, probably knows the answer."""
DUPLICATED = 0.01
"""So large a share of test rows that also train, with features and labels, is suspicious."""
INSPECTED = 20_000
"""At most so many rows are inspected; the newest ones."""
_FEWEST = 20


def suspicions(dataset: Dataset, federation: Federation) -> Iterator[str]:
    """Yield a sentence for every feature that alone tells a label, and for rows and labels out of place."""
    for name, task in dataset.tasks.items():
        if isinstance(task, schema.Binary | schema.Regression | schema.CountTask):
            yield from _knowing_features(dataset, name, task, federation)
    for name, count in dataset.about.early.items():
        if count:
            yield f"{name}: {count} labels were known before the moment at which they would be predicted"
    if READY in dataset.kinds and (share := _duplicated_share(dataset)) > DUPLICATED:
        yield f"{share:.1%} of the test rows also occur among the training rows, with features and labels"


def _knowing_features(
    dataset: Dataset, name: str, task: schema.Task, federation: Federation
) -> Iterator[str]:
    rows = dataset.rows("train", task=name)[-INSPECTED:]
    batch = dataset.batch(rows, tasks=(name,))
    labels = batch.labels[name].double().numpy()
    numeric = [n for n, f in federation.features.items() if isinstance(f, schema.Numeric)]
    binary = isinstance(task, schema.Binary)
    for slot, missing in absent(batch, federation.features).items():
        if binary and _strength(~missing, labels, binary=True) > SUSPICIOUS:
            yield f"{name}: whether {slot} is there almost tells the label; it may be written afterwards"
    for position, slot in enumerate(numeric):
        values = batch.numeric[:, position].double().numpy()
        there = ~np.isnan(values)
        if _strength(values[there], labels[there], binary=binary) > SUSPICIOUS:
            yield f"{name}: {slot} alone predicts the label almost perfectly; it may hold the answer"
    categorical = [n for n, f in federation.features.items() if isinstance(f, schema.Categorical)]
    for slot in categorical:
        if _strength(*_held_out_rates(batch.ids[slot].numpy(), labels), binary=binary) > SUSPICIOUS:
            yield f"{name}: {slot} alone predicts the label almost perfectly; it may hold the answer"


def _strength(values: NDArray[np.generic], labels: NDArray[np.float64], *, binary: bool) -> float:
    """AUC (of the better direction) or absolute correlation; 0 where there is too little to tell."""
    if len(values) < _FEWEST or (values == values[0]).all() or (labels == labels[0]).all():
        return 0.0
    if not binary:
        return float(abs(np.corrcoef(values.astype(np.float64), labels)[0, 1]))
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if min(positives, negatives) < _FEWEST // 4:
        return 0.0
    ranks = stats.rankdata(values)[labels == 1].sum()
    auc = (ranks - positives * (positives + 1) / 2) / (positives * negatives)
    return float(max(auc, 1 - auc))


def _held_out_rates(
    ids: NDArray[np.int64], labels: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean label of each category in the first half of the rows, given to the second half; and its labels.

    Half a pseudo-row of the overall mean keeps categories that occur once from knowing their own label.
    """
    half = len(ids) // 2
    if half < _FEWEST:
        return labels[:0], labels[:0]
    top = int(ids.max()) + 1
    total = np.bincount(ids[:half], weights=labels[:half], minlength=top) + 0.5 * labels[:half].mean()
    rates = total / (np.bincount(ids[:half], minlength=top) + 0.5)
    return rates[ids[half:]], labels[half:]


def _duplicated_share(dataset: Dataset) -> float:
    """Share of the test rows that equal a training row; of many rows only the newest are compared."""
    train, test = (_fingerprints(dataset, dataset.rows(part)[-INSPECTED:]) for part in ("train", "test"))
    return float(np.isin(test, train).mean()) if len(test) else 0.0


def _fingerprints(dataset: Dataset, rows: Tensor) -> NDArray[np.void]:
    batch = dataset.batch(rows)
    arrays = [batch.numeric, *batch.ids.values(), *batch.vectors.values(), *batch.labels.values()]
    flat = np.concatenate([t.double().reshape(len(rows), -1).numpy() for t in arrays], 1)
    flat = np.ascontiguousarray(np.nan_to_num(flat, nan=-1e300))
    return flat.view(np.dtype((np.void, flat.itemsize * flat.shape[1]))).ravel()
