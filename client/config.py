"""A merchant's configuration: `merchant.toml`, read once and checked against the contract.

Passwords inside database URLs are masked in every error; a URL may also name an environment variable,
`${SHOP_PASSWORD}`, which is looked up only when the database is opened.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared_model import declared
from shared_model.errors import ConfigError
from shared_model.schema import Federation, Role, Task, Vector

from .connection import Connection, located
from .data.canonical import TABLES
from .data.presets import PRESETS
from .mapping import check_mapping
from .merchant_file import (
    FILE_TYPES,
    ItemsTable,
    MerchantFile,
    PrivacyCap,
    ReadyTable,
    Serving,
    ShopTable,
    Split,
    is_url,
    masked_error,
)
from .wanted_tasks import wanted_tasks

TableT = TypeVar("TableT", bound=ShopTable)


@dataclass(frozen=True, kw_only=True)
class MerchantConfig:
    """A merchant's file, checked against the contract, with absolute paths.

    Attributes:
        file: Where it was read from.
        name: Of the merchant.
        state: Folder of everything the client writes.
        timezone: IANA name.
        tier: A key of the contract's tiers.
        role: `train`, or `receive` where the merchant releases nothing.
        domain: One of the contract's domains; None where it adapts to none, or the merchant only receives.
        ledger: Folder of its privacy ledger.
        orders: Order lines; None with a ready table.
        items: Item facts.
        events: Visits and advertisements.
        table: The ready table; None with shop tables.
        split: See `Split`.
        tasks: Wanted tasks, common ones with the merchant's weight, own ones with a local head. Whether the
            data supports them is known only after reading it (`client.data.dataset.Dataset.status`).
        own_tasks: Those of them that the contract does not declare.
        privacy: See `PrivacyCap`.
        serve: See `Serving`.
        connect: How it reaches the coordinator; None where it is not deployed, as in a simulation.
    """

    file: Path
    name: str
    state: Path
    timezone: str
    tier: str
    role: Role
    domain: str | None
    ledger: Path
    orders: ShopTable | None = field(repr=False)
    items: ItemsTable | None = field(repr=False)
    events: ShopTable | None = field(repr=False)
    table: ReadyTable | None = field(repr=False)
    split: Split
    tasks: Mapping[str, Task]
    own_tasks: frozenset[str]
    privacy: PrivacyCap
    serve: Serving
    connect: Connection | None

    @property
    def shop_tables(self) -> dict[str, ShopTable]:
        """The declared shop tables by canonical name: orders, items, events."""
        found = {"orders": self.orders, "items": self.items, "events": self.events}
        return {name: table for name, table in found.items() if table is not None}

    def alone(self, federation: Federation) -> frozenset[str]:
        """Return the tasks of the contract for which the merchant wants a head of its own only."""
        common = federation.tasks
        return frozenset(t for t, task in self.tasks.items() if t in common and task.head != common[t].head)


def load_merchant(path: Path, federation: Federation) -> MerchantConfig:
    """Return the merchant's configuration at `path`, checked against the contract.

    Args:
        path: The merchant's TOML file; paths in it are relative to its folder.
        federation: The contract that the merchant wants to take part in.

    Raises:
        ConfigError: The file is missing, or says something that is not allowed or does not fit the contract.
    """
    try:
        written = declared.load(MerchantFile, path)
        return _resolved(path.absolute(), written, federation)
    except ConfigError as error:
        raise masked_error(error) from None


# --- checks -------------------------------------------------------------------------------------------


def _resolved(file: Path, written: MerchantFile, federation: Federation) -> MerchantConfig:
    me = written.merchant
    _check_timezone(file, me.timezone)
    _check_split(file, written.split)
    _check_ways_in(file, written)
    _check_cap(file, written.privacy, federation)
    _check_vectors(file, written.items, federation)
    tasks, own = wanted_tasks(file, written, federation)
    tier = _tier(file, me.tier, federation)
    role = _role(file, me.role, tier, federation)
    if written.table is not None:
        check_mapping(file, written.table, tasks, federation)
    return MerchantConfig(
        file=file,
        name=me.name,
        state=file.parent / me.state,
        timezone=me.timezone,
        tier=tier,
        role=role,
        domain=_domain(file, me.domain, role, federation),
        ledger=file.parent / written.privacy.ledger,
        orders=_located(file, "orders", written.orders),
        items=_located(file, "items", written.items),
        events=_located(file, "events", written.events),
        table=_ready(file, written.table),
        split=written.split,
        tasks=tasks,
        own_tasks=own,
        privacy=written.privacy,
        serve=written.serve,
        connect=None if written.connect is None else located(file, written.connect),
    )


def _check_timezone(file: Path, name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(file, "merchant.timezone", name, "an IANA name such as Europe/Madrid") from None


def _check_split(file: Path, split: Split) -> None:
    first, second = split.validation_from, split.test_from
    if split.folds in (1, 2):
        raise ConfigError(file, "split.folds", split.folds, "0 for a split by time, or 3 and more")
    if split.fold and split.fold >= split.folds:
        raise ConfigError(file, "split.fold", split.fold, f"less than split.folds, which is {split.folds}")
    if split.folds and first is not None:
        raise ConfigError(file, "split.folds", split.folds, "0 with dates, or no dates")
    if (first is None) != (second is None):
        missing = "validation_from" if first is None else "test_from"
        raise ConfigError(file, f"split.{missing}", None, "both dates, or neither and days instead")
    if first is not None and second is not None and first >= second:
        raise ConfigError(
            file, "split.test_from", str(second), f"a date after validation_from, which is {first}"
        )


def _check_ways_in(file: Path, written: MerchantFile) -> None:
    shop = [name for name in TABLES if getattr(written, name) is not None]
    if written.table is not None and shop:
        allowed = "either shop tables ([orders], [items], [events]) or one ready [table], not both"
        raise ConfigError(file, "table", f"set beside [{shop[0]}]", allowed)
    if written.table is None and written.orders is None and written.events is None:
        raise ConfigError(file, "orders", None, "[orders], [events], or a ready [table]")


def _check_cap(file: Path, cap: PrivacyCap, federation: Federation) -> None:
    if cap.max_epsilon is None:
        return
    if federation.privacy is None:
        allowed = "no cap, since this federation trains without differential privacy; or another federation"
        raise ConfigError(file, "privacy.max_epsilon", cap.max_epsilon, allowed)


def _check_vectors(file: Path, items: ItemsTable | None, federation: Federation) -> None:
    known = [name for name, feature in federation.features.items() if isinstance(feature, Vector)]
    for name, column in items.vectors.items() if items is not None else ():
        if name not in known:
            allowed = f"vector features of the contract: {', '.join(known) or 'there are none'}"
            raise ConfigError(file, f"items.vectors.{name}", column, allowed)


def _tier(file: Path, tier: str, federation: Federation) -> str:
    if not tier:
        return min(federation.tiers, key=lambda name: federation.tiers[name].shoppers)
    if tier not in federation.tiers:
        allowed = f"one of the contract's tiers: {', '.join(federation.tiers)}"
        raise ConfigError(file, "merchant.tier", tier, allowed)
    return tier


def _role(file: Path, role: str, tier: str, federation: Federation) -> Role:
    agreed = federation.tiers[tier].role
    if role == "train" and agreed == "receive":
        allowed = f"receive, since merchants of the tier {tier!r} add more noise than they know; or nothing"
        raise ConfigError(file, "merchant.role", role, allowed)
    return "receive" if role == "receive" else agreed


def _domain(file: Path, domain: str, role: Role, federation: Federation) -> str | None:
    if federation.adaptation is None or role == "receive":
        return None
    if domain not in federation.adaptation.domains:
        allowed = f"one of the contract's domains: {', '.join(federation.adaptation.domains)}"
        raise ConfigError(file, "merchant.domain", domain or None, allowed)
    return domain


def _located(file: Path, name: str, table: TableT | None) -> TableT | None:
    if table is None:
        return None
    if table.preset not in PRESETS or name not in PRESETS[table.preset]:
        known = [preset for preset, tables in PRESETS.items() if name in tables]
        raise ConfigError(file, f"{name}.preset", table.preset, f"one of {', '.join(known)}")
    for column in table.rename:
        if column not in TABLES[name]:
            raise ConfigError(file, f"{name}.rename.{column}", column, f"one of {', '.join(TABLES[name])}")
    if isinstance(table, ItemsTable) and table.category_map:
        table = replace(table, category_map=str(file.parent / table.category_map))
    return replace(table, source=_source(file, name, table.source, table.query))


def _ready(file: Path, table: ReadyTable | None) -> ReadyTable | None:
    return table and replace(table, source=_source(file, "table", table.source, table.query))


def _source(file: Path, table: str, source: str, query: str) -> str:
    if is_url(source):
        if not query:
            raise ConfigError(file, f"{table}.query", None, "an SQL query, which a database URL needs")
        return source
    if query:
        raise ConfigError(file, f"{table}.query", query, "nothing, where source is a file")
    if not source.lower().endswith(FILE_TYPES):
        allowed = f"a path or glob that ends in {', '.join(FILE_TYPES)}, or a database URL"
        raise ConfigError(file, f"{table}.source", source, allowed)
    return str(file.parent / source)
