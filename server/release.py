"""The end of a training: the released arrays go into the run directory and to every member."""

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

import torch
from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid

from shared_model import files, protocol
from shared_model.journal import Journal
from shared_model.protocol import Instruction, SharedArrays
from shared_model.schema import Federation

from . import replies, wire
from .config import RunSettings
from .coordinator import JOURNAL
from .open_round import OpenRound, sender
from .questions import Sign, unsigned
from .roster import Roster

RELEASED = "released.safetensors"
ADOPT = f"{MessageType.TRAIN}.adopt"
"""Message type that asks a merchant to take the released arrays over."""


def write(
    arrays: SharedArrays, federation: Federation, settings: RunSettings, *, sign: Sign = unsigned
) -> Path:
    """Write the released arrays into the run directory and return the file.

    With the signed instruction in it the file is an offer too: `fedbazaar-client adopt` takes it over,
    however it reached the merchant.

    Raises:
        OSError: The disk is full; an earlier file stays as it was.
    """
    path = settings.directory / RELEASED
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    instruction = sign(_adoption(arrays, federation, settings))
    metadata = {
        "fingerprint": federation.fingerprint,
        "lineage": settings.lineage,
        "instruction": json.dumps(instruction.to_mapping()),
    }
    files.write_tensors(path, tensors, metadata, durable=settings.durable)
    return path


def offer(
    grid: Grid,
    arrays: SharedArrays,
    federation: Federation,
    *,
    settings: RunSettings,
    roster: Roster,
    everybody: Collection[str] = (),
    sign: Sign = unsigned,
) -> Mapping[str, str]:
    """Ask every member, those that only receive too, to adopt the released arrays.

    What a merchant makes of them it keeps to itself: a reply is empty, or one of the fixed codes. The journal
    notes who adopted and who did not; nobody is asked twice, since the file stays where it is.

    Args:
        grid: Reaches the merchants.
        arrays: The released ones.
        federation: The contract.
        settings: Of the run.
        roster: Who can be reached.
        everybody: Names of all members, where there is a list; who cannot be reached is noted as missing.
        sign: Puts the coordinator's signature on the offer.

    Returns:
        Name -> `adopted`, `missing`, or why not, for every member.
    """
    members = dict(roster(grid))
    instruction = sign(_adoption(arrays, federation, settings))
    content = RecordDict(
        {protocol.ARRAYS: wire.pack(arrays), protocol.INSTRUCTION: ConfigRecord({**instruction.to_mapping()})}
    )
    offers = [Message(content, node, ADOPT, group_id="release") for node in sorted(members)]
    opened = OpenRound(instruction, arrays, members, offers)
    outcome = dict.fromkeys([*everybody, *(member.name for member in members.values())], "missing")
    for reply in grid.send_and_receive(offers, timeout=federation.federation.deadline_seconds):
        node = sender(opened, reply)
        if node is not None:
            outcome[members[node].name] = replies.acknowledged(reply)
    _note(settings, outcome)
    return outcome


def _adoption(arrays: SharedArrays, federation: Federation, settings: RunSettings) -> Instruction:
    return Instruction(
        kind="adopt",
        fingerprint=federation.fingerprint,
        lineage=settings.lineage,
        round=federation.federation.rounds,
        digest=protocol.digest(arrays),
    )


def _note(settings: RunSettings, outcome: Mapping[str, str]) -> None:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    with Journal(settings.directory / JOURNAL, durable=settings.durable) as journal:
        journal.append("released", at=at, members=dict(sorted(outcome.items())))
