"""The heads of merchants' privacy ledgers, kept from one training to the next.

A training keeps them in its checkpoints. What a merchant may spend counts over trainings, though, so a ledger
that is rolled back between two of them must be noticed too (`protocol.Instruction.ledger`).

Guarantee: the file is wholly there or not at all (`tests/server/test_heads.py`).
"""

import json
from collections.abc import Mapping
from pathlib import Path

from shared_model import files
from shared_model.errors import StateError


def load(path: Path) -> dict[str, str]:
    """Return name of a merchant -> head; nothing where there is no file.

    Raises:
        StateError: The file holds something else.
    """
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(head, str) for head in found.values()):
        raise StateError(f"{path} is damaged. Restore it from a copy; without it no roll-back is noticed.")
    return found


def save(path: Path, heads: Mapping[str, str], *, durable: bool = True) -> None:
    """Write `heads` over those that are there; merchants that are not among them keep theirs."""
    written = json.dumps({**load(path), **heads}, indent=1, sort_keys=True)
    files.write(path, written.encode(), durable=durable)


def forget(path: Path, name: str) -> None:
    """Forget a merchant that left: whoever takes its name later has another ledger."""
    heads = load(path)
    if heads.pop(name, None) is not None:
        files.write(path, json.dumps(heads, indent=1, sort_keys=True).encode())
