"""What left each merchant, as tables on a terminal and as JSON."""

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shared_model.privacy.words import NOT_PROTECTED

from .wire import Audit, Sent

_MOST_FINDINGS = 20


def shown(audit: Audit) -> RenderableType:
    """Return the tables and the verdict of one run."""
    tables = (_arrays(audit), _merchants(audit))
    return Group(Text(str(audit.file), style="bold"), *tables, *_verdict(audit), *_promise(audit))


def as_json(audit: Audit) -> dict[str, Any]:
    """Return the same as JSON values, per merchant and array."""
    return {
        "file": str(audit.file),
        "replies": audit.replies,
        "sent": [
            {**sent._asdict(), "messages": audit.messages[sent], "bytes": audit.bytes[sent]}
            for sent in sorted(audit.messages)
        ],
        "refusals": dict(sorted(audit.refusals.items())),
        "findings": list(audit.findings),
    }


def _arrays(audit: Audit) -> Table:
    table = Table("array", "shape", "type", "merchants", "messages", "bytes", title="What left, by array")
    kinds = sorted({(sent.name, sent.shape, sent.dtype) for sent in audit.messages})
    for name, shape, dtype in kinds:
        sent = [s for s in audit.messages if (s.name, s.shape, s.dtype) == (name, shape, dtype)]
        table.add_row(name, ", ".join(map(str, shape)), dtype, str(len(sent)), *_totals(audit, sent))
    return table


def _merchants(audit: Audit) -> Table:
    headings = ("merchant", "names of arrays", "arrays sent", "bytes", "refusals")
    table = Table(*headings, title="What left, by merchant")
    for merchant in sorted({sent.merchant for sent in audit.messages} | set(audit.refusals)):
        sent = [s for s in audit.messages if s.merchant == merchant]
        totals = _totals(audit, sent)
        table.add_row(merchant, str(len({s.name for s in sent})), *totals, str(audit.refusals[merchant]))
    return table


def _totals(audit: Audit, sent: list[Sent]) -> tuple[str, str]:
    return f"{sum(audit.messages[s] for s in sent):,}", f"{sum(audit.bytes[s] for s in sent):,}"


def _promise(audit: Audit) -> Iterator[Text]:
    if not audit.private:
        yield Text(f"The contract trains {NOT_PROTECTED}.", style="yellow")


def _verdict(audit: Audit) -> Iterator[Text]:
    if not audit.findings:
        yield Text(f"{audit.replies} replies, nothing outside the contract.", style="green")
        return
    yield Text(f"{audit.replies} replies, {len(audit.findings)} findings:", style="bold red")
    yield from (Text(f"  {finding}") for finding in audit.findings[:_MOST_FINDINGS])
    if len(audit.findings) > _MOST_FINDINGS:
        yield Text(f"  and {len(audit.findings) - _MOST_FINDINGS} more (--json has all)")
