"""Which point of a grid is taken: by validation rows alone.

Every data set has its own best point, one for all its merchants and seeds.
"""

import numpy as np

from shared_model import schema

from .measuring import first_measure
from .predictions import Predictions


def penalty(
    tasks: dict[str, schema.Task], found: Predictions, constant: Predictions, labels: Predictions
) -> float:
    """Return how bad predictions are on validation rows, relative to the best constant; less is better.

    That is the mean over tasks of log(metric / metric of the constant), each a mean over merchants. The
    choice of an item is left out: its head is fitted at home whatever is tuned. Where there is nothing else
    all points are alike, at 0, and the first one is taken.

    Args:
        tasks: Of the contract.
        found: Predictions on validation rows; others are not read.
        constant: Those of the best constant.
        labels: Of the same rows.
    """
    logs = []
    for name, spec in tasks.items():
        if isinstance(spec, schema.Retrieval):
            continue
        places = [p for p in found if p.task == name and p.split == "validation"]
        if places:
            mine = np.mean([first_measure(spec, found[p], labels[p]) for p in places])
            theirs = np.mean([first_measure(spec, constant[p], labels[p]) for p in places])
            logs.append(np.log(mine / theirs))
    return float(np.mean(logs)) if logs else 0.0
