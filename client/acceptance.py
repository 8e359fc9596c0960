"""Do no harm: what is served is the federated model, unless the merchant's own evidence speaks against it.

Validation sets of small merchants mislead: choosing whatever scored best on them threw away a quarter to
70 % of the gain on real sellers. So the federated model stays until the evidence against it exceeds two
standard errors, or until it gives a score that is not finite. For the choice of an item it is the other way
round: there nobody has shown a gain, and the floor (bought before, then popular) stays until the model beats
it by as much on at least 200 rows.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from shared_model import schema
from shared_model.heads import measure_of
from shared_model.model import MultiTaskModel

from . import floors
from .data.dataset import Dataset
from .evaluation import labels_of, logits_of, some_at_a_time
from .measures.ranking import clustered_error

Choice = Literal["federated", "alone", "floor"]
STANDARD_ERRORS = 2.0
LEAST_ROWS_AGAINST_FLOOR = 200
"""With fewer rows the rule of two standard errors still let through models that lost on real sellers."""


class Accepted(NamedTuple):
    """What is served for a task, and the evidence.

    Attributes:
        choice: The model that is served.
        advantage: Mean over validation rows by which the challenger was better; NaN without rows.
        standard_error: Of that mean over other shoppers; rows of one shopper count together, since they
            are not independent of one another. NaN with fewer than two shoppers.
        rows: Validation rows.
    """

    choice: Choice
    advantage: float
    standard_error: float
    rows: int


def accept(
    task: str,
    dataset: Dataset,
    federated: MultiTaskModel,
    alone: MultiTaskModel,
    policy: Literal["validation", "always"],
) -> Accepted:
    """Return what the merchant serves for one task.

    Args:
        task: Its name.
        dataset: The merchant's rows; validation rows decide.
        federated: The adopted model with its serving heads.
        alone: The merchant's own linear model.
        policy: `always` serves the federated model (for retrieval the floor) without looking.
    """
    spec, rows = dataset.tasks[task], dataset.rows("validation", task=task)
    better, finite = torch.zeros(0, dtype=torch.float64), True
    for part in some_at_a_time(rows, len(dataset.catalogues.get(task, ()))):
        incumbent, challenger = _contestants(task, dataset, federated, alone, part)
        advantage = _advantage(spec, incumbent, challenger, labels_of(dataset, task, part))
        better, finite = torch.cat([better, advantage]), finite and bool(challenger.isfinite().all())
    mean = float(better.mean()) if len(better) else float("nan")
    error = clustered_error(better, torch.as_tensor(dataset.unit[rows.numpy()]))
    broken = not bool((better < float("inf")).all()) and finite
    changed = policy == "validation" and (broken or mean > STANDARD_ERRORS * error)
    if isinstance(spec, schema.Retrieval):
        changed = changed and len(rows) >= LEAST_ROWS_AGAINST_FLOOR
        return Accepted("federated" if changed else "floor", mean, error, len(rows))
    return Accepted("alone" if changed else "federated", mean, error, len(rows))


def _contestants(
    task: str, dataset: Dataset, federated: MultiTaskModel, alone: MultiTaskModel, rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Logits of the one that stays by default, and of the one that has to beat it."""
    served = logits_of(federated, dataset, task, rows)
    if isinstance(dataset.tasks[task], schema.Retrieval):
        return floors.bought_before(dataset, task, rows), served
    return served, logits_of(alone, dataset, task, rows)


def _advantage(spec: schema.Task, incumbent: Tensor, challenger: Tensor, labels: Tensor) -> Tensor:
    """Per-row score by which the challenger is better, in float64."""
    measure = measure_of(spec)
    if not len(labels):
        return torch.zeros(0, dtype=torch.float64)
    difference = measure.row_score(spec, incumbent, labels) - measure.row_score(spec, challenger, labels)
    return (-difference if measure.higher_is_better else difference).double()
