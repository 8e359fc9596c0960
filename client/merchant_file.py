"""What may be written in `merchant.toml`, table by table. Private, never sent.

What the values mean together is checked in `config.py`.
"""

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from shared_model.declared import CLOSED
from shared_model.errors import ConfigError
from shared_model.schema import Count, NonNegative, Positive

NonEmpty = Annotated[str, Field(min_length=1)]
Address = Annotated[str, Field(pattern=r"^([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}$")]
"""`host:port`; a host is a name, an IPv4 address, or an IPv6 address in brackets."""

Candidate = Literal["alone", "federated", "fine_tuned", "ditto", "mixture", "prior"]

FILE_TYPES = (".csv", ".csv.gz", ".parquet")
"""How the name of a file with data may end."""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Identity:
    """The `[merchant]` table.

    Attributes:
        name: How the federation calls this merchant.
        state: Folder of everything the client writes, relative to the file.
        timezone: IANA name; times in the exports that name no zone are local to it.
        tier: One of the contract's size tiers; empty for the lowest.
        role: `receive` to get the released model and release nothing; empty for the role of the tier.
        domain: What kind of merchant it is, one of the contract's `adaptation.domains`; read only where there
            are any.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    state: str = "state"
    timezone: str = "UTC"
    tier: str = ""
    role: Literal["", "train", "receive"] = ""
    domain: str = ""


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
    """The `[items]` table.

    Attributes:
        category_map: A CSV of two columns: the merchant's word, the shared word.
        vectors: Vector feature of the contract to the export's column that holds one per item: lists of
            numbers, or text.
        separator: Splits the numbers of a vector that is given as text.
    """

    category_map: str = ""
    vectors: dict[str, str] = Field(default_factory=dict)
    separator: Annotated[str, Field(min_length=1, max_length=4)] = "|"


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
    """The `[split]` table: two dates, days counted back from the end of the last row's day, or folds.

    Dates are midnights in the merchant's time zone. Train is before `validation_from`, test starts at
    `test_from`.

    Attributes:
        folds: For cross-validation: shoppers are dealt into so many parts, whatever the time of their rows; 0
            for a split by time. It says how well shoppers are predicted that were never seen, not what will
            come; what is served in earnest is split by time.
        fold: The part that tests, from 0; the next one validates, all others train.
    """

    validation_from: date | None = None
    test_from: date | None = None
    validation_days: Count = 30
    test_days: Count = 60
    folds: Annotated[int, Field(ge=0, le=100)] = 0
    fold: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class PrivacyCap:
    """The `[privacy]` table.

    Attributes:
        max_epsilon: What may be spent on this merchant's shoppers in all trainings of all contracts, at the
            contract's delta; training stops by itself before more would be. None for the contract's budget.
        ledger: Folder of the privacy ledger, relative to the file. Keep it out of what a backup of `state`
            restores.
    """

    max_epsilon: Positive | None = None
    ledger: NonEmpty = "ledger"


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Serving:
    """The `[serve]` table.

    Attributes:
        accept: `validation` serves the federated model for a task only where local evidence does not
            speak against it; `always` serves it everywhere.
        candidates: What is made of a release and may be served: `federated` is the released model with own
            heads, `alone` the merchant's linear model, `fine_tuned` and `ditto` personal models
            (`client/personalization/`), `mixture` federated and alone together,
            `prior` the release without anything of the merchant's.
        pull: Of personal models towards the release, a number of rows: one that has far fewer stays close.
            The default is that of a residual.
    """

    accept: Literal["validation", "always"] = "validation"
    candidates: Annotated[tuple[Candidate, ...], Field(min_length=1)] = (
        "alone",
        "federated",
        "fine_tuned",
        "mixture",
    )
    pull: NonNegative = 300.0

    def __post_init__(self) -> None:
        """Refuse a list without `federated`, by which all others are measured, or with one name twice."""
        if "federated" not in self.candidates or len(set(self.candidates)) < len(self.candidates):
            raise ValueError("a list of different candidates, federated among them")


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Connect:
    """The `[connect]` table: how a deployed merchant reaches the coordinator. Simulations have none.

    Paths are relative to the file. What they mean together is checked in `connection.py`.

    Attributes:
        contract: The agreement, as the invitation brought it.
        address: Of the coordinator, `host:port`.
        certificates: Certificate of the authority that signed the coordinator's.
        node_key: Private key by which the coordinator knows this merchant's node.
        executor: `bridge` runs no code that the coordinator sends; `clientapp` is Flower's own way.
        socket: Where the agent listens.
        socket_group: Group of users that may connect to the socket; empty for the own user only.
        runtime_port: Loopback port between node and bridge; 0 for a free one.
    """

    contract: NonEmpty = "federation.toml"
    address: Address
    certificates: NonEmpty = "ca.crt"
    node_key: NonEmpty = "keys/node.key"
    executor: Literal["bridge", "clientapp"] = "bridge"
    socket: NonEmpty = "run/agent.sock"
    socket_group: str = ""
    runtime_port: Annotated[int, Field(ge=0, le=65535)] = 0


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
    connect: Connect | None = None


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


def masked_error(error: ConfigError) -> ConfigError:
    """Return an error about a merchant's file without the passwords of the URLs in it."""
    value = error.value
    if value is not None and not isinstance(value, bool | int | float):
        value = masked(str(value))
    return ConfigError(error.file, error.key, value, masked(error.allowed))
