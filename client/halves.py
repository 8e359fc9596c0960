"""Validation rows in two halves by shopper: one makes choices inside a candidate, the other judges it.

A model that was stopped where validation rows liked it best looks too good on those rows. So whatever a
candidate chooses (when to stop, how much weight), it chooses on the rows of one half of the shoppers, and is
judged on those of the other half. A candidate that chose nothing is judged on all rows.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .data.examples import Owned

LEAST_SHOPPERS = 20
"""Fewer have no say in when a training stops."""


class Half(NamedTuple):
    """Validation rows with a label, and how many shoppers (or items) they belong to."""

    rows: Tensor
    shoppers: int


def choosing(dataset: Owned, task: str) -> Half:
    """Return the half that makes choices: rows of shoppers with an even number."""
    return _half(dataset, task, 0)


def judging(dataset: Owned, task: str) -> Half:
    """Return the other half."""
    return _half(dataset, task, 1)


def _half(dataset: Owned, task: str, odd: int) -> Half:
    rows = dataset.rows("validation", task=task)
    owners = np.asarray(dataset.unit[rows.numpy()])
    mine = owners % 2 == odd
    return Half(rows[torch.from_numpy(mine)], len(np.unique(owners[mine])))
