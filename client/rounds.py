"""What a merchant does in one round, with privacy or without: the place where the contract decides.

A contract with a `[privacy]` table is never trained without it. Private rounds charge the ledger first.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch

from shared_model.model import MultiTaskModel
from shared_model.protocol import Instruction, SharedArrays
from shared_model.row_blocks import schedule_of
from shared_model.schema import Federation

from .config import MerchantConfig
from .data.dataset import Dataset
from .training import train_plain
from .weighting import Memory

Stream = Callable[[str, int], torch.Generator]
"""`stream(purpose, number)` is a generator of its own for one purpose."""


class Trained(NamedTuple):
    """What a round left beside the model.

    Attributes:
        ledger: Head of the ledger that holds the round's charge; empty without privacy.
        extra: Arrays that leave beside the shared parameters.
        memory: What the next round must know; it stays at the merchant.
    """

    ledger: str
    extra: SharedArrays
    memory: Memory


class Rounds(Protocol):
    """How a merchant's rounds go."""

    def check(self, instruction: Instruction) -> None:
        """Refuse an instruction that the ledger speaks against; `train` does so too.

        Raises:
            Refused: The coordinator knows more of the ledger than the ledger itself, or the merchant does not
                train.
        """

    def tasks(self) -> frozenset[str]:
        """Return the common tasks whose shared prior the merchant trains, as far as its data decides."""

    def train(self, model: MultiTaskModel, instruction: Instruction, memory: Memory) -> Trained:
        """Train one round in place.

        Args:
            model: Holds the round's shared parameters and the merchant's own.
            instruction: Which round of which training.
            memory: What the last round of this training left; nothing before the first.

        Raises:
            Refused: As in `check`, or the budget is spent; nothing was trained.
        """


class PlainRounds:
    """Rounds without privacy."""

    def __init__(self, federation: Federation, dataset: Dataset, stream: Stream) -> None:
        self._federation, self._dataset, self._stream = federation, dataset, stream
        self._schedule = schedule_of(federation)

    def check(self, instruction: Instruction) -> None:
        """Accept every instruction."""

    def tasks(self) -> frozenset[str]:
        """Return the common tasks for which there are labels."""
        return frozenset(self._dataset.tasks) - self._dataset.own_tasks

    def train(self, model: MultiTaskModel, instruction: Instruction, memory: Memory) -> Trained:
        """Train without privacy (`client.training.train_plain`)."""
        remembered = train_plain(
            model,
            self._dataset,
            self._federation,
            self._stream(instruction.lineage, instruction.round),
            public=f"{instruction.lineage}/{instruction.round}",
            memory=memory,
            rows=self._schedule.rows(instruction.round),
        )
        return Trained("", {}, remembered)


def rounds_for(
    config: MerchantConfig, federation: Federation, dataset: Dataset, stream: Stream, *, seed: int | None
) -> Rounds:
    """Return the rounds that the contract asks for.

    Raises:
        ConfigError: The merchant's file does not allow private rounds.
        DataError: The merchant is smaller than the tier that it declares.
    """
    if federation.privacy is None:
        return PlainRounds(federation, dataset, stream)
    from .private.rounds import PrivateRounds  # Opacus, only where it trains

    return PrivateRounds(config, federation, stream, seed=seed)
