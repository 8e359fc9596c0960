"""One cohort through one round: rows, parameters, steps, and what every merchant ends with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from shared_model import schema

from . import plain
from .draws import Draw, Drawing
from .rows import Steps
from .stack import Stack, compacted


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """One merchant that takes part in a cohort.

    Attributes:
        draw: What it drew.
        local: Its parameters that stay.
    """

    draw: Draw
    local: Mapping[str, Tensor]


def trained(drawing: Drawing, shared: Mapping[str, Tensor], entrants: Sequence[Entrant]) -> Stack:
    """Train a cohort for one round; return its parameters, merchants in the order of `entrants`.

    Args:
        drawing: Of all of them; its model holds the cohort afterwards.
        shared: What the round starts from.
        entrants: Who takes part, at least one.
    """
    draws = [entrant.draw for entrant in entrants]
    steps = Steps([draw.rows for draw in draws], widths_of(drawing.specs), drawing.model.encoder.dense)
    start = [{**shared, **entrant.local} for entrant in entrants]
    steps.batch, touched = compacted(steps.batch, start)
    stack = Stack(drawing.model, start, touched, drawing.read)
    if drawing.plan is None:
        plain.train_plain(stack, steps, drawing, draws)
    else:
        from . import private  # Opacus, only where it trains

        private.train_private(stack, steps, drawing, draws)
    return stack


def widths_of(specs: Mapping[str, schema.Task]) -> dict[str, int]:
    """Return how many numbers a label of every task has; 0 for one without an axis of its own."""
    return {n: len(t.labels) if isinstance(t, schema.Multilabel) else 0 for n, t in specs.items()}
