"""The work that every engine is given: merchants in memory, a contract, and rows to test on.

All of it is drawn from one seed. Notation: M merchants, N rows of one of them, D numbers, U shoppers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared_model.features import Batch
from shared_model.protocol import SharedArrays
from shared_model.schema import Categorical, Federation, Task, parse_federation
from simulations.vectorised.table import Table

NUMBERS = 30
"""D."""

BATCH, RATE, HIDDEN = 50, 0.1, (64, 64)
"""Of the standard work; the first two of all work."""

QUESTION = "late"
"""The one task of the standard work."""

TEST_ROWS = 8000
CLASSES = ("one", "two", "three", "four", "five")


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is trained.

    Attributes:
        contract: The agreement.
        merchants: Name -> rows.
        test: Rows that nobody trains on.
        initial: What training begins with; nothing for what the platform begins with.
    """

    contract: Federation
    merchants: Mapping[str, Table]
    test: Batch
    initial: SharedArrays = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, in order."""
        return tuple(self.contract.tasks)


def standard(*, rounds: int, merchants: int = 64, asked: int = 20, rows: int = 500) -> Work:
    """Return the standard work: equal merchants with one yes-or-no question, a network of 64 and 64."""
    return _drawn(_standard(rounds, asked, rows), [rows] * merchants)


def standard_on(
    rows: Mapping[str, NDArray[np.float32]], initial: SharedArrays, *, rounds: int, asked: int = 20
) -> Work:
    """Return the standard work on rows that somebody else drew.

    Args:
        rows: `x` (M, N, D) and `y` (M, N) of merchants, `x_test` (T, D) and `y_test` (T,).
        initial: What training begins with.
        rounds: Of the training.
        asked: Merchants in a round.
    """
    contract = _standard(rounds, asked, rows["x"].shape[1])
    merchants = {
        _name(number): _table(_batch(x, y), contract.tasks)
        for number, (x, y) in enumerate(zip(rows["x"], rows["y"], strict=True))
    }
    test = _batch(rows["x_test"], rows["y_test"])
    return Work(contract=contract, merchants=merchants, test=test, initial=initial)


def product(
    *,
    rounds: int,
    asked: int = 64,
    architecture: str = "shared_bottom",
    hidden: Sequence[int] = (64, 64),
    buckets: int = 0,
    privacy: Mapping[str, Any] | None = None,
    merchants: int = 64,
) -> Work:
    """Return work shaped as a shop's: ragged merchants, and four tasks of which each has some.

    Args:
        rounds: Of the training.
        asked: Merchants in a round.
        architecture: Of the bottom; an `mmoe` has 8 experts.
        hidden: Widths of its layers.
        buckets: Rows of each of 8 tables of width 16; 0 for no tables.
        privacy: The `[privacy]` table; merchants are then of one tier, 140 shoppers of 1 to 4 records, and
            have all tasks.
        merchants: M.
    """
    experts = {"experts": 8} if architecture == "mmoe" else {}
    steps = 8 if privacy else 10
    federation = {"local_steps": steps, "merchants_per_round": asked, "expected_batch": BATCH}
    declared: dict[str, Any] = {
        "federation": {"name": "engines", "rounds": rounds, **federation},
        "features": _numbers() | _categories(buckets),
        "tasks": {
            "again": {"kind": "binary"},
            "late": {"kind": "binary"},
            "spent": {"kind": "regression"},
            "which": {"kind": "multiclass", "classes": list(CLASSES)},
        },
        "bottom": {"architecture": architecture, "hidden": list(hidden), **experts},
        "local": {"learning_rate": RATE, "train_residuals": True},
    }
    if privacy:
        declared["federation"]["expected_batch"] = UNITS_DRAWN
        declared["privacy"] = dict(privacy)
        declared["tiers"] = {"any": {"shoppers": SHOPPERS, "weight": 1.0}}
    return _drawn(parse_federation(declared), [0] * merchants if privacy else _ragged(merchants))


def replaced(work: Work, *, rounds: int) -> Work:
    """Return the same work for another number of rounds."""
    contract = replace(work.contract, federation=replace(work.contract.federation, rounds=rounds))
    return replace(work, contract=contract)


SHOPPERS, UNITS_DRAWN, MOST_RECORDS = 140, 20, 4
"""Of a merchant in private work; of them expected in a step; records of one."""


def _ragged(merchants: int) -> list[int]:
    """Return numbers of rows from 60 to 3000, half of them above 350."""
    sizes = np.exp(np.random.default_rng(0).normal(np.log(350), 0.8, merchants))
    return [int(size) for size in np.clip(sizes, 60, 3000)]


def _standard(rounds: int, asked: int, rows: int) -> Federation:
    federation = {"expected_batch": BATCH, "local_steps": rows // BATCH, "merchants_per_round": asked}
    return parse_federation(
        {
            "federation": {"name": "engines", "rounds": rounds, **federation},
            "features": _numbers(),
            "tasks": {QUESTION: {"kind": "binary"}},
            "bottom": {"architecture": "shared_bottom", "hidden": list(HIDDEN)},
            "local": {"learning_rate": RATE},
        }
    )


def _name(number: int) -> str:
    return f"merchant-{number:03}"


def _batch(x: NDArray[np.float32], y: NDArray[np.float32]) -> Batch:
    """Return rows with an answer to the standard work's question."""
    return Batch(numeric=torch.from_numpy(x), ids={}, labels={QUESTION: torch.from_numpy(y)})


def _table(batch: Batch, tasks: Mapping[str, Task]) -> Table:
    """Return rows of which every one is a shopper."""
    count = len(batch.numeric)
    return Table(encoded=batch, tasks=dict(tasks), unit=torch.arange(count), units=count)


def _numbers() -> dict[str, dict[str, Any]]:
    return {f"number_{i:02}": {"kind": "numeric", "flag_missing": False} for i in range(NUMBERS)}


def _categories(buckets: int) -> dict[str, dict[str, Any]]:
    if not buckets:
        return {}
    return {f"category_{i}": {"kind": "categorical", "buckets": buckets, "width": 16} for i in range(8)}


def _drawn(contract: Federation, sizes: Sequence[int]) -> Work:
    """Draw the rows of merchants; a size of 0 is one of `SHOPPERS` shoppers with 1 to `MOST_RECORDS` each."""
    source = np.random.default_rng(1)
    truth = _Truth(source, contract)
    some = len(contract.tasks) > 1 and contract.privacy is None  # otherwise everybody has all of them
    merchants = {}
    for number, size in enumerate(sizes):
        records = source.integers(1, MOST_RECORDS + 1, SHOPPERS) if not size else np.ones(size, np.int64)
        unit = np.repeat(np.arange(len(records)), records)
        mean, shift = source.normal(size=NUMBERS) * 0.3, source.normal() * 0.5
        batch = truth.rows(len(unit), mean, shift)
        owned = [task for task in contract.tasks if not some or source.random() < 0.6]
        owned = owned or list(contract.tasks)[:1]
        name = _name(number)
        tasks = {task: contract.tasks[task] for task in owned}
        merchants[name] = Table(encoded=batch, tasks=tasks, unit=torch.from_numpy(unit), units=len(records))
    means = source.normal(size=(TEST_ROWS, NUMBERS)) * 0.3
    return Work(contract=contract, merchants=merchants, test=truth.rows(TEST_ROWS, means, 0.0))


class _Truth:
    """How labels follow from numbers: the same at every merchant, up to its shift."""

    def __init__(self, source: np.random.Generator, contract: Federation) -> None:
        self._source, self._contract = source, contract
        outputs = {"which": len(CLASSES)}
        scale = 2 / NUMBERS**0.5
        self._weights = {
            task: source.normal(size=(NUMBERS, outputs.get(task, 1))) * scale for task in contract.tasks
        }
        self._bends = source.normal(size=(NUMBERS, 8)) / NUMBERS**0.5

    def rows(self, count: int, mean: NDArray[np.float64], shift: float) -> Batch:
        """Return `count` rows around `mean` with the labels of all tasks."""
        numbers = self._source.normal(size=(count, NUMBERS)) + mean
        bent = 0.75 * np.tanh(numbers @ self._bends).sum(1, keepdims=True) + shift
        labels = {t: self._label(t, numbers @ w + bent) for t, w in self._weights.items()}
        ids = {
            name: self._ids(count, feature.buckets)
            for name, feature in self._contract.features.items()
            if isinstance(feature, Categorical)
        }
        return Batch(numeric=torch.from_numpy(numbers.astype(np.float32)), ids=ids, labels=labels)

    def _ids(self, count: int, buckets: int) -> Tensor:
        """Return skewed ids, never missing."""
        return torch.from_numpy(1 + (self._source.random(count) ** 4 * (buckets - 1)).astype(np.int64))

    def _label(self, task: str, score: NDArray[np.float64]) -> Tensor:
        if task == "which":
            found = (score + self._source.gumbel(size=score.shape)).argmax(1)
        elif task == "spent":
            found = score[:, 0] + self._source.normal(size=len(score))
        else:
            found = self._source.random(len(score)) < 1 / (1 + np.exp(-score[:, 0]))
        return torch.from_numpy(np.asarray(found, np.float32))
