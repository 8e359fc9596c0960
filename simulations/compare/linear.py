"""The linear model that a merchant can fit by itself, at the strength that did best on all validation rows.

One strength per task serves all merchants, which no merchant alone could know; that favours this baseline.
"""

from collections.abc import Callable, Mapping

from torch import Tensor

from client import serving_heads
from client.alone import PENALTIES, untrained_linear_model
from client.data.dataset import Dataset
from client.evaluation import labels_of, logits_of
from shared_model import schema
from shared_model.heads import measure_of
from shared_model.model import MultiTaskModel

from . import predictions
from .predictions import Place, Predictions

Places = Callable[[Dataset, str, str], list[tuple[Place, Tensor]]]


def predicted(contract: schema.Federation, datasets: Mapping[str, Dataset], places: Places) -> Predictions:
    """Return the predictions of every merchant's own linear models; an item choice has none.

    Args:
        contract: Only its features and tasks are read.
        datasets: By merchant.
        places: Splits and rows of one merchant and task.
    """
    found: Predictions = {}
    for task, spec in contract.tasks.items():
        holders = {name: dataset for name, dataset in datasets.items() if task in dataset.tasks}
        if isinstance(spec, schema.Retrieval) or not holders:
            continue
        models = {name: untrained_linear_model(contract, dataset) for name, dataset in holders.items()}
        best = min(PENALTIES, key=lambda penalty: _loss(task, penalty, models, holders))
        _loss(task, best, models, holders)
        for name, dataset in holders.items():
            for place, rows in places(dataset, name, task):
                logits = logits_of(models[name], dataset, task, rows)
                found[place] = predictions.predicted(dataset, place, logits)
    return found


def _loss(
    task: str, penalty: float, models: Mapping[str, MultiTaskModel], datasets: Mapping[str, Dataset]
) -> float:
    """Fit at one strength; return the sum over all merchants' validation rows of the first measure."""
    total = 0.0
    for name, dataset in datasets.items():
        serving_heads.put(models[name], task, serving_heads.fit(models[name], dataset, task, penalty=penalty))
        rows, spec = dataset.rows("validation", task=task), dataset.tasks[task]
        if len(rows):
            logits = logits_of(models[name], dataset, task, rows)
            total += float(measure_of(spec).row_score(spec, logits, labels_of(dataset, task, rows)).sum())
    return total
