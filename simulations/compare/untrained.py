"""What predicts without any training of networks: the best constant, linear models, and the two rankings."""

from torch import Tensor

from client import floors
from client.data.dataset import Dataset
from client.evaluation import labels_of, logits_of
from shared_model import schema
from shared_model.model import MultiTaskModel

from .. import scores
from ..baselines import linear_models
from . import predictions
from .bench import Bench, places, tasks_of
from .predictions import Found, Predictions


def predicted(bench: Bench) -> Found:
    """Return the predictions of `constant`, `linear`, `popularity` and `bought before`."""
    found: Found = {"constant": {}, "linear": {}, "popularity": {}, "bought before": {}}
    models = linear_models(bench.contract, bench.datasets)
    for name, dataset in bench.datasets.items():
        for task in tasks_of(bench, name):
            for place, rows in places(dataset, name, task):
                for method, logits in _logits(models[name], dataset, task, rows).items():
                    found[method][place] = predictions.predicted(dataset, place, logits)
    return found


def constants(bench: Bench) -> Predictions:
    """Return the predictions of the best constants alone; rankings have none."""
    return {
        place: predictions.predicted(dataset, place, _constant(dataset, task, rows))
        for name, dataset in bench.datasets.items()
        for task in tasks_of(bench, name)
        if not isinstance(dataset.tasks[task], schema.Retrieval)
        for place, rows in places(dataset, name, task)
    }


def _logits(linear: MultiTaskModel, dataset: Dataset, task: str, rows: Tensor) -> dict[str, Tensor]:
    """Logits of every method that answers a task."""
    spec = dataset.tasks[task]
    if isinstance(spec, schema.Retrieval):
        popular = floors.popularity(dataset, task).expand(len(rows), -1)
        return {"popularity": popular, "bought before": floors.bought_before(dataset, task, rows)}
    return {
        "constant": _constant(dataset, task, rows),
        "linear": logits_of(linear, dataset, task, rows),
    }


def _constant(dataset: Dataset, task: str, rows: Tensor) -> Tensor:
    labels = labels_of(dataset, task, dataset.rows("train", task=task))
    return scores.constant_logits(dataset.tasks[task], labels).expand(len(rows), -1)
