"""What an attack found, beside what guessing finds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Protocol, Self


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One figure of one attack, without privacy and with it.

    Attributes:
        name: Of the attack and of the figure, in words, unique among all.
        attacked: What the attacker saw and what it wanted to know, in one sentence.
        metric: Name of the figure.
        plain: Its value where training had no privacy.
        private: Its value where training was private.
        chance: Its value where the attacker guesses.
        worst: Its value where the attacker is always right; which side of `chance` it lies on says which way
            the figure points.
        epsilon: Privacy budget behind `private`.
        source: Paper and section of the method.
    """

    name: str
    attacked: str
    metric: str
    plain: float
    private: float
    chance: float
    worst: float
    epsilon: float
    source: str

    @classmethod
    def mean(cls, pairs: Sequence[Sequence[float]], **others: Any) -> Self:
        """Return the outcome of an attack on several merchants: the mean of their figures.

        Args:
            pairs: A figure without privacy and one with it, of each merchant.
            others: All attributes but these two.
        """
        plain, private = zip(*pairs, strict=True)
        return cls(plain=fmean(plain), private=fmean(private), **others)

    def success(self, value: float) -> float:
        """Return how far `value` is from guessing (0) to being always right (1); below 0 it is worse."""
        return (value - self.chance) / (self.worst - self.chance)


Progress = Callable[[float], None]
"""Told the share of an attack that is done, from 0 to 1."""


def silent(done: float) -> None:
    """Tell nobody."""


class Attack(Protocol):
    """What every attack offers: `attack(epsilon=8.0, seed=0)`."""

    def __call__(self, *, epsilon: float, seed: int, progress: Progress = silent) -> tuple[Outcome, ...]:
        """Return what the attack found.

        Args:
            epsilon: Budget of the private side, for the whole training.
            seed: Of shoppers, training and noise.
            progress: Told the share that is done.
        """
