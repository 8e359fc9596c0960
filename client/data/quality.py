"""What a merchant should know about its data before it joins. All of it stays at the merchant.

Notation: N rows, B rows under inspection.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from client.config import MerchantConfig
from shared_model import library, schema
from shared_model.features import Batch
from shared_model.schema import Federation

from .constant import Score, constant_score
from .dataset import Dataset
from .reading import TableReading, TaskStatus
from .split import PARTS
from .table import KIND as READY

SUSPICIOUS = 0.98
"""A feature that alone reaches this AUC, or this absolute correlation, probably knows the answer."""
DUPLICATED = 0.01
"""So large a share of test rows that also train, with features and labels, is suspicious."""
INSPECTED = 20_000
"""At most so many rows are inspected for suspicions; the newest ones."""
_PIECE = 50_000
_FEWEST = 20


@dataclass(frozen=True, kw_only=True)
class LabelFacts:
    """The labels of one task.

    Attributes:
        rows: Part of the split to number of labels that count.
        mean: Part to their mean: share of positives, mean in scaled units, mean count; None for a choice
            among many, and where there are none.
        constant: What a predictor reaches that ignores all features; None without labels to try it on.
    """

    rows: Mapping[str, int]
    mean: Mapping[str, float | None]
    constant: Score | None


@dataclass(frozen=True, kw_only=True)
class Quality:
    """The whole report.

    Attributes:
        merchant: Its name.
        tier: Its declared tier.
        shoppers: Distinct shoppers among the training rows.
        readings: What was read and dropped, per table.
        status: Task to whether it is on, and if not, why.
        rows: Row kind to part to number of rows.
        missing: Slot to the share of rows without a value, among the kinds of rows that have such a column;
            None where no kind has it.
        labels: Task to facts, for tasks that are on.
        suspicions: What looks as if it knew the answer, in words.
        refusals: Why this data would be refused, in words; empty if it would not.
    """

    merchant: str
    tier: str
    shoppers: int
    readings: tuple[TableReading, ...]
    status: Mapping[str, TaskStatus]
    rows: Mapping[str, Mapping[str, int]]
    missing: Mapping[str, float | None]
    labels: Mapping[str, LabelFacts]
    suspicions: tuple[str, ...]
    refusals: tuple[str, ...]


def inspect(dataset: Dataset, config: MerchantConfig, federation: Federation) -> Quality:
    """Return what is worth knowing about an encoded dataset."""
    labels = {name: _label_facts(dataset, name, task) for name, task in dataset.tasks.items()}
    shoppers = count_shoppers(dataset)
    return Quality(
        merchant=config.name,
        tier=config.tier,
        shoppers=shoppers,
        readings=dataset.readings,
        status=dataset.status,
        rows={kind: {part: len(dataset.rows(part, kind=kind)) for part in PARTS} for kind in dataset.kinds},
        missing=missing_shares(dataset, federation),
        labels=labels,
        suspicions=tuple(_suspicions(dataset, federation)),
        refusals=tuple(_refusals(labels, shoppers, config, federation)),
    )


def count_shoppers(dataset: Dataset) -> int:
    """Return the number of distinct shoppers among training rows; rows that belong to items do not count."""
    shoppers = {k for k in dataset.kinds if k == READY or library.ROW_KINDS[k].owner == "shopper"}
    found = [dataset.unit[dataset.rows("train", kind=kind).numpy()] for kind in shoppers]
    return len(np.unique(np.concatenate(found))) if found else 0


# --- missing values -----------------------------------------------------------------------------------


def missing_shares(dataset: Dataset, federation: Federation) -> dict[str, float | None]:
    """Return the share of rows without a value for every slot (see `Quality.missing`)."""
    numeric = [n for n, f in federation.features.items() if isinstance(f, schema.Numeric)]
    empty: dict[str, int] = {}
    asked: dict[str, int] = {}
    for kind, rows in _by_kind(dataset):
        absent = _absent(dataset.batch(rows, tasks=()), numeric)
        for slot, values in absent.items():
            offered = slot in dataset.about.slots[kind]
            empty[slot] = empty.get(slot, 0) + (int(values.sum()) if offered else 0)
            asked[slot] = asked.get(slot, 0) + (len(rows) if offered else 0)
    return {slot: empty[slot] / asked[slot] if asked[slot] else None for slot in asked}


def _by_kind(dataset: Dataset) -> Iterator[tuple[str, Tensor]]:
    for position, kind in enumerate(dataset.kinds):
        rows = torch.from_numpy(np.flatnonzero(dataset.kind == position))
        for start in range(0, len(rows), _PIECE):
            yield kind, rows[start : start + _PIECE]


def _absent(batch: Batch, numeric: list[str]) -> dict[str, NDArray[np.bool_]]:
    """Slot to which rows have no value, shape (B,)."""
    numbers = {name: batch.numeric[:, i].isnan() for i, name in enumerate(numeric)}
    ids = {name: (values.reshape(len(values), -1) == 0).all(1) for name, values in batch.ids.items()}
    vectors = {name: (values == 0).all(1) for name, values in batch.vectors.items()}
    return {slot: found.numpy() for slot, found in {**numbers, **ids, **vectors}.items()}


# --- labels -------------------------------------------------------------------------------------------


def _label_facts(dataset: Dataset, name: str, task: schema.Task) -> LabelFacts:
    found = {part: _labels(dataset, name, dataset.rows(part, task=name)) for part in PARTS}
    told = not isinstance(task, schema.Multiclass | schema.Retrieval)
    items = len(dataset.catalogues.get(name, ()))
    return LabelFacts(
        rows={part: len(values) for part, values in found.items()},
        mean={part: float(v.mean()) if told and len(v) else None for part, v in found.items()},
        constant=constant_score(task, found["train"], found["test"], items=items),
    )


def _labels(dataset: Dataset, task: str, rows: Tensor) -> NDArray[np.float64]:
    return dataset.batch(rows, tasks=(task,)).labels[task].numpy().astype(np.float64)


# --- suspicions ---------------------------------------------------------------------------------------


def _suspicions(dataset: Dataset, federation: Federation) -> Iterator[str]:
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
    batch, labels = dataset.batch(rows, tasks=()), _labels(dataset, name, rows)
    if len(rows) < _FEWEST:
        return
    numeric = [n for n, f in federation.features.items() if isinstance(f, schema.Numeric)]
    binary = isinstance(task, schema.Binary)
    for slot, absent in _absent(batch, numeric).items():
        if binary and _strength(~absent, labels, binary=True) > SUSPICIOUS:
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


# --- refusals -----------------------------------------------------------------------------------------


def _refusals(
    labels: Mapping[str, LabelFacts], shoppers: int, config: MerchantConfig, federation: Federation
) -> Iterator[str]:
    needed = federation.tiers[config.tier].shoppers
    if shoppers < needed:
        yield (
            f"tier {config.tier} needs {needed} shoppers before validation_from, here are {shoppers}; "
            "declare a smaller tier in [merchant] tier"
        )
    if not labels:
        yield "no task is on; the reasons stand beside the tasks"
    elif not any(facts.rows["train"] for facts in labels.values()):
        yield "no training row has a label; move validation_from, or export an earlier time too"
