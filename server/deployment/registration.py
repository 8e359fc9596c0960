"""Members and the SuperLink: which node is whose, and telling the SuperLink what it does not know yet.

Flower's list of nodes shows ids only, so the id that a registration returned is remembered here, to show who
is online. Whose reply is whose, the ServerApp hears from the SuperLink itself.
"""

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from shared_model import files
from shared_model.errors import StateError

from . import flower, members
from .market import Market

_UNREGISTERED = "unregistered"
_UNKNOWN = 0


@dataclass(frozen=True)
class Remembered:
    """What `state/nodes.json` holds.

    Attributes:
        nodes: Name -> node id of the members that were registered; 0 where the id is not known.
        leaving: Ids of nodes whose members were withdrawn while the SuperLink was away.
    """

    nodes: Mapping[str, int] = field(default_factory=dict)
    leaving: tuple[int, ...] = ()


def reconcile(market: Market, tell: Callable[[str], None]) -> None:
    """Register the members whose nodes the SuperLink does not know, and unregister those that left.

    Args:
        market: The coordinator's folder.
        tell: Is told of each change, in words.

    Raises:
        StateError: The SuperLink cannot be reached.
    """
    known = {node.identity for node in flower.nodes(market.flower_home) if node.status != _UNREGISTERED}
    for identity in (gone := remembered(market).leaving):
        if identity in known:
            flower.unregister(market.flower_home, identity)
            tell(f"unregistered node {identity}, whose member was withdrawn")
    with _alone(market):
        now = remembered(market)
        _remember(market, replace(now, leaving=tuple(node for node in now.leaving if node not in gone)))
    for name in members.enrolled(market):
        if remembered(market).nodes.get(name) not in known | {_UNKNOWN}:
            register(market, name)
            tell(f"registered {name}")


def register(market: Market, name: str) -> None:
    """Register one member's key under its name.

    Raises:
        StateError: The SuperLink cannot be reached or refuses.
    """
    try:
        found = flower.register(market.flower_home, members.public_key_file(market, name), name)
    except flower.KeyInUse:  # by somebody else this moment, or earlier and the id was lost on the way
        found = _UNKNOWN
    with _alone(market):
        now = remembered(market)
        known = found or now.nodes.get(name, _UNKNOWN)
        _remember(market, replace(now, nodes={**now.nodes, name: known}))


def forget(market: Market, name: str) -> None:
    """Note that a member's node is to be unregistered; `reconcile` does it.

    Raises:
        StateError: The SuperLink knows the member's key, but nobody knows as which node.
    """
    with _alone(market):
        now = remembered(market)
        nodes = dict(now.nodes)
        found = nodes.pop(name, None)
        if found == _UNKNOWN:
            raise StateError(
                f"The SuperLink knows the key of {name}, but under which number was lost, so that its node "
                f"cannot be turned away. Stop `up`, remove {market.state}, start `up`, which registers all "
                "members anew, and withdraw it then."
            )
        _remember(market, Remembered(nodes, now.leaving if found is None else (*now.leaving, found)))


def statuses(market: Market) -> Mapping[str, str]:
    """Return name -> `online`, `offline`, `registered` (never seen yet) or `unknown`, for every member.

    Raises:
        StateError: The SuperLink cannot be reached.
    """
    found = {node.identity: node.status for node in flower.nodes(market.flower_home)}
    nodes = remembered(market).nodes
    return {name: found.get(nodes.get(name, _UNKNOWN), "unknown") for name in members.enrolled(market)}


def remembered(market: Market) -> Remembered:
    """Return what is known of the members' nodes."""
    file = _file(market)
    if not file.exists():
        return Remembered()
    written = json.loads(file.read_text(encoding="utf-8"))
    return Remembered(written["nodes"], tuple(written["leaving"]))


def _file(market: Market) -> Path:
    return market.state / "nodes.json"


@contextmanager
def _alone(market: Market) -> Iterator[None]:
    """Let one process at a time change what is remembered: `up` and `enroll` may meet."""
    with (market.state / "nodes.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remember(market: Market, now: Remembered) -> None:
    files.write(_file(market), json.dumps(asdict(now), indent=2).encode())
