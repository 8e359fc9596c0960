"""Whom a round asks, and what each is sent."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from shared_model import protocol
from shared_model.protocol import Instruction
from shared_model.schema import Federation

from .checkpoint import Progress
from .roster import Member

Note = Callable[..., None]
"""Writes one event and its facts, as `shared_model.journal.Journal.append` does."""

Sign = Callable[[Instruction], Instruction]
"""Puts the coordinator's signature on an instruction."""


def unsigned(instruction: Instruction) -> Instruction:
    """Return the instruction as it is, which is enough in a simulation."""
    return instruction


def members_of(found: Mapping[int, Member], federation: Federation, note: Note) -> dict[int, Member]:
    """Return the members that train, by node id, in order of node id.

    Args:
        found: Everybody who can be reached now.
        federation: The contract, which knows the tiers and which of them train.
        note: Is told of members that cannot be asked, and why.
    """
    asked: dict[int, Member] = {}
    names: set[str] = set()
    for node, member in sorted(found.items()):
        if member.tier not in federation.tiers:
            note("member_refused", merchant=member.name, reason=f"unknown tier {member.tier}")
        elif member.name in names:
            note("member_refused", merchant=member.name, reason="the name is taken by another node")
        elif member.role == federation.tiers[member.tier].role == "train":
            asked[node] = member
            names.add(member.name)
    return asked


def contents(
    arrays: ArrayRecord, common: Instruction, members: Iterable[Member], progress: Progress, sign: Sign
) -> Iterator[RecordDict]:
    """Yield what each member is sent: the arrays, and the instruction in its name, signed."""
    template = RecordDict({protocol.ARRAYS: arrays, protocol.INSTRUCTION: ConfigRecord()})
    shared = common.to_mapping()
    instruction = ConfigRecord({**shared})
    for member in members:
        own = sign(
            replace(
                common,
                merchant=member.name,
                answered=progress.answered.get(member.name, 0),
                ledger=progress.ledgers.get(member.name, ""),
            )
        )
        record, content = instruction.copy(), template.copy()
        for key, value in own.to_mapping().items():
            if shared[key] != value:  # Flower checks whatever is set, so only what differs is
                record[key] = value
        content[protocol.INSTRUCTION] = record
        yield content
