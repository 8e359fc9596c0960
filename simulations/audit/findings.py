"""What one check found: a named statistic, what it was held against, and what that means."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

ERROR = 1e-4
"""Probability with which one statistical check refutes an honest mechanism."""

Verdict = Literal["holds", "refuted"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One statistic beside its threshold.

    Attributes:
        name: `certificate.statistic`.
        value: Of the statistic.
        low: It must be at least this; None: no such bound.
        high: It must be at most this; None: no such bound.
        p_value: Probability of a value so extreme under an honest mechanism; None for what is exact.
        says: What it means, in words.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    says: str

    @property
    def verdict(self) -> Verdict:
        """Whether the value lies within its bounds; what is not a number does not.

        >>> Finding(name="noise.scale", value=0.9, low=0.99, high=1.01, says="").verdict
        'refuted'
        """
        above = self.low is None or self.value >= self.low
        below = self.high is None or self.value <= self.high
        return "holds" if above and below and self.value == self.value else "refuted"


def refuted(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings that an honest mechanism would not have."""
    return tuple(finding for finding in findings if finding.verdict == "refuted")
