"""Who gains and who loses: the map of merchants and tasks, whose verdicts are few false ones together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from client.data.dataset import Dataset
from server.reporting.results import Cell, Task
from shared_model.heads import measure_of

from ..comparison import Methods
from ..scores import Key, owners_of
from ..significance import Difference, difference, verdicts


def told_apart(
    cells: Sequence[Cell], methods: Methods, tasks: Sequence[Task], datasets: Mapping[str, Dataset]
) -> tuple[Cell, ...]:
    """Return the cells of a comparison with verdicts that bear 5 % of false discoveries among all of them.

    Args:
        cells: Of every merchant and task; their intervals, at 95 % each, stay.
        methods: Scores that they were made from.
        tasks: Say what stands for alone.
        datasets: Say whose the rows are.
    """
    alone = {task.name: task.alone_method for task in tasks}
    found = [_difference(cell, methods, alone[cell.task], datasets[cell.merchant]) for cell in cells]
    return tuple(replace(cell, verdict=v) for cell, v in zip(cells, verdicts(found), strict=True))


def _difference(cell: Cell, methods: Methods, way: str, dataset: Dataset) -> Difference:
    key = Key(cell.merchant, cell.task, "test")
    measure = measure_of(dataset.tasks[cell.task])
    federated = methods.federated[key]
    alone = methods.alone[way].get(key, federated[:0])
    if len(alone) != len(federated):
        return difference([], [], [])
    first, second = (federated, alone) if measure.higher_is_better else (alone, federated)
    return difference(first, second, owners_of(dataset, key), statistic="rmse" if measure.root else "mean")
