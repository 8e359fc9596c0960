"""Attacks for people to look at: what somebody reads from what merchants send, without privacy and with it.

They prove nothing: a published attack that fails says little about the next one. What is proved is in the
ledger and in the certificates; this shows what the proof is good for.
"""

from . import ids, inversion, labels, membership
from .outcome import Attack, Outcome, Progress

__all__ = ["ATTACKS", "Attack", "Outcome", "Progress"]

ATTACKS: dict[str, Attack] = {
    "membership": membership.attack,
    "ids": ids.attack,
    "labels": labels.attack,
    "inversion": inversion.attack,
}
