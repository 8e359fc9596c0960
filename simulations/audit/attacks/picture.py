"""All attacks in one picture: bars without and with privacy against the line of guessing."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from server.reporting.style import BLUE, INK, VERMILION, drawing, heading, rows_downward
from server.reporting.wording import signed

from .outcome import Outcome

_HALF = 0.19
_SIDES = (("plain", "without privacy", VERMILION, -_HALF), ("private", "with privacy", BLUE, _HALF))


def bars(outcomes: Sequence[Outcome]) -> Figure:
    """Draw two bars for every outcome, from guessing (0 %) to being always right (100 %)."""
    with drawing():
        figure = Figure(figsize=(7.2, 1.5 + 0.62 * len(outcomes)))
        axes = figure.subplots()
        heading(figure, "What an attacker learns beyond guessing")
        for field, label, colour, shift in _SIDES:
            _side(axes, outcomes, field, label, colour, shift)
        axes.axvline(0, color=INK, linewidth=1.0)
        rows_downward(axes, [outcome.name for outcome in outcomes])
        axes.set_xlim(-12, 118)
        axes.set_xticks([0, 25, 50, 75, 100], ["guessing", "25 %", "50 %", "75 %", "always right"])
        axes.grid(axis="x")
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def _side(axes: Axes, outcomes: Sequence[Outcome], field: str, label: str, colour: str, shift: float) -> None:
    lengths = [100 * max(-0.1, min(1.0, o.success(getattr(o, field)))) for o in outcomes]
    rows = [row + shift for row in range(len(outcomes))]
    axes.barh(rows, lengths, height=2 * _HALF, color=colour, label=label)
    for row, length in zip(rows, lengths, strict=True):
        axes.text(max(length, 0) + 1, row, signed(f"{length:.0f} %"), va="center", fontsize="small")
