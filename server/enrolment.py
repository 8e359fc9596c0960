"""The coordinator's list of members, `members.toml`.

```toml
[members.acme-garden]          # the name given to `flwr supernode register --name`
tier = "any"                   # one of the contract's tiers
tasks = ["late", "rating"]     # the contract's tasks that it trains
role = "train"                 # or "receive"
```
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from shared_model import declared
from shared_model.declared import CLOSED
from shared_model.errors import ConfigError
from shared_model.schema import Federation, Role

from .roster import Member

_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Enrolled:
    """One table of the file (fields as in `server.roster.Member`)."""

    tier: str
    tasks: tuple[str, ...]
    role: Role = "train"


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Members:
    """The whole file."""

    members: Annotated[dict[_Name, Enrolled], Field(min_length=1)]


def load_members(path: Path, federation: Federation) -> tuple[Member, ...]:
    """Return the members that the file at `path` enrols.

    Raises:
        ConfigError: The file says something that is not allowed, or names a tier or a task that the
            contract does not have.
    """
    enrolled = declared.load(Members, path).members
    for name, member in enrolled.items():
        if member.tier not in federation.tiers:
            raise ConfigError(path, f"members.{name}.tier", member.tier, ", ".join(federation.tiers))
        if unknown := sorted(set(member.tasks) - set(federation.tasks)):
            raise ConfigError(path, f"members.{name}.tasks", unknown[0], ", ".join(federation.tasks))
    return tuple(
        Member(name=name, tier=member.tier, tasks=frozenset(member.tasks), role=member.role)
        for name, member in enrolled.items()
    )
