"""Ledgers as an auditor finds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client.config import MerchantConfig
from shared_model.privacy.ledger import Charge, Entry


@dataclass(frozen=True, kw_only=True)
class Found:
    """A ledger as it lies on the disk.

    Attributes:
        path: The file.
        entries: Its lines; None where the chain is broken.
        problem: What is wrong with the chain, in words.
        owner: The merchant's file beside it, where there is one.
    """

    path: Path
    entries: Sequence[Entry] | None
    problem: str
    owner: MerchantConfig | None

    @property
    def charges(self) -> tuple[Charge, ...]:
        """All charges; none where the chain is broken."""
        return tuple(entry.charge for entry in self.entries or () if entry.charge is not None)
