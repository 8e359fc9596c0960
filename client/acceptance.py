"""Do no harm: what is served is the federated model, unless the merchant's own evidence speaks against it.

Validation sets of small merchants mislead: choosing whatever scored best on them threw away a quarter to
70 % of the gain on real sellers. So the federated model stays until the evidence for a rival (the merchant's
own linear model, a personal model, a mixture) exceeds two standard errors, or until it gives a score that is
not finite. For the choice of an item it is the other way round: there nobody has shown a gain, and the floor
(bought before, then popular) stays until a model beats it by as much on at least 200 rows.

What counts as evidence, for each rival and task:

* The mean advantage per row and its standard error over shoppers, on validation rows that had no say in the
  rival (`halves.py`), with what earlier adoptions left of other rows (`evidence.py`). With few shoppers the
  error itself is uncertain; Student's t says how many standard errors of a normal it is worth.
* What the same rival did on the merchant's other tasks (`shrinkage.py`). A rival is never served against the
  task's own evidence: its own advantage must be above zero.
* Of m rivals one will look good by chance. So the chance of a false alarm, 2.3 % at two standard errors, is
  divided by m (Bonferroni): 2.28 standard errors for two, 2.43 for three.

Of several rivals that pass, the one with the largest advantage on the rows that judge all of them is served.
"""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm, t
from torch import Tensor

from shared_model.heads import measure_of

from . import evidence, shrinkage
from .contestants import Contestants
from .evaluation import labels_of, some_at_a_time
from .evidence import Tally, by_owner, tally

STANDARD_ERRORS = 2.0
LEAST_ROWS_AGAINST_FLOOR = 200
"""With fewer rows the rule of two standard errors still let through models that lost on real sellers."""
_MOST = 8.0


class Sample(NamedTuple):
    """One rival on one task.

    Attributes:
        better: By how much it was better than the incumbent on every row of the task, float64, shape (B,);
            NaN on a row that had a say in it. Rivals of one task have the same rows.
        owners: Whose the rows are, shape (B,).
        earlier: What earlier adoptions left of other rows.
    """

    better: Tensor
    owners: Tensor
    earlier: Tally = Tally()

    @property
    def judges(self) -> Tensor:
        """Which rows judge it, shape (B,)."""
        return ~self.better.isnan()

    @property
    def total(self) -> Tally:
        """All of the evidence."""
        return tally(self.better[self.judges], self.owners[self.judges]).plus(self.earlier)


class Rival(NamedTuple):
    """What was found out about a rival.

    Attributes:
        advantage: Mean over rows by which it was better than the incumbent, earlier rows included; NaN
            without rows.
        standard_error: Of that mean over other shoppers; NaN with fewer than two.
        rows: Validation rows that judged it this time.
        pooled: By how many standard errors it is better once all tasks are considered; NaN without evidence.
    """

    advantage: float
    standard_error: float
    rows: int
    pooled: float


class Accepted(NamedTuple):
    """What is served for a task, and the evidence.

    Attributes:
        choice: What is served.
        needed: So many standard errors a rival needed.
        rivals: What was found out about each.
    """

    choice: str
    needed: float
    rivals: Mapping[str, Rival]


def accept(
    contestants: Contestants,
    policy: Literal["validation", "always"] = "validation",
    earlier: Mapping[str, Tensor] | None = None,
) -> tuple[dict[str, Accepted], dict[str, Tensor]]:
    """Return what the merchant serves for every task, and the evidence that is kept for later adoptions.

    Args:
        contestants: The candidates.
        policy: `always` serves the federated model (for retrieval the floor) whatever the evidence.
        earlier: What the adoption before returned to be kept: `task/rival` -> `evidence.of_days`.
    """
    found = {task: _judged(contestants, task, earlier or {}) for task in contestants.dataset.tasks}
    floors = [task for task in found if contestants.incumbent(task) == "floor"]
    accepted = decide({task: judged.samples for task, judged in found.items() if task not in floors})
    for task in floors:
        accepted |= decide({task: found[task].samples}, "floor", LEAST_ROWS_AGAINST_FLOOR)
    for task, judged in found.items():
        if judged.instead is not None:
            accepted[task] = accepted[task]._replace(choice=judged.instead)
        if policy == "always":
            accepted[task] = accepted[task]._replace(choice=contestants.incumbent(task))
    return accepted, {key: days for judged in found.values() for key, days in judged.kept.items()}


def decide(
    samples: Mapping[str, Mapping[str, Sample]], incumbent: str = "federated", least_rows: int = 1
) -> dict[str, Accepted]:
    """Return what is served for every task from the evidence alone (the rule of this module).

    Args:
        samples: Task -> rival -> evidence. Scores of plain arrays will do, see `simulations.selection`.
        incumbent: What stays.
        least_rows: Fewer rows of this time say nothing.
    """
    names = {rival for found in samples.values() for rival in found}
    pooled = {r: _pooled({task: found[r] for task, found in samples.items() if r in found}) for r in names}
    return {
        task: _decided(found, {r: pooled[r].get(task, math.nan) for r in found}, incumbent, least_rows)
        for task, found in samples.items()
    }


def needed(rivals: int) -> float:
    """Return the standard errors that one of several rivals needs, so that all raise no more alarms.

    >>> [round(needed(m), 2) for m in (1, 2, 3)]
    [2.0, 2.28, 2.43]
    """
    return float(norm.isf(norm.sf(STANDARD_ERRORS) / max(rivals, 1)))


def _decided(
    samples: Mapping[str, Sample], pooled: Mapping[str, float], incumbent: str, least_rows: int
) -> Accepted:
    bar = needed(len(samples))
    rivals = {}
    for name, sample in samples.items():
        total = sample.total
        rows = int(sample.judges.sum())
        rivals[name] = Rival(total.mean, total.standard_error, rows, pooled[name])
    passed = [
        name
        for name, r in rivals.items()
        if r.pooled > bar and r.advantage > 0 and r.rows >= max(least_rows, 1)
    ]
    return Accepted(_best({name: samples[name] for name in passed}) or incumbent, bar, rivals)


def _best(samples: Mapping[str, Sample]) -> str | None:
    """Return the rival with the largest advantage on the rows that judge all of them; the first of equals."""
    if not samples:
        return None
    better = torch.stack([sample.better for sample in samples.values()])
    common = better[:, ~better.isnan().any(0)]
    return list(samples)[int(common.sum(1).argmax())]


def _pooled(samples: Mapping[str, Sample]) -> dict[str, float]:
    """Return the standard errors that one rival's evidence is worth on each task (`shrinkage.pooled`)."""
    totals = {task: sample.total for task, sample in samples.items()}
    tasks = [task for task, total in totals.items() if total.shoppers > 1]
    if not tasks:
        return {}
    shoppers = np.array([totals[task].shoppers for task in tasks])
    worth = np.array([_worth(totals[task]) for task in tasks])
    errors = _correlation([samples[task] for task in tasks]) / np.sqrt(np.outer(shoppers, shoppers))
    return dict(zip(tasks, shrinkage.pooled(worth / np.sqrt(shoppers), errors).tolist(), strict=True))


def _worth(total: Tally) -> float:
    """Return the standard errors of a normal that a mean over few shoppers is worth, by Student's t."""
    mean, error = total.mean, total.standard_error
    if error == 0:
        return float(np.sign(mean)) * _MOST
    chance = t.sf(abs(mean) / error, total.shoppers - 1)
    return float(np.sign(mean)) * min(float(norm.isf(chance)), _MOST)


def _correlation(samples: list[Sample]) -> NDArray[np.float64]:
    """Return how the errors of the tasks' means go together, since the same shoppers make them; (T, T)."""
    owners = torch.cat([sample.owners for sample in samples]).unique()  # type: ignore[no-untyped-call]
    surplus = torch.zeros(len(owners), len(samples), dtype=torch.float64)
    for column, sample in enumerate(samples):
        better, theirs = sample.better[sample.judges], sample.owners[sample.judges]
        sums, _ = by_owner(better - better.mean(), theirs)
        names = theirs.unique()  # type: ignore[no-untyped-call]
        surplus[torch.searchsorted(owners, names), column] = sums
    lengths = surplus.norm(dim=0)
    scaled = surplus / torch.where(lengths > 0, lengths, 1.0)
    together = scaled.T @ scaled
    together.fill_diagonal_(1.0)
    return together.numpy()


class _Judged(NamedTuple):
    """The candidates of one task on the merchant's validation rows.

    Attributes:
        samples: Evidence for every rival; without rows where a rival's scores are not finite.
        kept: What later adoptions may add to theirs.
        instead: The first rival with finite scores, where the incumbent's are not.
    """

    samples: dict[str, Sample]
    kept: dict[str, Tensor]
    instead: str | None


def _judged(contestants: Contestants, task: str, earlier: Mapping[str, Tensor]) -> _Judged:
    dataset, rivals = contestants.dataset, contestants.rivals(task)
    rows = dataset.rows("validation", task=task)
    owners = torch.as_tensor(np.asarray(dataset.unit[rows.numpy()]))
    times = np.asarray(dataset.time[rows.numpy()])
    losses = {name: _losses(contestants, name, task, rows) for name in (contestants.incumbent(task), *rivals)}
    incumbent = losses[contestants.incumbent(task)]
    samples, kept = {}, {}
    for rival in rivals:
        better, key = incumbent - losses[rival], f"{task}/{rival}"
        judges = torch.isin(rows, contestants.judged_rows(rival, task))
        judges &= bool(better[judges].isfinite().all())
        better = better.where(judges, math.nan)
        old = evidence.before(earlier.get(key, torch.zeros(0, 7, dtype=torch.float64)), times)
        samples[rival] = Sample(better, owners, evidence.faded(old, times))
        days = evidence.of_days(better[judges], owners[judges], times[judges.numpy()])
        kept[key] = torch.cat([old, days])
    finite = [rival for rival in rivals if bool(losses[rival].isfinite().all())]
    broken = not bool(incumbent.isfinite().all())
    return _Judged(samples, kept, finite[0] if broken and finite else None)


def _losses(contestants: Contestants, choice: str, task: str, rows: Tensor) -> Tensor:
    """Per-row scores of which less is better, float64, shape (B,)."""
    dataset = contestants.dataset
    spec, measure, found = dataset.tasks[task], measure_of(dataset.tasks[task]), [torch.zeros(0).double()]
    for part in some_at_a_time(rows, len(dataset.catalogues.get(task, ()))) if len(rows) else ():
        logits = contestants.logits(choice, task, part)
        found.append(measure.row_score(spec, logits, labels_of(dataset, task, part)).double())
    return torch.cat(found) * (-1 if measure.higher_is_better else 1)
