"""The public agreement: what `federation.toml` may say.

Every merchant and the coordinator hold the same file; `fingerprint` tells whether they do. Nothing in it
depends on any merchant's data: vocabularies are hashed, transforms have public constants.

Letters used throughout the package: B rows, D width, T tasks, M merchants, P parameters.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from . import declared, library
from .declared import CLOSED
from .errors import ConfigError

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Width = Annotated[int, Field(ge=1, le=4096)]
Buckets = Annotated[int, Field(ge=2, le=2**24)]
Scope = Literal["shared", "local"]
"""`shared`: the feature's table travels. `local`: its table stays at the merchant, like a head."""


# --- features -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Categorical:
    """One category per row, hashed into `buckets` rows of a table of `width` columns.

    Index 0 of every table means "missing" and is always the zero vector.
    """

    kind: Literal["categorical"]
    buckets: Buckets
    width: Width
    scope: Scope = "shared"
    column: str = ""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Multi:
    """A bag of at most `max_values` categories per row; the vectors of its members are averaged."""

    kind: Literal["multi"]
    buckets: Buckets
    width: Width
    max_values: Annotated[int, Field(ge=1, le=1024)] = 16
    scope: Scope = "shared"
    column: str = ""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Numeric:
    """A number: (transform(x) - center) / scale, cut to [-clip, clip]; missing becomes 0.

    Attributes:
        transform: `log1p` takes negative numbers as 0; `signed_log1p` is sign(x) log(1 + |x|).
        center: Public constant, in transformed units.
        scale: Public constant, in transformed units.
        clip: Bound of the scaled value.
        hinges: Knots k, in scaled units; each adds a column max(value - k, 0).
        steps: Knots k, in scaled units; each adds a column that is 1 where value > k.
        flag_missing: Add a column that is 1 where the value is missing.
    """

    kind: Literal["numeric"]
    transform: Literal["identity", "log1p", "signed_log1p"] = "identity"
    center: Finite = 0.0
    scale: Positive = 1.0
    clip: Positive = 4.0
    hinges: tuple[Finite, ...] = ()
    steps: tuple[Finite, ...] = ()
    flag_missing: bool = False
    column: str = ""

    @property
    def width(self) -> int:
        """Columns that this feature takes among the dense inputs."""
        return 1 + len(self.hinges) + len(self.steps) + self.flag_missing


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Text:
    """Free text as a bag of hashed word and character n-grams; any language, no downloaded weights.

    Attributes:
        words: Longest word n-gram; 0 for none.
        characters: Shortest and longest character n-gram, taken inside words; (0, 0) for none.
        max_grams: At most so many n-grams a row; the first ones are kept.
    """

    kind: Literal["text"]
    buckets: Buckets
    width: Width
    words: Annotated[int, Field(ge=0, le=3)] = 1
    characters: tuple[int, int] = (3, 4)
    max_grams: Annotated[int, Field(ge=1, le=1024)] = 64
    scope: Scope = "shared"
    column: str = ""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Vector:
    """`length` numbers computed elsewhere (an image, audio or text embedding), projected to `width`.

    A missing vector is the zero vector.
    """

    kind: Literal["vector"]
    length: Annotated[int, Field(ge=1, le=8192)]
    width: Width
    scope: Scope = "shared"
    column: str = ""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Sequence:
    """The shopper's last `max_length` events, each described by categorical features named in `of`.

    The events use the tables of those features; their vectors are averaged over the events that exist.
    """

    kind: Literal["sequence"]
    of: Annotated[tuple[str, ...], Field(min_length=1)]
    max_length: Annotated[int, Field(ge=1, le=1024)] = 20
    column: str = ""


Feature = Annotated[Categorical | Multi | Numeric | Text | Vector | Sequence, Field(discriminator="kind")]


def _by_name(features: dict[str, Feature]) -> dict[str, Feature]:
    return dict(sorted(features.items()))


Features = Annotated[dict[Name, Feature], Field(min_length=1), AfterValidator(_by_name)]
"""Features in order of name. Their order decides which column of a weight belongs to which feature, and the
fingerprint does not see how a file orders its tables; so the files' order must not matter."""


# --- tasks --------------------------------------------------------------------------------------------

HeadPolicy = Literal["residual", "local"]
"""`residual`: a shared prior plus a private residual that starts at zero. `local`: a private head only."""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class _Task:
    """What all tasks declare.

    Attributes:
        library: The library task that computes the labels (`shared_model.library.TASKS`); empty for a
            label column that the merchant maps.
        horizon_days: How far a library task looks ahead, where it does.
        weight: Its share in the sum of losses.
        head: See `HeadPolicy`.
        residual_penalty: Strength of the pull of a private residual towards zero, as a number of rows:
            the residual moves freely once the merchant has many more rows than this.
    """

    library: str = ""
    horizon_days: Annotated[int, Field(ge=1, le=366)] = 28
    weight: Positive = 1.0
    head: HeadPolicy = "residual"
    residual_penalty: Positive = 300.0


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Binary(_Task):
    """Yes or no. `initial` is the public constant probability predicted before any training."""

    kind: Literal["binary"]
    initial: Annotated[float, Field(gt=0, lt=1)] = 0.5


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Multiclass(_Task):
    """One of `classes`, a public list."""

    kind: Literal["multiclass"]
    classes: Annotated[tuple[str, ...], Field(min_length=2)]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Multilabel(_Task):
    """Any subset of `labels`, a public list."""

    kind: Literal["multilabel"]
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    initial: Annotated[float, Field(gt=0, lt=1)] = 0.5


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Regression(_Task):
    """A number, learnt as (transform(y) - center) / scale with y first cut to [low, high].

    `initial` is the public constant predicted before any training, in scaled units.
    """

    kind: Literal["regression"]
    transform: Literal["identity", "log1p", "signed_log1p"] = "identity"
    center: Finite = 0.0
    scale: Positive = 1.0
    low: float = float("-inf")
    high: float = float("inf")
    initial: Finite = 0.0


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class CountTask(_Task):
    """A number of events, at most `high`, learnt with the Poisson loss.

    `initial` is the public constant rate predicted before any training.
    """

    kind: Literal["count"]
    high: Positive = 1000.0
    initial: Positive = 1.0


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Retrieval(_Task):
    """One item of the merchant's own catalogue, of which the `max_items` most sold are kept.

    Its head is always local.
    """

    kind: Literal["retrieval"]
    max_items: Annotated[int, Field(ge=2, le=50_000)] = 1000
    head: Literal["local"] = "local"


Task = Annotated[
    Binary | Multiclass | Multilabel | Regression | CountTask | Retrieval, Field(discriminator="kind")
]


# --- bottoms ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Wide:
    """No bottom: every task's prior is linear in the dense inputs (`architectures/wide.py`)."""

    architecture: Literal["wide"]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class SharedBottom:
    """One network for all tasks (`architectures/shared_bottom.py`)."""

    architecture: Literal["shared_bottom"]
    hidden: Annotated[tuple[Width, ...], Field(min_length=1)] = (64, 64)


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class MMoE:
    """Expert networks, mixed for each task by the merchant's own gate (`architectures/mmoe.py`)."""

    architecture: Literal["mmoe"]
    experts: Annotated[int, Field(ge=1, le=64)] = 4
    hidden: Annotated[tuple[Width, ...], Field(min_length=1)] = (64, 64)


Bottom = Annotated[Wide | SharedBottom | MMoE, Field(discriminator="architecture")]


# --- the federation -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Rounds:
    """The `[federation]` table: who, how long, how many must answer.

    Attributes:
        name: Of the federation.
        rounds: Number of rounds.
        local_steps: K, optimiser steps a merchant takes in a round.
        expected_batch: B, rows of each row kind in a step, and the divisor of every sum of losses. The
            divisor is public, never a merchant's count; so one with fewer rows takes smaller steps, and with
            full batches every row of the federation counts the same.
        full_batch: Take every training row in every step; the divisor stays B.
        quorum: Share of the asked merchants whose usable replies a round needs.
        deadline_seconds: How long a round waits for replies.
        attempts: How often a round that missed its quorum is asked again before the run stops.
        pace_seconds: A merchant refuses to begin a round sooner than this after it began the one before.
        precision: Type in which numbers travel during training (`shared_model.precision`).
        hash_key: Public salt of every hashed category; another key gives another vocabulary.
        coordinator_key: Public key of whoever signs the instructions (`fedbazaar-server init` writes it);
            empty for simulations only.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    rounds: Count
    local_steps: Count = 1
    expected_batch: Count = 256
    full_batch: bool = False
    quorum: Annotated[float, Field(gt=0, le=1)] = 0.5
    deadline_seconds: Positive = 600.0
    attempts: Count = 3
    pace_seconds: NonNegative = 0.0
    precision: Literal["float32", "float16"] = "float32"
    hash_key: str = "fedbazaar"
    coordinator_key: Annotated[str, Field(pattern=r"^(ed25519:[A-Za-z0-9+/]{43}=)?$")] = ""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class LocalTraining:
    """The `[local]` table: how a merchant trains in a round.

    Attributes:
        optimizer: Fresh in every round.
        learning_rate: Of every local step.
        weight_decay: L2 strength on everything that is trained.
        proximal: FedProx mu: adds mu/2 |w - w_round|^2 over what travels (Li et al. 2020, eq. 2).
        train_residuals: Train private residuals during the rounds too, not only after the last one.
    """

    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: Positive = 0.1
    weight_decay: NonNegative = 0.0
    proximal: NonNegative = 0.0
    train_residuals: bool = False


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class ServerOptimizer:
    """The `[server]` table: what the coordinator does with the mean update (Reddi et al. 2021, algorithm 2).

    Attributes:
        optimizer: `fedavg` adds it; the others treat it as a negative gradient.
        learning_rate: Server learning rate; 1 with `fedavg` is plain averaging.
        final_learning_rate: Reached linearly in the last round; 0 keeps `learning_rate` throughout.
        momentum: beta_1.
        second_momentum: beta_2 of `fedadam` and `fedyogi`.
        adaptivity: tau, added to the root of the second moment.
        average: `last` releases the last iterate, `last_half` the mean of the last half of them.
    """

    optimizer: Literal["fedavg", "fedavgm", "fedadam", "fedyogi"] = "fedavg"
    learning_rate: Positive = 1.0
    final_learning_rate: NonNegative = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    second_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99
    adaptivity: Positive = 1e-3
    average: Literal["last", "last_half"] = "last"


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Privacy:
    """The `[privacy]` table: what every merchant guarantees each of its shoppers.

    Attributes:
        unit: Whose presence is hidden: a shopper at one merchant, or a single record.
        max_records: k, at most so many records of one unit count.
        epsilon: Budget of the whole plan.
        delta: Of the same guarantee.
        clipping_norm: C, the largest L2 norm of one unit's contribution.
    """

    unit: Literal["shopper", "record"] = "shopper"
    max_records: Count = 8
    epsilon: Positive
    delta: Annotated[float, Field(gt=0, lt=1)]
    clipping_norm: Positive = 1.0


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Tier:
    """A public size class. A merchant declares one; its exact size stays private.

    Attributes:
        shoppers: It has at least so many.
        weight: Of its updates in the aggregate.
    """

    shoppers: Annotated[int, Field(ge=0)]
    weight: Positive


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Federation:
    """All of `federation.toml`."""

    federation: Rounds
    features: Features
    tasks: Annotated[dict[Name, Task], Field(min_length=1)]
    bottom: Bottom
    local: LocalTraining = LocalTraining()
    server: ServerOptimizer = ServerOptimizer()
    privacy: Privacy | None = None
    tiers: dict[Name, Tier] = Field(default_factory=lambda: {"any": Tier(shoppers=0, weight=1.0)})

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical form, in hex: the same for every file that means the same."""
        return hashlib.sha256(declared.canonical(self)).hexdigest()


def load_federation(path: Path) -> Federation:
    """Return the agreement at `path`.

    Raises:
        ConfigError: The file is missing or says something that is not allowed.
    """
    return parse_federation(declared.read_toml(path), file=path)


def parse_federation(tables: Mapping[str, Any], *, file: Path | str = "federation.toml") -> Federation:
    """Return the agreement that `tables` describe (see `load_federation`)."""
    federation = declared.parse(Federation, tables, file=file)
    for name, feature in federation.features.items():
        if isinstance(feature, Sequence):
            _check_sequence(federation, name, feature, file)
        if isinstance(feature, Text):
            _check_text(name, feature, file)
    for name, task in federation.tasks.items():
        check_task(name, task, file=file)
    return federation


def check_task(name: str, task: Task, *, file: Path | str, table: str = "tasks") -> None:
    """Check what the fields of a task cannot say one by one.

    Args:
        name: Of the task.
        task: As parsed.
        file: Named in the error.
        table: Where the task stands in that file.

    Raises:
        ConfigError: Its library task is unknown or of another kind, or its bounds are empty.
    """
    if task.library:
        _check_library(f"{table}.{name}", task, file)
    if isinstance(task, Regression) and not task.low < task.high:  # NaN bounds too
        raise ConfigError(file, f"{table}.{name}.low", task.low, f"less than high, which is {task.high}")


def _check_sequence(federation: Federation, name: str, feature: Sequence, file: Path | str) -> None:
    described = [n for n, f in federation.features.items() if isinstance(f, Categorical)]
    for of in feature.of:
        if of not in described:
            allowed = f"names of categorical features: {', '.join(described) or 'there are none'}"
            raise ConfigError(file, f"features.{name}.of", of, allowed)
    if len(set(feature.of)) < len(feature.of):
        raise ConfigError(file, f"features.{name}.of", list(feature.of), "every feature at most once")


def _check_text(name: str, feature: Text, file: Path | str) -> None:
    low, high = feature.characters
    if not (low == high == 0 or 1 <= low <= high <= 8):
        raise ConfigError(
            file, f"features.{name}.characters", [low, high], "1 <= shortest <= longest <= 8, or [0, 0]"
        )
    if feature.words == 0 and high == 0:
        raise ConfigError(file, f"features.{name}.words", 0, "at least 1 where characters are [0, 0]")


def _check_library(key: str, task: _Task, file: Path | str) -> None:
    if task.library not in library.TASKS:
        allowed = f"a library task: {', '.join(library.TASKS)}; or nothing, for a mapped label column"
        raise ConfigError(file, f"{key}.library", task.library, allowed)
    kind, needed = getattr(task, "kind", None), library.TASKS[task.library].kind
    allowed_kinds = {"regression", "count"} if task.library == "units" else {needed}
    if kind not in allowed_kinds:
        allowed = f"{' or '.join(sorted(allowed_kinds))}, which is what {task.library} is"
        raise ConfigError(file, f"{key}.kind", kind, allowed)
