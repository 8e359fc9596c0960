"""How all plots look, and how a plot becomes SVG that follows the colours of the page around it."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from .results import Verdict
from .wording import signed

# Okabe and Ito 2008, distinguishable with every common colour-vision deficiency.
BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#56b4e9",
    "#cc79a7",
)
GREY = "#8a8f98"

INK, RULE = "#1b1f24", "#d0d4da"
"""Text and rules. In a page they take on its own colours, so that a dark page has light text."""

PAPER, DARK = "#fdfdfd", "#111417"
"""Background of the page, and text on a light cell of a plot, which stays dark on a dark page."""

VERDICT_COLOURS: dict[Verdict, str] = {"gains": BLUE, "loses": VERMILION, "cannot tell": GREY}

PERCENT = FuncFormatter(lambda value, _: signed(f"{value:+g} %") if value else "0")
"""Labels of an axis of gains."""

_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,  # names are names, whatever signs they hold
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "svg.fonttype": "none",
}


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the common style inside the block; settings outside stay as they are."""
    with mpl.rc_context(_STYLE):
        yield


def panels(
    count: int, *, width: float = 7.2, height: float = 2.3, most: int = 3
) -> tuple[Figure, list[Axes]]:
    """Return a figure of `count` panels of `height` inches, `most` in a row; call inside `drawing`."""
    columns = max(1, min(count, most))
    rows = -(-max(count, 1) // columns)
    figure = Figure(figsize=(width, height * rows + 0.6))
    grid = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for unused in grid[count:]:
        unused.remove()
    return figure, grid[:count]


def heading(figure: Figure, text: str) -> None:
    """Put what a figure shows above it, at the left edge."""
    figure.suptitle(text, x=0.01, ha="left")


def rows_downward(axes: Axes, labels: Sequence[str]) -> None:
    """Label the rows y = 0, 1, ... and count them from the top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(max(len(labels), 1) - 0.5, -0.5)


def svg(figure: Figure, name: str) -> str:
    """Return `figure` as an SVG element to stand in an HTML page.

    Args:
        figure: Any figure drawn here.
        name: Unique on the page; identifiers inside the element begin with it, and its class ends with it,
            so that no rule for words (`.gains`) colours a figure of the same name.
    """
    stream = StringIO()
    with mpl.rc_context(_STYLE | {"svg.hashsalt": name}):
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    drawn = stream.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", drawn)
    for colour, replacement in ((INK, "currentColor"), (RULE, "var(--rule)"), (PAPER, "var(--paper)")):
        drawn = drawn.replace(colour, replacement)
    return re.sub(r'(<svg [^>]*?)width="[^"]*"', rf'\1class="figure-{name}"', drawn, count=1)
