"""What a merchant should know about its data before it joins. All of it stays at the merchant."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from client.config import MerchantConfig
from shared_model import library, schema
from shared_model.errors import ConfigError
from shared_model.privacy.words import meaning, too_likely
from shared_model.schema import Federation

from .constant import Score, constant_score
from .crowds import crowd_share, warning
from .dataset import Dataset
from .missing import missing_shares
from .private_checks import check_private_split, check_private_table
from .reading import TableReading, TaskStatus
from .split import PARTS, Part
from .suspicion import suspicions
from .table import KIND as READY


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
            None where no kind has it. Also what is missing of the items that a tower reads.
        labels: Task to facts, for tasks that are on.
        suspicions: What looks as if it knew the answer, in words.
        crowds: Which key looks as if many persons shared it, in words.
        refusals: Why this data would be refused, in words; empty if it would not.
        privacy: What taking part means for a shopper, in a sentence.
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
    crowds: tuple[str, ...]
    refusals: tuple[str, ...]
    privacy: str


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
        suspicions=tuple(suspicions(dataset, federation)),
        crowds=tuple(_crowds(dataset, config)),
        refusals=tuple(_refusals(labels, shoppers, config, federation)),
        privacy=_promise(config, federation, shoppers),
    )


def count_shoppers(dataset: Dataset) -> int:
    """Return the number of distinct shoppers among training rows; rows that belong to items do not count."""
    return len(np.unique(_shoppers(dataset, "train")))


def _shoppers(dataset: Dataset, *parts: Part) -> NDArray[np.int64]:
    """The shopper of every row of some parts of the split that has one."""
    kinds = [k for k in dataset.kinds if k == READY or library.ROW_KINDS[k].owner == "shopper"]
    found = [dataset.unit[dataset.rows(part, kind=kind).numpy()] for part in parts for kind in kinds]
    return np.concatenate([np.zeros(0, np.int64), *found])


def _crowds(dataset: Dataset, config: MerchantConfig) -> Iterator[str]:
    if share := crowd_share(_shoppers(dataset, *PARTS)):
        yield warning(share, config)


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


# --- refusals -----------------------------------------------------------------------------------------


def _refusals(
    labels: Mapping[str, LabelFacts], shoppers: int, config: MerchantConfig, federation: Federation
) -> Iterator[str]:
    yield from _private_refusals(config, federation)
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


def _private_refusals(config: MerchantConfig, federation: Federation) -> Iterator[str]:
    """What a contract with privacy asks of whoever trains under it."""
    policy = federation.privacy
    if policy is None or config.role == "receive":
        return
    checks: tuple[Callable[[], None], ...] = (
        lambda: check_private_split(config),
        lambda: check_private_table(config, policy),
    )
    for check in checks:
        try:
            check()
        except ConfigError as error:
            yield str(error)


def _promise(config: MerchantConfig, federation: Federation, shoppers: int) -> str:
    """Say in a sentence what taking part means for a shopper."""
    policy = federation.privacy
    if config.role == "receive":
        return "This merchant only receives: it gets the released model, and nothing about a shopper leaves."
    if policy is None:
        return (
            "This contract trains WITHOUT differential privacy: rows stay here, but an update may tell "
            "something about a single shopper. No epsilon can be stated."
        )
    cap = config.privacy.max_epsilon
    own = f"; this merchant stops at its own cap of {cap:g}" if cap is not None else ""
    return (
        f"Each {policy.unit} is protected in what leaves: epsilon {policy.epsilon:g} at delta "
        f"{policy.delta:g} over all trainings of this contract{own}. "
        f"{meaning(policy.epsilon, policy.delta, policy.unit)} {too_likely(policy.delta, shoppers)}"
    ).rstrip()
