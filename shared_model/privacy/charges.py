"""One entry of a ledger: what was released, of whom, and for which round."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .events import PrivacyEvent


@dataclass(frozen=True, kw_only=True)
class Charge:
    """A release that is about to happen.

    Attributes:
        fingerprint: Of the contract.
        lineage: Of the coordinator's training.
        round: 0 before the first one.
        what: Kind of release: `statistics`, `counts`, `round`.
        digest: Of what was asked; a repeated answer to the same question is no second release.
        unit: Whom the events protect: `shopper`, `record`, `merchant`.
        events: What is released; never what it costs.

    Raises:
        ValueError: There are no events (what releases nothing is a note), or the round is negative.
    """

    fingerprint: str
    lineage: str
    round: int
    what: str
    digest: str
    unit: str
    events: tuple[PrivacyEvent, ...]

    def __post_init__(self) -> None:
        if not self.events:
            raise ValueError("Expected at least one event in a charge, got none.")
        if self.round < 0:
            raise ValueError(f"Expected round >= 0, got {self.round}.")

    def to_mapping(self) -> dict[str, Any]:
        """Return the charge as JSON values."""
        return {**asdict(self), "events": [asdict(event) for event in self.events]}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "Charge":
        """Return the charge that `to_mapping` wrote.

        Raises:
            KeyError, TypeError, ValueError: It was written by something else.
        """
        events = tuple(PrivacyEvent(**event) for event in values["events"])
        return cls(**{**values, "events": events})
