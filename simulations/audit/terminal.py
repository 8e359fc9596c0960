"""An audit as tables for a terminal."""

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .findings import refuted
from .page import against, answer, shown
from .report import Report, Section


def summary(report: Report) -> RenderableType:
    """Return bounds and refuted statistics per tier, or a line per ledger; and the verdict."""
    tables = [_lines(report)] if report.kind == "run" else [_table(section) for section in report.sections]
    style = "green" if report.verdict == "holds" else "red"
    reasons = dict.fromkeys(f"{name}: {says}" for _, name, says in against(report))
    return Group(*tables, Text(answer(report), style=style), *map(Text, reasons))


def _lines(report: Report) -> Table:
    table = Table(title=Text(f"{report.name}: what was released"), title_justify="left")
    for heading in ("audited", "charges", "epsilon spent", "of", "verdict"):
        table.add_column(heading, justify="left" if heading in ("audited", "verdict") else "right")
    for section in report.sections:
        spent = section.claim.get("epsilon spent")
        told = ("", "") if spent is None else (f"{spent:.4g}", f"{section.epsilon:g}")
        verdict = Text(", ".join(section.refuted) or "holds", style="red" if section.refuted else "green")
        table.add_row(Text(section.title), str(section.claim.get("charges", "")), *told, verdict)
    return table


def mutants_table(found: Mapping[str, tuple[str, ...]], honest: Sequence[str]) -> RenderableType:
    """Return a table of mutants and what caught each; the first row is the honest mechanism."""
    table = Table(title="Broken mechanisms", title_justify="left")
    table.add_column("mechanism", no_wrap=True)
    table.add_column("caught by")
    table.add_row("honest", Text(", ".join(honest) or "nothing", style="red" if honest else "green"))
    for name, caught in found.items():
        table.add_row(Text(name), Text(", ".join(caught) or "NOTHING", style="" if caught else "red"))
    dead = sum(bool(caught) for caught in found.values())
    return Group(table, Text(f"{dead} of {len(found)} caught."))


def _table(section: Section) -> Table:
    table = Table(title=Text(section.title), title_justify="left")
    for heading in ("evidence", "seen", "claimed", "verdict"):
        table.add_column(heading, justify="left" if heading in ("evidence", "verdict") else "right")
    for bound in section.bounds:
        verdict = Text("refuted", style="red") if bound.refuted else Text(f"holds ({bound.share:.0%} seen)")
        table.add_row(f"epsilon, {bound.name}", f"≥ {bound.epsilon:.3f}", f"≤ {bound.claimed:.3f}", verdict)
    broken = refuted(section.findings)
    for finding in broken:
        table.add_row(finding.name, shown(finding), "", Text("refuted", style="red"))
    count = len(section.findings) - len(broken)
    table.add_row(f"{count} certificates", "", "", "hold")
    return table
