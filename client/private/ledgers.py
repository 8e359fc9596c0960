"""Where a merchant's ledger lies, and what limits it.

The ledger is kept apart from `state/`: a restored backup of the state must not bring back an old ledger, or
rounds that were answered once could be answered again for free.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from client.config import MerchantConfig
from shared_model.privacy.ledger import Limit
from shared_model.schema import Federation

LEDGER = "ledger.jsonl"


def ledger_file(folder: Path, *, seed: int | None = None, lineage: str = "") -> Path:
    """Return the ledger of a merchant.

    Args:
        folder: Of the merchant's ledger.
        seed: Of a simulation, None for a real merchant. Each training of a simulation is a world of its own,
            in which the shoppers were never asked before, so it has a ledger of its own.
        lineage: Of the training; read with a seed only.
    """
    if seed is None:
        return folder / LEDGER
    world = hashlib.sha256(f"{seed}/{lineage}".encode()).hexdigest()
    return folder / f"simulated-{world[:16]}.jsonl"


def limits_of(config: MerchantConfig, federation: Federation) -> Sequence[Limit]:
    """Return what this merchant's ledger may hold: the contract's budget, and the merchant's own cap.

    The contract's budget counts what was released under this contract, in all its trainings. The cap counts
    everything that was ever released from these shoppers, and the stricter one wins.
    """
    policy = federation.privacy
    if policy is None:
        return ()
    found = [Limit(epsilon=policy.epsilon, delta=policy.delta, fingerprint=federation.fingerprint)]
    if config.privacy.max_epsilon is not None:
        found.append(Limit(epsilon=config.privacy.max_epsilon, delta=policy.delta, fingerprint=None))
    return found
