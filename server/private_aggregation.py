"""The second layer: what others see of the model hides what any single merchant sent.

Every member's whole update is clipped to the norm C of `[privacy.merchants]`, weighted by the public weight
of its tier, and Gaussian noise is added to the sum. The neighbouring relation is zero-out: who was asked is
public, what a member's update holds (or whether there is one) is protected. Two neighbouring rounds differ by
one member's summand, whose norm is at most weight * C; so the sensitivity is the largest public weight among
the members asked, times C.

The divisor of the sum is public too: for every array the weights of all members asked that train it, never of
those that answered. A divisor that counted answers would rescale all the noise whenever one merchant stayed
away, and would say that it did. A missing answer therefore counts as an update of zero, and an array that a
member asked for trains gets its noise even where no answer came. The price is a shorter step in such a round.
What the divisor does not hide: a round that misses its quorum is asked again, which everybody asked can see.

The promise is for one training. Its ledger lies in the run directory; trainings of one contract compose.

The guarantee is against everybody but the coordinator, who sees the answers. Every round of the contract is
one Gaussian release, and every member is charged for all of them. Where a round asks some members only
(`federation.merchants_per_round`), everybody can tell whom: nothing is amplified, and nothing is claimed.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared_model.errors import BudgetExhausted
from shared_model.privacy.calibration import calibrated
from shared_model.privacy.events import PrivacyEvent
from shared_model.privacy.ledger import Charge, Ledger, Limit
from shared_model.privacy.secure_normal import NormalSource, SecureNormal, to_public_grid
from shared_model.protocol import Instruction
from shared_model.schema import Federation, MerchantPrivacy

from .aggregation import Arrays, Update

LEDGER = "merchants-ledger.jsonl"
"""In the run directory: what the rounds of the run released about its merchants."""

NoiseOf = Callable[[int], NormalSource]
"""Round -> the source of its noise."""


def secure(number: int) -> NormalSource:
    """Return the source for production: it cannot be seeded, whatever the round."""
    return SecureNormal()


def noise_multiplier(policy: MerchantPrivacy, rounds: int) -> float:
    """Return the noise of one round over its sensitivity, such that `rounds` of them spend the budget."""
    plan = (PrivacyEvent(sampling_rate=1.0, noise_multiplier=1.0, count=rounds),)
    return calibrated(plan, epsilon=policy.epsilon, delta=policy.delta)


def clip_factor(update: Update, names: Collection[str], clipping_norm: float) -> float:
    """Return min(1, C / norm), the norm being that of an update over all arrays in `names` together.

    The norm is L2 in float64, of the numbers that are added. An update of zero keeps its length.
    """
    squares = sum(float(block @ block) for name in names for _, block in update.blocks(name))
    return clipping_norm / max(math.sqrt(squares), clipping_norm)


def divisors(asked: Mapping[str, tuple[float, Collection[str]]]) -> dict[str, float]:
    """Return for every array the sum of the weights of the members asked that train it.

    Args:
        asked: Member -> its weight and the arrays that it trains.
    """
    sums: dict[str, float] = {}
    for weight, names in asked.values():
        for name in names:
            sums[name] = sums.get(name, 0.0) + weight
    return sums


def noisy_mean(
    totals: Arrays,
    divisor: Mapping[str, float],
    shapes: Mapping[str, tuple[int, ...]],
    noise_std: float,
    noise: NormalSource,
) -> Arrays:
    """Return (sum + noise) / divisor for every array that has a divisor, in order of name.

    Args:
        totals: Array -> sum of the clipped, weighted updates, flat; nothing where no answer came.
        divisor: See `divisors`.
        shapes: Of the arrays.
        noise_std: Standard deviation of the noise on every coordinate of the sum.
        noise: Its source.
    """
    mean = {}
    for name in sorted(divisor):
        size = math.prod(shapes[name])
        total = totals.get(name, np.zeros(size)) + noise_std * noise.standard_normal(size)
        mean[name] = (to_public_grid(total, noise_std) / divisor[name]).reshape(shapes[name])
    return mean


@dataclass(frozen=True, kw_only=True)
class MerchantLayer:
    """The layer at work in one run.

    Guarantees (`tests/server/test_private_aggregation.py`):
        * A round is charged to the ledger before its new arrays exist. After a crash between the two the
          charge stands and the round, asked again, is charged again: never too little is reported, and a run
          that was so unlucky may have to stop before its last round.
        * The noise follows from the contract and from who was asked, never from an answer.

    Attributes:
        policy: `[privacy.merchants]`.
        multiplier: Noise of a round over its sensitivity.
        ledger: Open for writing.
        noise_of: Where the noise comes from.
    """

    policy: MerchantPrivacy
    multiplier: float
    ledger: Ledger
    noise_of: NoiseOf

    def clip_factor(self, update: Update, names: Collection[str]) -> float:
        """Return by how much one update is shortened (`clip_factor`)."""
        return clip_factor(update, names, self.policy.clipping_norm)

    def noise_std(self, asked: Mapping[str, tuple[float, Collection[str]]]) -> float:
        """Return the standard deviation of the noise on the sum over `asked` (as with `divisors`)."""
        return self.multiplier * max(weight for weight, _ in asked.values()) * self.policy.clipping_norm

    def mean_update(
        self,
        instruction: Instruction,
        totals: Arrays,
        asked: Mapping[str, tuple[float, Collection[str]]],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> Arrays:
        """Charge a round, then return its noisy mean update.

        Args:
            instruction: Of the round.
            totals: As with `noisy_mean`.
            asked: As with `divisors`.
            shapes: Of the arrays.

        Raises:
            BudgetExhausted: The round would cost more than is left; nothing was charged.
            UnaccountedRelease: The ledger cannot be written; nothing was released.
        """
        try:
            self.ledger.charge(self._charge(instruction), [self._limit(instruction.fingerprint)])
        except BudgetExhausted as error:
            raise BudgetExhausted(
                f"Round {instruction.round} would cost merchants more than [privacy.merchants] allows "
                f"({self.spent(instruction.fingerprint):.4g} of {self.policy.epsilon:g} are spent), since an "
                f"earlier round was charged twice. The checkpoint of round {instruction.round - 1} stands."
            ) from error
        noise = self.noise_of(instruction.round)
        return noisy_mean(totals, divisors(asked), shapes, self.noise_std(asked), noise)

    def spent(self, fingerprint: str) -> float:
        """Return the epsilon that is spent so far under a contract, at the policy's delta."""
        return self.ledger.spent(self._limit(fingerprint))

    def _charge(self, instruction: Instruction) -> Charge:
        return Charge(
            fingerprint=instruction.fingerprint,
            lineage=instruction.lineage,
            round=instruction.round,
            what="round",
            digest=instruction.digest,
            unit="merchant",
            events=(PrivacyEvent(sampling_rate=1.0, noise_multiplier=self.multiplier),),
        )

    def _limit(self, fingerprint: str) -> Limit:
        return Limit(epsilon=self.policy.epsilon, delta=self.policy.delta, fingerprint=fingerprint)


@contextmanager
def opened(
    federation: Federation, directory: Path, *, noise_of: NoiseOf = secure, durable: bool = True
) -> Iterator[MerchantLayer | None]:
    """Hold the layer of a contract open for the length of the block; None where the contract has none.

    Args:
        federation: The contract.
        directory: Of the run; the ledger lies in it.
        noise_of: Where the noise comes from; a seeded source is for simulations only.
        durable: Whether a charge survives a power cut.

    Raises:
        UnaccountedRelease: The ledger is damaged, or somebody else writes it.
    """
    policy = federation.privacy.merchants if federation.privacy is not None else None
    if policy is None:
        yield None
        return
    multiplier = noise_multiplier(policy, federation.federation.rounds)
    with Ledger(directory / LEDGER, durable=durable) as ledger:
        yield MerchantLayer(policy=policy, multiplier=multiplier, ledger=ledger, noise_of=noise_of)
