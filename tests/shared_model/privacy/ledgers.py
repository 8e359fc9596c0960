"""Charges and limits that are easy to count by hand."""

from shared_model.privacy.events import PrivacyEvent
from shared_model.privacy.ledger import Charge


def charge(
    number: int = 1,
    *,
    what: str = "round",
    fingerprint: str = "contract",
    lineage: str = "lineage",
    sampling_rate: float = 1.0,
    noise_multiplier: float = 10.0,
    count: int = 1,
    unit: str = "shopper",
) -> Charge:
    """Return the charge of a round; everything but its number is public and the same every time."""
    event = PrivacyEvent(sampling_rate=sampling_rate, noise_multiplier=noise_multiplier, count=count)
    return Charge(
        fingerprint=fingerprint,
        lineage=lineage,
        round=number,
        what=what,
        digest=f"{number:064x}",
        unit=unit,
        events=(event,),
    )
