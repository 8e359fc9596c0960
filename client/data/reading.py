"""What was read and what was dropped, for `fedbazaar-client check`. Stays at the merchant."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class TableReading:
    """What became of one table.

    Attributes:
        table: orders, items, events or table.
        rows: Read.
        kept: Of them.
        dropped: Reason to number of rows that were left out.
        unreadable: Column to number of values that are not of its type and became missing.
        notes: Anything else worth knowing, in words.
    """

    table: str
    rows: int
    kept: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    unreadable: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TaskStatus:
    """Whether the data supports a task, and if not, why."""

    on: bool
    reason: str = ""
