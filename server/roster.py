"""Who takes part: from Flower's nodes to the federation's members."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import cast, get_args

from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid

from shared_model import protocol
from shared_model.errors import AggregationError
from shared_model.schema import Role

_QUERY_SECONDS = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Member:
    """What the coordinator may know of a merchant.

    Attributes:
        name: Under which the journal speaks of it.
        tier: Its public size class, one of the contract's tiers.
        tasks: Names of the contract's tasks that it trains.
        role: `train`: asked in every round, or in those that draw it (`server.drawing`). `receive`: never
            asked, gets the released model only.
    """

    name: str
    tier: str
    tasks: frozenset[str]
    role: Role = "train"


Roster = Callable[[Grid], Mapping[int, Member]]
"""Node id -> member, for the nodes that can be reached now; asked again before every round."""


def registered(members: Mapping[int, Member]) -> Roster:
    """Return a roster of known nodes; nodes that are not in `members` take no part."""

    def reachable(grid: Grid) -> Mapping[int, Member]:
        return {node: members[node] for node in grid.get_node_ids() if node in members}

    return reachable


def by_name(members: Iterable[Member]) -> Roster:
    """Return a roster that knows merchants by the name under which their key was registered.

    The name is what the coordinator typed in `flwr supernode register --name`; Flower binds it to the
    node's key. So a merchant cannot pass for another, and unknown nodes take no part.
    """
    known = {member.name: member for member in members}

    def reachable(grid: Grid) -> Mapping[int, Member]:
        return {node.node_id: known[node.name] for node in grid.get_nodes() if node.name in known}

    return reachable


def asked(*, seconds: float = _QUERY_SECONDS) -> Roster:
    """Return a roster that asks every node once who it is, and believes it.

    For simulations, where nodes have no registered names. A node that does not answer, or whose answer
    cannot be read, takes no part and is asked again before the next round.
    """
    known: dict[int, Member] = {}

    def reachable(grid: Grid) -> Mapping[int, Member]:
        present = list(grid.get_node_ids())
        known.update(_answers(grid, [node for node in present if node not in known], seconds))
        return {node: known[node] for node in present if node in known}

    return reachable


def waiting(roster: Roster, *, members: int, seconds: float, poll_seconds: float = 1.0) -> Roster:
    """Return `roster`, which waits until at least so many `members` can be reached.

    The returned roster raises `AggregationError` where fewer are there after `seconds`.
    """

    def reachable(grid: Grid) -> Mapping[int, Member]:
        end = time.monotonic() + seconds
        while len(found := roster(grid)) < members:
            if time.monotonic() >= end:
                raise AggregationError(
                    f"{len(found)} of {members} members can be reached after {seconds:g} s. Start their "
                    "nodes, or lower the number of members to wait for."
                )
            time.sleep(poll_seconds)
        return found

    return reachable


def _answers(grid: Grid, nodes: list[int], seconds: float) -> dict[int, Member]:
    if not nodes:
        return {}
    questions = [Message(RecordDict(), node, MessageType.QUERY) for node in nodes]
    members = {}
    for reply in grid.send_and_receive(questions, timeout=seconds):
        node = reply.metadata.src_node_id
        member = None if reply.has_error() else _member(reply.content)
        if member is None or node not in nodes:
            logger.warning("node %s did not say who it is; it takes no part", node)
        else:
            members[node] = member
    return members


def _member(content: RecordDict) -> Member | None:
    """Return the member that an answer describes: name, tier, tasks (comma list) and, optionally, role."""
    facts = content.get(protocol.REPORT)
    if not isinstance(facts, ConfigRecord) or not {"name", "tier", "tasks"} <= set(facts):
        return None
    name, tier, tasks, role = (facts.get(key, "train") for key in ("name", "tier", "tasks", "role"))
    if not (isinstance(name, str) and isinstance(tier, str) and isinstance(tasks, str)):
        return None
    if role not in get_args(Role):
        return None
    names = frozenset(task.strip() for task in tasks.split(",") if task.strip())
    return Member(name=name, tier=tier, tasks=names, role=cast(Role, role))
