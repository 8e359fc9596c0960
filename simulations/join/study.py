"""One merchant's tasks at every level: what it is served, beside what it could do alone."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from client.data.dataset import Dataset
from server.reporting.results import Task
from shared_model.heads import Measure, measure_of

from ..comparison import Methods
from ..scores import Floats, Key, Scores, owners_of
from .gains import gain, metric
from .report import Gain, Line, TakingPart
from .trainings import PRIOR, SERVED


@dataclass(frozen=True, kw_only=True)
class Study:
    """What the lines of one merchant are made from.

    Attributes:
        merchant: Its name.
        dataset: Its rows.
        tasks: With the way that stands for alone.
        methods: Scores at the level of the contract.
        seed: Of the bootstrap.
    """

    merchant: str
    dataset: Dataset
    tasks: tuple[Task, ...]
    methods: Methods
    seed: int

    def lines(self, level: str, found: Mapping[str, Scores]) -> list[Line]:
        """Return a line for every task with test rows, at one level.

        Args:
            level: Its name.
            found: Scores of what is served there, and of the released prior.
        """
        return [self._line(task, key, level, found) for task, key in self._keys()]

    def taking_part(self, without: Scores) -> tuple[TakingPart, ...]:
        """Return what is served when the merchant takes part, against what it is served without its part."""
        found, joined = [], self.methods.federated
        for task, key in self._keys():
            measure = measure_of(self.dataset.tasks[task.name])
            found.append(
                TakingPart(
                    task=task.name,
                    receiving=metric(without[key], measure),
                    joined=metric(joined[key], measure),
                    gain=self._gain(without[key], joined[key], key, "taking part"),
                )
            )
        return tuple(found)

    def _keys(self) -> list[tuple[Task, Key]]:
        """The tasks that can be compared: a label on test rows, and a way alone."""
        pairs = [(task, Key(self.merchant, task.name, "test")) for task in self.tasks]
        alone = self.methods.alone
        return [
            (t, key) for t, key in pairs if key in self.methods.federated and key in alone[t.alone_method]
        ]

    def _line(self, task: Task, key: Key, level: str, found: Mapping[str, Scores]) -> Line:
        measure = measure_of(self.dataset.tasks[task.name])
        alone, joined = self.methods.alone[task.alone_method][key], found[SERVED][key]
        pooled = self.methods.pooled.get(key)
        return Line(
            task=task.name,
            level=level,
            test_rows=len(joined),
            shoppers=len(np.unique(owners_of(self.dataset, key))),
            alone=metric(alone, measure),
            joined=metric(joined, measure),
            prior=_metric(found.get(PRIOR, {}).get(key), measure),
            pooled=_metric(pooled, measure),
            constant=_metric(self.methods.constant.get(key), measure),
            gain=self._gain(alone, joined, key, level),
            pooled_gain=None if pooled is None else self._gain(alone, pooled, key, "pooled"),
        )

    def _gain(self, first: Floats, second: Floats, key: Key, what: str) -> Gain:
        tasks = len(self._keys())
        return gain(first, second, self.dataset, key, comparisons=tasks, seed=self.seed, what=what)


def _metric(scores: Floats | None, measure: Measure) -> float | None:
    return None if scores is None or not len(scores) else metric(scores, measure)
