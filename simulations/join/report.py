"""The file of results of one merchant's question: everything that the page shows, as frozen dataclasses.

Every gain is oriented: above zero, joining is better. Percentages are of the metric alone, of contributions
those of the others' metric without the merchant. A number that could not be computed is None.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from server.reporting.results import Cell, Merchant, Summary, Task
from shared_model import files

from ..statistics import Verdict


@dataclass(frozen=True, kw_only=True)
class Gain:
    """By how much one way is better than another, in percent, with the bounds that the study asks for."""

    percent: float | None
    low: float | None
    high: float | None
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Line:
    """One task of the merchant at one level of privacy.

    Attributes:
        task: Its name.
        level: Name of the level.
        test_rows: Labelled ones of the merchant.
        shoppers: Whose they are.
        alone: Metric of the best way alone; the same at every level.
        joined: Of what it serves when it takes part.
        prior: Of the released model without the merchant's own part.
        pooled: Of everybody's rows in one place, without privacy.
        constant: Of the best constant.
        gain: Of joining over alone.
        pooled_gain: Of pooling over alone.
    """

    task: str
    level: str
    test_rows: int
    shoppers: int
    alone: float
    joined: float
    prior: float | None
    pooled: float | None
    constant: float | None
    gain: Gain
    pooled_gain: Gain | None


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One task with a share of the merchant's orders.

    Attributes:
        task: Its name.
        share: Of its training orders.
        orders: How many those are.
        way: To train alone.
        alone: Its metric.
        receiving: Metric of what it serves of a release that it had no part in.
        gain: Of receiving over alone.
    """

    task: str
    share: float
    orders: int
    way: str
    alone: float
    receiving: float
    gain: Gain


@dataclass(frozen=True, kw_only=True)
class TakingPart:
    """One task: taking part against only receiving what the others released, with all orders."""

    task: str
    receiving: float
    joined: float
    gain: Gain


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Processor time of the merchant's own work, measured on this machine on one thread.

    Attributes:
        open: Reading and encoding its tables, once.
        round: Its part of a round.
        adopt: Fitting and choosing what it serves.
    """

    open: float
    round: float
    adopt: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What joining costs the merchant at one level.

    Attributes:
        level: Its name.
        role: `train` or `receive`.
        rounds: That it is asked in.
        bytes_down: Of arrays, per round.
        bytes_up: Of arrays, per round; as they were recorded at the coordinator.
        bytes_in_all: Both, over all rounds, and the release.
        seconds: Of its own work.
        epsilon: That its ledger counts; None without privacy.
        delta: Of the contract; None without privacy.
    """

    level: str
    role: str
    rounds: int
    bytes_down: int
    bytes_up: int
    bytes_in_all: int
    seconds: Seconds
    epsilon: float | None
    delta: float | None


@dataclass(frozen=True, kw_only=True)
class Contribution:
    """What a merchant adds for the others, on one task: everybody against everybody without it.

    Attributes:
        merchant: Who was left out.
        task: Its name.
        others: Merchants with test rows, each counting once.
        joined: Their mean metric when it takes part.
        without: Their mean metric when it does not.
        gain: Of its taking part.
    """

    merchant: str
    task: str
    others: int
    joined: float
    without: float
    gain: Gain


@dataclass(frozen=True, kw_only=True)
class Joined:
    """The whole study of one merchant.

    Attributes:
        name: Of the experiment.
        merchant: Whose question it is.
        command: That repeats it.
        environment: Versions.
        agreed: The level of the contract as it is.
        private: Whether the contract has a `[privacy]` table.
        confidence: With which all of a level's intervals hold together.
        seeds: Of the trainings.
        answer: In a few words.
        federation: Who gains and who loses, and whom the others would miss, in sentences.
        sentences: The verdict of every task, then of merchants like it, privacy, own data, taking part, and
            for the others; what it costs is said by `verdicts.of_cost`, since that was measured with a clock.
        tasks: How each is judged.
        merchants: Of the federation.
        lines: Of the merchant.
        curve: Of the merchant.
        taking_part: Of the merchant; empty where it only receives.
        costs: Of the merchant.
        like: What it is on average to the merchants of its group, task by task.
        cells: Of everybody at the agreed level; their verdicts bear 5 % of false discoveries together.
        contributions: Of those that were left out in turn.
        left_out: How many those were.
        trainers: Merchants that take part in training.
    """

    name: str
    merchant: str
    command: str
    environment: Mapping[str, str]
    agreed: str
    private: bool
    confidence: float
    seeds: tuple[int, ...]
    answer: str
    sentences: tuple[str, ...]
    federation: tuple[str, ...]
    tasks: tuple[Task, ...]
    merchants: tuple[Merchant, ...]
    lines: tuple[Line, ...]
    curve: tuple[CurvePoint, ...]
    taking_part: tuple[TakingPart, ...]
    costs: tuple[Cost, ...]
    like: tuple[Summary, ...]
    cells: tuple[Cell, ...]
    contributions: tuple[Contribution, ...]
    left_out: int
    trainers: int


def write(found: Joined, path: Path) -> None:
    """Replace the file at `path` by `found` as JSON, wholly or not at all."""
    files.write(path, json.dumps(asdict(found), indent=1).encode(), durable=False)
