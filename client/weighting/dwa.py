"""Dynamic weight average: a task whose loss falls more slowly than the others' counts more.

Source: Liu, Johns and Davison (2019), "End-to-End Multi-Task Learning with Attention", equation 7, with
rounds in the place of epochs: weight of task k = T exp(r_k / 2) / sum over tasks of exp(r_i / 2), where r_k
is its mean loss in the last round over the one before. Notation: T tasks.
"""

from collections.abc import Mapping
from statistics import fmean

import torch

from .step import Memory, Step

TEMPERATURE = 2.0
"""The paper's; a higher one makes the weights more alike."""


class Dwa:
    """Factors that stay for a round. A task without two rounds behind it has the ratio 1."""

    def __init__(self, memory: Memory) -> None:
        """Take the mean losses of the last round, TASK/last, and of the one before, TASK/before."""
        self._memory = memory
        self._seen: dict[str, list[float]] = {}

    def factors(self, step: Step) -> Mapping[str, float]:
        """Return the factors of the step's tasks, whose sum is their number."""
        for task, mean in step.means.items():
            self._seen.setdefault(task, []).append(mean)
        ratios = torch.tensor([self._ratio(task) for task in step.losses], dtype=torch.float64)
        weights = len(ratios) * torch.softmax(ratios / TEMPERATURE, 0)
        return dict(zip(step.losses, weights.tolist(), strict=True))

    def memory(self) -> Memory:
        """Return the mean losses of this round and of the last one."""
        kept = dict(self._memory)
        for task, means in self._seen.items():
            if f"{task}/last" in kept:
                kept[f"{task}/before"] = kept[f"{task}/last"]
            kept[f"{task}/last"] = torch.tensor(fmean(means))
        return kept

    def _ratio(self, task: str) -> float:
        last, before = self._memory.get(f"{task}/last"), self._memory.get(f"{task}/before")
        return 1.0 if last is None or before is None or not before else float(last / before)
