"""Print what a study found; one function a study."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from server.reporting import results, terminal

from .console import console


def _show_run(result: results.Result, directory: Path) -> None:
    console.print(terminal.report(result))
    for check in result.checks:
        console.print(
            f"{'met    ' if check.met else 'NOT MET'} {check.id}: {_figure(check)}",
            markup=False,
            emoji=False,
            soft_wrap=True,
        )
    console.print(f"\nReport: {directory / 'report.html'}", soft_wrap=True)


def _show_frontier(found: Any, directory: Path) -> None:
    from .. import frontier_page

    console.print(frontier_page.table(found))
    console.print(f"\nPicture: {directory / 'frontier.html'}", soft_wrap=True)


def _show_transfer(found: Any, directory: Path) -> None:
    from ..transfer import curves_page

    console.print(curves_page.table(found))
    console.print(f"\nCurves: {directory / 'transfer.html'}", soft_wrap=True)


def _show_matrix(found: Any, directory: Path) -> None:
    from ..transfer import matrix_page

    console.print(matrix_page.table(found))
    console.print(f"\nMap: {directory / 'matrix.html'}", soft_wrap=True)


def _show_join(found: Any, directory: Path) -> None:
    from ..join import page

    for drawn in page.terminal(found):
        console.print(drawn)
    console.print(f"\nReport: {directory / 'join.html'}", soft_wrap=True)


def _show_compare(found: Any, directory: Path) -> None:
    console.print(f"Results: {directory / 'results.md'}", soft_wrap=True)


def _show_sweep(found: Any, directory: Path) -> None:
    from ..sweep import page

    console.print(page.table(found))
    console.print(f"\n{page.answer(found)}", markup=False, soft_wrap=True)
    for failure in page.failures(found):
        console.print(failure, markup=False, soft_wrap=True)
    console.print(f"\nPage: {directory / 'sweep.html'}, table: {directory / 'sweep.csv'}", soft_wrap=True)


def _show_schedule(found: Any, directory: Path) -> None:
    from ..schedule import page

    console.print(page.table(found))
    console.print(f"\n{page.answer(found)}", markup=False, soft_wrap=True)
    console.print("Assumed, not measured: " + " | ".join(found.assumed), markup=False, soft_wrap=True)
    console.print(f"\nPage: {directory / 'schedule.html'}", soft_wrap=True)


def _show_scale(found: Any, directory: Path) -> None:
    from ..scale import page

    console.print(page.table(found))
    console.print(f"\n{page.answer(found)}", markup=False, soft_wrap=True)
    console.print(f"\nPage: {directory / 'scale.html'}", soft_wrap=True)


SHOWN: dict[str, Callable[[Any, Path], None]] = {
    "run": _show_run,
    "frontier": _show_frontier,
    "transfer": _show_transfer,
    "matrix": _show_matrix,
    "join": _show_join,
    "compare": _show_compare,
    "scale": _show_scale,
    "schedule": _show_schedule,
    "sweep": _show_sweep,
}
"""Study -> prints what it found."""


def _figure(check: results.Check) -> str:
    value = "not measured" if check.value is None else f"{check.value:.2f}{check.unit}"
    return f"{value} (target {check.target:g}{check.unit}). {check.text}"
