"""One cohort through one round: rows, parameters, steps, and what every merchant ends with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from shared_model import schema
from shared_model.model import MultiTaskModel
from shared_model.privacy.plan import Plan

from . import plain
from .rows import Drawn, Steps
from .stack import Stack, compacted

if TYPE_CHECKING:
    from .private import Noised


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """One merchant that takes part in a cohort.

    Attributes:
        tasks: Those that it trains.
        drawn: Its rows.
        local: Its parameters that stay.
        noised: What else it drew, in a private round.
    """

    tasks: frozenset[str]
    drawn: Drawn
    local: Mapping[str, Tensor]
    noised: "Noised | None" = None


def trained(
    model: MultiTaskModel,
    specs: Mapping[str, schema.Task],
    shared: Mapping[str, Tensor],
    entrants: Sequence[Entrant],
    federation: schema.Federation,
    plan: Plan | None = None,
) -> Stack:
    """Train a cohort for one round; return its parameters, merchants in the order of `entrants`.

    Args:
        model: Of the merchants' structure; holds the cohort afterwards.
        specs: Declarations of the structure's tasks.
        shared: What the round starts from, for one merchant.
        entrants: Who takes part.
        federation: The contract.
        plan: Of the merchants' tier; None without privacy.
    """
    steps = Steps([e.drawn for e in entrants], widths_of(specs))
    start = [{**shared, **e.local} for e in entrants]
    steps.batch, touched = compacted(steps.batch, start)
    stack = Stack(model, start, touched)
    tasks = [e.tasks for e in entrants]
    if plan is None:
        plain.train_plain(stack, steps, specs, tasks, federation)
    else:
        from . import private  # Opacus, only where it trains

        noised = [e.noised for e in entrants if e.noised is not None]
        private.train_private(stack, steps, specs, tasks, federation, plan, noised)
    return stack


def widths_of(specs: Mapping[str, schema.Task]) -> dict[str, int]:
    """Return how many numbers a label of every task has; 0 for one without an axis of its own."""
    return {n: len(t.labels) if isinstance(t, schema.Multilabel) else 0 for n, t in specs.items()}
