"""The result file: everything that a report shows, as frozen dataclasses and as `result.json`.

A report is made from this file alone, so that a page can be drawn again years later without the data. The
file of a simulation holds the numbers of every merchant; no deployment could write it, since a merchant's
metrics never leave it. A coordinator's own file therefore has no cells and no summary.

Every gain is oriented: above zero, federated training is better than training alone. A number that could
not be computed is null.
"""

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, TypeAdapter
from pydantic.dataclasses import dataclass

from shared_model import declared, files
from shared_model.declared import CLOSED
from shared_model.errors import ConfigError, StateError

FORMAT: Literal[1] = 1
"""Version of the file; a reader refuses every other."""

Verdict = Literal["gains", "loses", "cannot tell"]


def _plain(value: Any) -> Any:
    """Numbers of numpy become Python's, infinities and NaN become None; the rest is left to be refused."""
    if not isinstance(value, float | np.floating | np.integer):
        return value
    return float(value) if math.isfinite(value) else None


Metric = Annotated[float | None, BeforeValidator(_plain)]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class PrivacyFacts:
    """Whether shoppers were protected by differential privacy, and the sentence that says how."""

    on: bool
    text: str


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class ContractFacts:
    """The agreement that was trained under.

    Attributes:
        fingerprint: `Federation.fingerprint`.
        architecture: Of the bottom.
        rounds: Planned.
        shared_parameters: Numbers that travel.
        bytes_per_round: Of arrays, both ways, per merchant, on average (`shared_model.traffic`).
        bytes_down: Those that a merchant gets.
        bytes_up: Those that it sends.
        merchants_per_round: Of those that train, so many are asked.
        bytes_of_all: Both ways, of all merchants asked, in a round.
    """

    fingerprint: str
    architecture: str
    rounds: int
    shared_parameters: int
    bytes_per_round: int
    bytes_down: int = 0
    bytes_up: int = 0
    merchants_per_round: int = 0
    bytes_of_all: int = 0


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Rows:
    """Rows of one merchant, over all row kinds."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Merchant:
    """A merchant that took part: its public tier, and the group it is reported in."""

    name: str
    tier: str
    group: str
    orders: int
    rows: Rows


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Task:
    """A task, and how it was judged.

    Attributes:
        name: In the contract.
        kind: Of task.
        metric: Measured on test rows.
        unit: Of the metric, in words; empty where it has none.
        higher_is_better: For the metric.
        alone_method: What "alone" stands for: the best single-merchant method, chosen on validation rows.
        alone_candidates: Mean test metric of every method that was tried alone.
    """

    name: str
    kind: str
    metric: str
    unit: str
    higher_is_better: bool
    alone_method: str
    alone_candidates: dict[str, Metric]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Cell:
    """One merchant's test metric on one task, by every method.

    Attributes:
        merchant: Its name.
        task: Its name.
        test_rows: Labelled ones.
        alone: Trained on this merchant's rows only.
        federated: What federated training serves.
        prior: The federated model without this merchant's own residual, as a new merchant would get it.
        pooled: Trained on all merchants' rows in one place, which no federation may do.
        constant: The best prediction that is the same for every row.
        gain: Of federated over alone, above zero is better, in units of the metric.
        low: Lower 95 % bound of the gain.
        high: Upper bound.
        verdict: What the bounds say.
    """

    merchant: str
    task: str
    test_rows: int
    alone: Metric = None
    federated: Metric = None
    prior: Metric = None
    pooled: Metric = None
    constant: Metric = None
    gain: Metric = None
    low: Metric = None
    high: Metric = None
    verdict: Verdict = "cannot tell"


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Summary:
    """Means over the merchants of a group on one task, every merchant counting once.

    Attributes:
        task: Its name.
        group: A merchant group, or `all`.
        merchants: Those with a gain, over whom the means are taken.
        alone: Mean metric; so are `federated`, `prior`, `pooled` and `constant`.
        federated: See `Cell`.
        prior: See `Cell`.
        pooled: See `Cell`.
        constant: See `Cell`.
        gain: Mean gain.
        gain_percent: The same in percent of `alone`.
        low: Lower 95 % bound of the mean gain over merchants.
        high: Upper bound.
        wins: Merchants with a gain above zero.
        worse_than_2_percent: Merchants with a loss of more than 2 % of their own metric alone.
    """

    task: str
    group: str
    merchants: int
    alone: Metric = None
    federated: Metric = None
    prior: Metric = None
    pooled: Metric = None
    constant: Metric = None
    gain: Metric = None
    gain_percent: Metric = None
    low: Metric = None
    high: Metric = None
    wins: int
    worse_than_2_percent: int


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Round:
    """One round: how many merchants' replies entered, and the mean validation loss per task afterwards."""

    round: int
    seconds: Metric = None
    accepted: int
    refused: int = 0
    missing: int = 0
    validation: dict[str, Metric]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Check:
    """A target that the run was measured against; `target` is null for a number on record only."""

    id: str
    value: Metric
    unit: str
    target: Metric
    met: bool
    text: str


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Result:
    """All of `result.json`.

    Attributes:
        format: Version of the file.
        name: Of the experiment, or of the run.
        created: ISO 8601.
        seconds: Wall time.
        command: That repeats the run.
        environment: Versions.
        privacy: Whether shoppers were protected.
        contract: The agreement.
        seeds: Of the trainings.
        merchants: Who took part.
        tasks: How they were judged.
        cells: Merchants by tasks.
        summary: Tasks by groups of merchants.
        rounds: Of the first training.
        checks: Targets.
        engine: How simulated merchants trained in the first training, and why, in words.
    """

    format: Literal[1] = FORMAT
    name: str
    created: str
    seconds: Metric
    command: str = ""
    environment: dict[str, str]
    privacy: PrivacyFacts
    contract: ContractFacts
    seeds: tuple[int, ...]
    merchants: tuple[Merchant, ...]
    tasks: tuple[Task, ...]
    cells: tuple[Cell, ...] = ()
    summary: tuple[Summary, ...] = ()
    rounds: tuple[Round, ...] = ()
    checks: tuple[Check, ...] = ()
    engine: tuple[str, ...] = ()


def write(result: Result, path: Path) -> None:
    """Replace the file at `path` by `result`, wholly or not at all, indented for people.

    Raises:
        OSError: The disk is full or not writable.
    """
    files.write(path, TypeAdapter(Result).dump_json(result, indent=1) + b"\n")


def read(path: Path) -> Result:
    """Return the result at `path`.

    Raises:
        FileNotFoundError: There is no such file.
        StateError: It is damaged or of another format.
    """
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
        found = tables["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"{path} is not a result file ({error}). Run the experiment again.") from None
    if found != FORMAT:
        raise StateError(
            f"{path} has format {found!r}, this version reads {FORMAT}. Use the version that wrote it."
        )
    try:
        return declared.parse(Result, tables, file=path)
    except ConfigError as error:
        raise StateError(f"{error}. The file was changed by hand or by another version.") from None
