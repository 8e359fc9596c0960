"""A table of gains as colours, with the number in every cell and a triangle where it is clear."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from server.reporting.style import BLUE, DARK, PAPER, VERMILION
from server.reporting.wording import MARKS, NOTHING, signed

from .statistics import Verdict

GAINS = LinearSegmentedColormap.from_list("gains", [VERMILION, "#f4f4f2", BLUE])


class Shade(NamedTuple):
    """One cell: a gain in percent, and what its test rows show."""

    percent: float
    verdict: Verdict


def heat_map(
    axes: Axes,
    cells: Sequence[Sequence[Shade | None]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    strongest: float,
    digits: int = 0,
    size: float = 7.5,
) -> None:
    """Draw cells from the top left, columns named above.

    Args:
        axes: To draw on.
        cells: Row by row; None where nothing was measured.
        rows: Their names.
        columns: Their names.
        strongest: Per cent; a stronger gain or loss has the same colour, its number stands in the cell.
        digits: Behind the point.
        size: Of the numbers.
    """
    gains = np.array([[np.nan if c is None else c.percent for c in row] for row in cells], dtype=float)
    gains = gains.reshape(len(rows), len(columns))
    axes.pcolormesh(gains, cmap=GAINS, vmin=-strongest, vmax=strongest, edgecolors=PAPER, linewidth=1)
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            text = NOTHING if cell is None else _text(cell, digits)
            dark = cell is None or abs(cell.percent) <= 0.6 * strongest
            colour = DARK if dark and cell is not None else None if cell is None else "white"
            axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=size, color=colour)
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns, fontsize=size)
    axes.xaxis.tick_top()
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows, fontsize=size)
    axes.invert_yaxis()
    axes.spines["bottom"].set_visible(False)


def _text(cell: Shade, digits: int) -> str:
    mark = "" if cell.verdict == "cannot tell" else f" {MARKS[cell.verdict]}"
    rounded = round(cell.percent, digits) or 0.0
    return signed(f"{rounded:+.{digits}f}{mark}" if rounded else f"0{mark}")
