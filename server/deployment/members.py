"""Who may take part: `members.toml` and the members' public keys.

Guarantees:
    * No two members share a name or a key, and a key that was withdrawn does not come back: the SuperLink
      never takes it again.
    * `members.toml` is wholly the old one or wholly the new one; a key is written before the member whose it
      is.
    (`tests/server/deployment/test_members.py`)
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import tomli_w
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared_model import declared, files
from shared_model.errors import ConfigError, StateError
from shared_model.schema import Federation, Retrieval, Role, Task, load_federation

from .. import heads
from ..enrolment import Enrolled, Members
from .market import Market

WITHDRAWN = ".withdrawn"
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def enrolled(market: Market) -> Mapping[str, Enrolled]:
    """Return the members by name; none while the file is absent.

    Raises:
        ConfigError: The file says something that is not allowed.
    """
    return declared.load(Members, market.members).members if market.members.exists() else {}


def public_key_file(market: Market, name: str) -> Path:
    """Return where a member's public key is kept."""
    return market.public_keys / f"{name}.pub"


def enroll(
    market: Market,
    public_key: Path,
    name: str,
    *,
    tier: str | None = None,
    tasks: Sequence[str] = (),
    role: Role = "train",
) -> Enrolled:
    """Write a new member down.

    Args:
        market: The coordinator's folder.
        public_key: The merchant's `node.pub`.
        name: Under which the federation knows the merchant.
        tier: One of the contract's; may be left out where it has only one.
        tasks: Names of the contract's tasks that it trains; all whose heads are not local by default.
        role: See `server.roster.Member`; in a tier that only receives it is `receive` whatever is asked.

    Returns:
        What was written.

    Raises:
        ConfigError: Name, key, tier or tasks are not allowed, or the name or the key is taken.
    """
    federation, known = load_federation(market.contract), enrolled(market)
    if not _NAME.fullmatch(name):
        allowed = "small letters, digits and hyphens, at most 63, beginning with a letter or digit"
        raise ConfigError("enroll", "--name", name, allowed)
    if name in known:
        raise ConfigError("enroll", "--name", name, f"a name that is not taken; taken: {', '.join(known)}")
    key = read_public_key(public_key)
    _check_new(market, key, public_key)
    tier = _tier(federation, tier)
    role = role if federation.tiers[tier].role == "train" else "receive"
    member = Enrolled(tier=tier, tasks=_tasks(federation, tasks), role=role)
    files.write(public_key_file(market, name), key)
    _write(market, {**known, name: member})
    return member


def withdraw(market: Market, name: str) -> None:
    """Strike a member off; its key is kept aside, so that it cannot come back.

    Raises:
        StateError: There is no such member.
    """
    known = dict(enrolled(market))
    if name not in known:
        names = ", ".join(known) or "nobody"
        raise StateError(f"{name} is not a member of {market.folder}. Members: {names}.")
    del known[name]
    _write(market, known)
    heads.forget(market.ledgers, name)
    key = public_key_file(market, name)
    if key.exists():
        key.replace(_free(key.with_suffix(WITHDRAWN)))


def read_public_key(path: Path) -> bytes:
    """Return a node's public key in OpenSSH form, without its comment.

    Raises:
        ConfigError: The file is missing or holds another kind of key.
    """
    allowed = "the node.pub that `fedbazaar-client init` made: an ECDSA key on a NIST curve, OpenSSH form"
    try:
        text = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(path, "", None, allowed) from None
    if b"PRIVATE KEY" in text:
        raise ConfigError(path, "", "a private key, which never leaves the merchant", allowed)
    try:
        key = serialization.load_ssh_public_key(text)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, _CURVES):
        raise ConfigError(path, "", "no such key", allowed)
    return _openssh(key)


def _check_new(market: Market, key: bytes, path: Path) -> None:
    for known in sorted(market.public_keys.glob("*")):
        if known.read_bytes() == key:
            name, withdrawn = known.name.split(".")[0], WITHDRAWN in known.name
            what = f"the key that was withdrawn from {name}" if withdrawn else f"the key of {name}"
            raise ConfigError(path, "", what, "a key of its own; `fedbazaar-client init` makes one")


def _tier(federation: Federation, tier: str | None) -> str:
    if tier is None and len(federation.tiers) == 1:
        return next(iter(federation.tiers))
    if tier not in federation.tiers:
        raise ConfigError("enroll", "--tier", tier, ", ".join(federation.tiers))
    return tier


def _tasks(federation: Federation, tasks: Sequence[str]) -> tuple[str, ...]:
    if unknown := [task for task in tasks if task not in federation.tasks]:
        raise ConfigError("enroll", "--tasks", unknown[0], ", ".join(federation.tasks))
    common = [name for name, task in federation.tasks.items() if _is_shared(federation, task)]
    return tuple(dict.fromkeys(tasks or common or federation.tasks))


def _is_shared(federation: Federation, task: Task) -> bool:
    """Whether anything of a task's head travels."""
    if isinstance(task, Retrieval):
        return federation.privacy is None and (bool(task.content) or task.repeats)
    return task.head != "local"


def _write(market: Market, members: Mapping[str, Enrolled]) -> None:
    if not members:
        market.members.unlink(missing_ok=True)
        return
    tables = {name: {**asdict(member), "tasks": list(member.tasks)} for name, member in members.items()}
    files.write(market.members, tomli_w.dumps({"members": tables}).encode())


def _free(path: Path) -> Path:
    """Return `path`, or the first of path.2, path.3, ... that is not taken."""
    number = 2
    free = path
    while free.exists():
        free, number = path.with_name(f"{path.name}.{number}"), number + 1
    return free


def _openssh(key: ec.EllipticCurvePublicKey) -> bytes:
    form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return key.public_bytes(*form) + b"\n"
