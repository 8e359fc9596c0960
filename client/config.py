"""What `merchant.toml` may say: where a shop's data lies and which tasks it wants. Private, never sent.

The file is read once, by `load_merchant`, and checked against the federation's contract. Passwords inside
database URLs are masked in every error; a URL may also name an environment variable, `${SHOP_PASSWORD}`,
which is looked up only when the database is opened.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import field, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field
from pydantic.dataclasses import dataclass

from shared_model import declared, schema
from shared_model.declared import CLOSED
from shared_model.errors import ConfigError
from shared_model.schema import Count, Federation, Positive, Task

from .data.canonical import TABLES
from .data.presets import PRESETS

T = TypeVar("T")
TableT = TypeVar("TableT", bound="ShopTable")

FILE_TYPES = (".csv", ".csv.gz", ".parquet")

# --- the file -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Identity:
    """The `[merchant]` table.

    Attributes:
        name: How the federation calls this merchant.
        state: Folder of everything the client writes, relative to the file.
        timezone: IANA name; times in the exports that name no zone are local to it.
        tier: One of the contract's size tiers; empty for the lowest.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    state: str = "state"
    timezone: str = "UTC"
    tier: str = ""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class ShopTable:
    """The `[orders]` and `[events]` tables.

    Attributes:
        source: Path or glob, relative to the file (CSV, Parquet), or an SQLAlchemy URL.
        query: SQL; required with a URL, forbidden with a file.
        preset: Which known export it is (`client/data/presets.py`).
        rename: Canonical column to the export's own column; wins over the preset.
    """

    source: Annotated[str, Field(min_length=1)]
    query: str = ""
    preset: str = "canonical"
    rename: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class ItemsTable(ShopTable):
    """The `[items]` table. `category_map` is a CSV of two columns: the merchant's word, the shared word."""

    category_map: str = ""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class ReadyTable:
    """The `[table]` table: one row per example.

    Attributes:
        source: As in `ShopTable`.
        query: As in `ShopTable`.
        time: Column with the time of the row; empty to split by a stable hash of the unit instead.
        unit: Column with the shopper; empty where each row is a unit of its own.
        columns: Feature to column; a sequence `s` of `f` is named `"s.f"`.
        labels: Task to column.
        separator: Splits the values of bags, vectors and sequences that are given as text.
    """

    source: Annotated[str, Field(min_length=1)]
    query: str = ""
    time: str = ""
    unit: str = ""
    columns: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    separator: Annotated[str, Field(min_length=1, max_length=4)] = "|"


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Split:
    """The `[split]` table: two dates, or days counted back from the end of the last row's day.

    Dates are midnights in the merchant's time zone. Train is before `validation_from`, test starts at
    `test_from`.
    """

    validation_from: date | None = None
    test_from: date | None = None
    validation_days: Count = 30
    test_days: Count = 60


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class PrivacyCap:
    """The `[privacy]` table: the largest epsilon this merchant takes part with; None for no cap."""

    max_epsilon: Positive | None = None


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Serving:
    """The `[serve]` table.

    Attributes:
        accept: `validation` serves the federated model for a task only where local evidence does not
            speak against it; `always` serves it everywhere.
    """

    accept: Literal["validation", "always"] = "validation"


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class MerchantFile:
    """All of `merchant.toml`, as written."""

    schema: Literal["shop-v1"]
    merchant: Identity
    orders: ShopTable | None = None
    items: ItemsTable | None = None
    events: ShopTable | None = None
    table: ReadyTable | None = None
    split: Split = Split()
    task: tuple[dict[str, Any], ...] = ()
    privacy: PrivacyCap = PrivacyCap()
    serve: Serving = Serving()


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class _CommonTask:
    """A `[[task]]` that the contract declares: what a merchant may set of it."""

    name: schema.Name
    weight: Positive | None = None


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class _OwnTask:
    """A `[[task]]` of the merchant's own, without its name."""

    task: Task


# --- what the rest of the client sees -----------------------------------------------------------------


@plain_dataclass(frozen=True, kw_only=True)
class MerchantConfig:
    """A merchant's file, checked against the contract, with absolute paths.

    Attributes:
        file: Where it was read from.
        name: Of the merchant.
        state: Folder of everything the client writes.
        timezone: IANA name.
        tier: A key of the contract's tiers.
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
    """

    file: Path
    name: str
    state: Path
    timezone: str
    tier: str
    orders: ShopTable | None = field(repr=False)
    items: ItemsTable | None = field(repr=False)
    events: ShopTable | None = field(repr=False)
    table: ReadyTable | None = field(repr=False)
    split: Split
    tasks: Mapping[str, Task]
    own_tasks: frozenset[str]
    privacy: PrivacyCap
    serve: Serving

    @property
    def shop_tables(self) -> dict[str, ShopTable]:
        """The declared shop tables by canonical name: orders, items, events."""
        found = {"orders": self.orders, "items": self.items, "events": self.events}
        return {name: table for name, table in found.items() if table is not None}


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
        raise ConfigError(error.file, error.key, _masked_value(error.value), masked(error.allowed)) from None


def is_url(source: str) -> bool:
    """Whether a source is a database rather than a file.

    >>> is_url("postgresql+psycopg://shop@db/shop"), is_url("exports/orders_*.csv")
    (True, False)
    """
    return re.match(r"[a-zA-Z][\w+.-]*://", source) is not None


def masked(text: str) -> str:
    """Return `text` without the passwords of the URLs in it.

    >>> masked("postgresql://shop:secret@db/shop?sslmode=require&password=secret")
    'postgresql://shop:***@db/shop?sslmode=require&password=***'
    """
    without = re.sub(r"(://[^:/@\s]*):\S*@", r"\1:***@", text)
    return re.sub(r"(?i)\b(password|passwd|pwd|sslpassword)=[^&\s'\"]*", r"\1=***", without)


def _masked_value(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    return masked(value if isinstance(value, str) else str(value))


# --- checks -------------------------------------------------------------------------------------------


def _resolved(file: Path, written: MerchantFile, federation: Federation) -> MerchantConfig:
    me = written.merchant
    _check_timezone(file, me.timezone)
    _check_split(file, written.split)
    _check_ways_in(file, written)
    _check_cap(file, written.privacy, federation)
    tasks, own = _wanted_tasks(file, written, federation)
    if written.table is not None:
        _check_mapping(file, written.table, tasks, federation)
    return MerchantConfig(
        file=file,
        name=me.name,
        state=file.parent / me.state,
        timezone=me.timezone,
        tier=_tier(file, me.tier, federation),
        orders=_located(file, "orders", written.orders),
        items=_located(file, "items", written.items),
        events=_located(file, "events", written.events),
        table=_ready(file, written.table),
        split=written.split,
        tasks=tasks,
        own_tasks=own,
        privacy=written.privacy,
        serve=written.serve,
    )


def _check_timezone(file: Path, name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(file, "merchant.timezone", name, "an IANA name such as Europe/Madrid") from None


def _check_split(file: Path, split: Split) -> None:
    first, second = split.validation_from, split.test_from
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
    if federation.privacy.epsilon > cap.max_epsilon:
        allowed = f"at least {federation.privacy.epsilon}, which is the contract's epsilon"
        raise ConfigError(file, "privacy.max_epsilon", cap.max_epsilon, allowed)


def _tier(file: Path, tier: str, federation: Federation) -> str:
    if not tier:
        return min(federation.tiers, key=lambda name: federation.tiers[name].shoppers)
    if tier not in federation.tiers:
        allowed = f"one of the contract's tiers: {', '.join(federation.tiers)}"
        raise ConfigError(file, "merchant.tier", tier, allowed)
    return tier


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


# --- tasks --------------------------------------------------------------------------------------------


def _wanted_tasks(
    file: Path, written: MerchantFile, federation: Federation
) -> tuple[dict[str, Task], frozenset[str]]:
    """All common tasks where the file names none, otherwise the named ones; and which of them are own."""
    if not written.task:
        return dict(federation.tasks), frozenset()
    tasks: dict[str, Task] = {}
    for position, table in enumerate(written.task):
        name = table.get("name")
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
            allowed = "a name: small letters, digits and underscores, beginning with a letter"
            raise ConfigError(file, f"task.{position}.name", name, allowed)
        if name in tasks:
            raise ConfigError(file, f"task.{position}.name", name, "every task at most once")
        common = federation.tasks.get(name)
        tasks[name] = _own(file, name, table, federation) if common is None else _common(file, common, table)
    labelled = written.table.labels if written.table else {}
    own = frozenset(tasks) - frozenset(federation.tasks)
    for name in tasks:
        _check_labelled(file, name, tasks[name], ready=written.table is not None, mapped=name in labelled)
    return tasks, own


def _common(file: Path, task: Task, table: Mapping[str, Any]) -> Task:
    choice = _parse_task(_CommonTask, table, str(table["name"]), file)
    return task if choice.weight is None else replace(task, weight=choice.weight)


def _own(file: Path, name: str, table: Mapping[str, Any], federation: Federation) -> Task:
    if "kind" not in table:
        allowed = f"a task of the contract ({', '.join(federation.tasks)}), or `kind` for an own task"
        raise ConfigError(file, f"task.{name}.kind", None, allowed)
    if table.get("head", "local") != "local":
        raise ConfigError(file, f"task.{name}.head", table["head"], "local; own tasks share nothing")
    described = {key: value for key, value in table.items() if key != "name"}
    task = _parse_task(_OwnTask, {"task": {**described, "head": "local"}}, name, file).task
    schema.check_task(name, task, file=file, table="task")
    return task


def _parse_task(form: type[T], table: Mapping[str, Any], name: str, file: Path) -> T:
    """Parse one `[[task]]`; an error names it by its name rather than by its position."""
    try:
        return declared.parse(form, table, file=file)
    except ConfigError as error:
        key = error.key.removeprefix("task").removeprefix(".")
        raise ConfigError(file, f"task.{name}.{key}", error.value, error.allowed) from None


def _check_labelled(file: Path, name: str, task: Task, *, ready: bool, mapped: bool) -> None:
    if ready and not mapped:
        raise ConfigError(file, f"table.labels.{name}", None, f"the column that holds the labels of {name}")
    if not ready and not task.library:
        allowed = f"a library task in task.{name}, since shop tables hold no label column; or a ready [table]"
        raise ConfigError(file, f"task.{name}.library", None, allowed)


def _check_mapping(file: Path, table: ReadyTable, tasks: Mapping[str, Task], federation: Federation) -> None:
    """Refuse a ready table that maps the unknown, maps a column twice, or reads a label as a feature."""
    for task in table.labels:
        if task not in tasks and task not in federation.tasks:
            allowed = f"one of the tasks {', '.join({**federation.tasks, **tasks})}"
            raise ConfigError(file, f"table.labels.{task}", task, allowed)
    slots = feature_slots(federation)
    for feature in table.columns:
        if feature not in slots:
            raise ConfigError(file, f"table.columns.{feature}", feature, f"one of {', '.join(slots)}")
    read: dict[str, str] = {}
    for slot, guesses in slots.items():
        named = table.columns.get(slot)
        if named is not None and named in read:
            allowed = f"another column; this one is already mapped to {read[named]}"
            raise ConfigError(file, f"table.columns.{slot}", named, allowed)
        if named is not None:
            read[named] = slot
        leaks = {named} if named is not None else set(guesses)
        for task, label in table.labels.items():
            if label in leaks:
                allowed = f"a column that no feature reads; {slot} would read the label"
                raise ConfigError(file, f"table.labels.{task}", label, allowed)


def feature_slots(federation: Federation) -> dict[str, tuple[str, ...]]:
    """Return what a ready table may map, with the columns that are tried where it does not.

    A feature is a slot of its own; a sequence `s` described by `f` has the slot `s.f`.
    """
    slots: dict[str, tuple[str, ...]] = {}
    for name, feature in federation.features.items():
        if isinstance(feature, schema.Sequence):
            alone = (name, feature.column) if len(feature.of) == 1 else ()
            slots |= {f"{name}.{of}": tuple(c for c in (f"{name}.{of}", *alone) if c) for of in feature.of}
        else:
            slots[name] = (name, feature.column) if feature.column else (name,)
    return slots
