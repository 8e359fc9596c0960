"""What every method of personalisation starts from, and what it pulls back to.

Notation: N training rows, P parameters, w what was released, v what becomes of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from client.data.dataset import Dataset
from client.serving_heads import ServingHead, fit
from shared_model.model import MultiTaskModel
from shared_model.parameters import take
from shared_model.retrieval import RetrievalHead


@dataclass(frozen=True, kw_only=True)
class Start:
    """A release at one merchant.

    Attributes:
        model: Holds the released shared parameters and the merchant's own gates and tables, as its last round
            left them; own parts of heads are as before any training. Methods copy it and leave it as it is.
        dataset: The merchant's rows.
        strength: Of the pull towards the release, in rows (`client.merchant_file.Serving.pull`).
        generator: Draws the order of rows where a step does not read all of them.
        before: What the same method left after the adoption before, by name of the parameter.
    """

    model: MultiTaskModel
    dataset: Dataset
    strength: float
    generator: torch.Generator
    before: Mapping[str, Tensor] = field(default_factory=dict)

    @cached_property
    def heads(self) -> dict[str, ServingHead]:
        """The own parts that fit the merchant's rows best on the frozen release, by task."""
        return {task: fit(self.model, self.dataset, task) for task in self.dataset.tasks}


class Pull(NamedTuple):
    """Adds strength / 2 * |v - anchor|^2 to the sum of the row losses; the strength is a number of rows."""

    anchor: Tensor
    strength: float


def pulls(start: Start, *, own: Mapping[str, float]) -> dict[str, Pull]:
    """Return every parameter's pull: to the release, and of own parts of heads to where they begin.

    Args:
        start: Where from; its strength holds for all parameters but the own parts of heads.
        own: Task -> strength for the own part of its head.
    """
    model = start.model
    found = {
        name: Pull(value, start.strength)
        for name, value in take(model, [name for name, _ in model.named_parameters()]).items()
    }
    for task, strength in own.items():
        for part, parameter in model.head(task).own.named_parameters():
            begin = model.head(task).start if part == "bias" else 0.0
            found[f"heads.{task}.own.{part}"] = Pull(torch.full_like(parameter, begin), strength)
        head = model.head(task)
        if isinstance(head, RetrievalHead) and head.own_repeats is not None:
            name = f"heads.{task}.own.repeats.weight"
            found[name] = found[name]._replace(strength=head.pull_of_repeats(strength))
    return found
