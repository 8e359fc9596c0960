"""The `[federation]`, `[local]` and `[server]` tables: how rounds go."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from ..declared import CLOSED
from .primitives import Count, NonNegative, Positive

Weighting = Literal["fixed", "uncertainty", "dwa", "gradnorm"]
Conflict = Literal[
    "none",
    "pcgrad",
    "gradvac",
    "graddrop",
    "cagrad",
    "mgda",
    "nash_mtl",
    "upgrad",
    "dualproj",
    "imtl_g",
    "aligned_mtl",
    "config",
]


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
        merchants_per_round: So many of the merchants that train are asked in a round, drawn in public
            (`server.drawing`); 0 asks all of them.
        quorum: Share of the asked merchants whose usable replies a round needs.
        deadline_seconds: How long a round waits for replies.
        attempts: How often a round that missed its quorum is asked again before the run stops.
        pace_seconds: A merchant refuses to begin a round sooner than this after it began the one before.
        precision: Type in which numbers travel during training (`shared_model.precision`).
        row_blocks: N; tables of 1,024 rows and more travel in N parts, one in a round, and only the rows that
            travel are trained (`shared_model.row_blocks`); 1 sends everything in every round.
        hash_key: Public salt of every hashed category; another key gives another vocabulary.
        coordinator_key: Public key of whoever signs the instructions (`fedbazaar-server init` writes it);
            empty for simulations only.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    rounds: Count
    local_steps: Count = 1
    expected_batch: Count = 256
    full_batch: bool = False
    merchants_per_round: Annotated[int, Field(ge=0)] = 0
    quorum: Annotated[float, Field(gt=0, le=1)] = 0.5
    deadline_seconds: Positive = 600.0
    attempts: Count = 3
    pace_seconds: NonNegative = 0.0
    precision: Literal["float32", "float16", "int8"] = "float32"
    row_blocks: Annotated[int, Field(ge=1, le=64)] = 1
    hash_key: str = "fedbazaar"
    coordinator_key: Annotated[str, Field(pattern=r"^(ed25519:[A-Za-z0-9+/]{43}=)?$")] = ""

    def asked(self, merchants: int) -> int:
        """Return how many of so many merchants that train are asked in a round.

        >>> Rounds(name="harbour", rounds=1, merchants_per_round=20).asked(500)
        20
        """
        return min(self.merchants_per_round or merchants, merchants)


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class MetaLearning:
    """The `[local.meta]` table: train a start from which few steps lead far (`client/meta.py`).

    Attributes:
        method: `fomaml` adapts everything that is trained, `anil` the heads alone.
        inner_steps: SGD steps on the support rows; with 0 a step is a plain one, on the query rows.
        inner_learning_rate: Of these steps.
    """

    method: Literal["fomaml", "anil"]
    inner_steps: Annotated[int, Field(ge=0, le=100)] = 1
    inner_learning_rate: Positive = 0.1


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class LocalTraining:
    """The `[local]` table: how a merchant trains in a round.

    Attributes:
        optimizer: Fresh in every round.
        learning_rate: Of every local step.
        weight_decay: L2 strength on everything that is trained.
        proximal: FedProx mu: adds mu/2 |w - w_round|^2 over what travels (Li et al. 2020, eq. 2).
        train_residuals: Train private residuals during the rounds too, not only after the last one.
        meta: Meta-learning in local steps; None for plain ones.
        weighting: What multiplies a task's own `weight`: 1; a trained variance per task (Kendall et al.
            2018); how fast its loss falls from round to round (Liu et al. 2019); or what makes the tasks'
            gradients alike (Chen et al. 2018).
        conflict: What becomes of tasks' gradients that pull a shared parameter apart: `none` adds them up,
            the others are rules of `client/conflicts.py`.
    """

    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: Positive = 0.1
    weight_decay: NonNegative = 0.0
    proximal: NonNegative = 0.0
    train_residuals: bool = False
    meta: MetaLearning | None = None
    weighting: Weighting = "fixed"
    conflict: Conflict = "none"


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class ServerOptimizer:
    """The `[server]` table: what the coordinator does with the mean update (Reddi et al. 2021, algorithm 2).

    Attributes:
        optimizer: `fedavg` adds it, `reptile` too, with all merchants of one weight (Nichol et al. 2018); the
            others treat it as a negative gradient.
        learning_rate: Server learning rate; 1 with `fedavg` is plain averaging.
        final_learning_rate: Reached linearly in the last round; 0 keeps `learning_rate` throughout.
        momentum: beta_1.
        second_momentum: beta_2 of `fedadam` and `fedyogi`.
        adaptivity: tau, added to the root of the second moment.
        average: `last` releases the last iterate, `last_half` the mean of the last half of them.
    """

    optimizer: Literal["fedavg", "fedavgm", "fedadam", "fedyogi", "reptile"] = "fedavg"
    learning_rate: Positive = 1.0
    final_learning_rate: NonNegative = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    second_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99
    adaptivity: Positive = 1e-3
    average: Literal["last", "last_half"] = "last"
