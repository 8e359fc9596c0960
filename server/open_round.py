"""A round between its questions and its result."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from flwr.app import Message

from shared_model.protocol import Instruction, SharedArrays

from .aggregation import WeightedSum
from .roster import Member
from .telemetry import Told


@dataclass
class OpenRound:
    """Who was asked what, and what has come back so far.

    Attributes:
        instruction: What the asked merchants got, each in its own name.
        start: The arrays they got.
        members: Whom it asked, by node id.
        messages: The questions; a grid writes their ids when it sends them.
        accepted: Names whose replies entered the sum.
        ledgers: Name -> head of its ledger, of those whose replies did and who keep one.
        refused: Name -> why its reply did not.
        answered: Nodes that replied.
        total: The sum so far.
        told: Their telemetry so far.
        node_of_question: Id of a question -> the node that was asked.
    """

    instruction: Instruction
    start: SharedArrays
    members: Mapping[int, Member]
    messages: list[Message]
    accepted: list[str] = field(default_factory=list)
    ledgers: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)
    total: WeightedSum = field(default_factory=WeightedSum)
    told: Told = field(default_factory=Told)
    node_of_question: dict[str, int] = field(default_factory=dict)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of what travels in the round."""
        return {name: array.shape for name, array in self.start.items()}

    def forget(self) -> None:
        """Let go of the arrays that went down, once nothing is counted from them any more."""
        self.start, self.messages = {}, []

    @property
    def missing(self) -> list[str]:
        """Names that were asked and did not answer, in order."""
        return sorted(member.name for node, member in self.members.items() if node not in self.answered)


def needed(quorum: float, asked: int) -> int:
    """Return how many usable replies a round needs: at least one, and the share `quorum` of those asked.

    >>> needed(0.5, 5), needed(0.1, 30), needed(0.5, 0)
    (3, 3, 1)
    """
    return max(1, math.ceil(round(quorum * asked, 9)))


def sender(opened: OpenRound, reply: Message) -> int | None:
    """Return the asked node that a reply answers for, or None.

    The question it answers decides, not the sender written on it: error replies that the SuperLink makes
    for a lost node carry the SuperLink's own id.
    """
    if not opened.node_of_question:  # a grid writes the ids when it sends
        opened.node_of_question |= {m.metadata.message_id: m.metadata.dst_node_id for m in opened.messages}
        opened.node_of_question.pop("", None)
    node = opened.node_of_question.get(reply.metadata.reply_to_message_id)
    return node if reply.has_error() or reply.metadata.src_node_id == node else None
