"""An audit as one self-contained HTML page: inline styles and SVG, no scripts, nothing fetched."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape
from matplotlib.figure import Figure

from server.reporting.style import svg
from server.reporting.template import environment
from shared_model import files
from shared_model.privacy.words import meaning

from . import plots
from .findings import Finding, refuted
from .report import Curve, Report, Section
from .template import PAGE


def write(path: Path, report: Report, *, key: str, made: datetime) -> None:
    """Replace the file at `path` by the page of `report`, wholly or not at all."""
    files.write(path, page(report, key=key, made=made).encode())


def page(report: Report, *, key: str, made: datetime) -> str:
    """Return the page of `report`; the same report gives the same page.

    Args:
        report: What was found.
        key: Public key of the signature beside the page.
        made: When.

    Guarantees:
        Names from the contract are escaped; the page loads nothing and runs nothing
        (`tests/simulations/audit/test_page.py`).
    """
    return (
        environment(number=number, bounds=_bounds, shown=shown, code=_code)
        .from_string(PAGE)
        .render(
            report=report,
            key=key,
            made=f"{made:%Y-%m-%d %H:%M}",
            answer=answer(report),
            against=against(report),
            meaning=_meaning(report),
            constants={s.title: list(_flat(s.claim)) for s in report.sections},
            versions={n: v for n, v in report.environment.items() if not n.endswith(".py")},
            figures=[(_inline(figure, name, guide), guide) for name, figure, guide in _figures(report)],
        )
    )


def answer(report: Report) -> str:
    """Return the verdict in a sentence or two."""
    if report.verdict == "holds":
        teeth = (
            f" The same checks caught all {len(report.mutants)} broken mechanisms." if report.mutants else ""
        )
        return f"Nothing that was found speaks against the claim.{teeth}"
    refuting = [f"{s.title}: {', '.join(s.refuted)}" for s in report.sections if s.refuted]
    blind = [f"not caught: {', '.join(report.survivors)}"] if report.survivors else []
    return f"Refuted. {'; '.join([*refuting, *blind])}."


def against(report: Report) -> list[tuple[str, str, str]]:
    """Return section, name and explanation of every statistic that speaks against the claim."""
    return [
        (section.title, finding.name, finding.says)
        for section in report.sections
        for finding in refuted(section.findings)
    ]


def _code(text: str) -> Markup:
    """Return a sentence whose commands stand between backquotes."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(parts)
    )


def _meaning(report: Report) -> str:
    """Return what the promise of the first section means."""
    first = report.sections[0]
    return meaning(first.epsilon, first.delta, str(first.claim.get("unit", "shopper")))


def number(value: float | None) -> str:
    """Return a statistic as text.

    >>> number(0.99994), number(2.5e-05), number(None)
    ('0.9999', '2.5e-05', '\N{EN DASH}')
    """
    return "\N{EN DASH}" if value is None else f"{value:.4g}"


def shown(finding: Finding) -> str:
    """Return the value of a finding: to the last digit where it is exact."""
    return f"{finding.value:.8g}" if finding.p_value is None else number(finding.value)


def _bounds(finding: Finding) -> str:
    low, high = finding.low, finding.high
    if low is None:
        return f"at most {high:.7g}"
    return f"at least {low:.4g}" if high is None else f"{low:.4g} to {high:.4g}"


def _flat(claim: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in claim.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        elif isinstance(value, tuple | list) and value and isinstance(value[0], Mapping):
            for item in value:
                yield from _flat({k: v for k, v in item.items() if k != "name"}, f"{item['name']}: ")
        elif value is not None:
            text = f"{value:.6g}" if isinstance(value, float) else str(value)
            yield f"{prefix}{name}".replace("_", " "), text


def _figures(report: Report) -> Iterator[tuple[str, Figure, str]]:
    bounded: list[Section] = [s for s in report.sections if s.bounds]
    if bounded:
        yield "bounds", plots.claims_and_bounds(bounded), _GUIDES["bounds"]
    drawn = different(report.sections)[:_MOST_CURVES]
    if drawn:
        yield "curves", plots.curves(drawn), _GUIDES["curves"]


def different(sections: Sequence[Section]) -> list[Section]:
    """Return the first section of every curve, named after all that have it."""
    found: dict[Curve, list[Section]] = {}
    for section in sections:
        if section.curve is not None:
            found.setdefault(section.curve, []).append(section)
    return [
        replace(alike[0], title=f"{alike[0].title} and {len(alike) - 1} more") if len(alike) > 1 else alike[0]
        for alike in found.values()
    ]


def _inline(figure: Figure, name: str, label: str) -> Markup:
    drawn = svg(figure, name)
    return Markup(drawn.replace("<svg ", Markup('<svg role="img" aria-label="{}" ').format(label), 1))


_MOST_CURVES = 9

_GUIDES = {
    "bounds": "A bar that reaches beyond its line refutes the claim. The step audit sees every step and "
    "should come close to the line; audits from one run see less, and assume less.",
    "curves": "The guarantee is a curve: for every chance delta that it is broken, the epsilon that holds "
    "otherwise. The line is what the releases cost, the diamond the one point that the contract names.",
}
