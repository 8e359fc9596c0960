"""How well items are ranked, and whether that is any better than ranking them without a model.

One item is the right one on every row, so recall at k is the share of rows whose item is among the first k,
and the ideal discounted gain is 1. Ties count half against the item (`shared_model.heads.rank_of`).

Notation: B rows, I items.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from client import floors
from client.data.dataset import Dataset
from client.data.examples import Examples
from client.evidence import tally
from shared_model.heads import rank_of
from shared_model.retrieval import CELLS

Predict = Callable[[Tensor], Tensor]
"""From row numbers, (B,), to scores of all items, (B, I)."""

CUTOFFS = (1, 5, 10, 20)
FIRST = "recall@10"
"""What decides whether a model is better than a floor."""
STANDARD_ERRORS = 2.0

Verdict = Literal["loses", "no clear gain", "wins"]


def ranking(ranks: Tensor) -> dict[str, float]:
    """Return recall@k and nDCG@k for every k of `CUTOFFS`, and MRR, from ranks from 1, shape (B,).

    A rank between two places, which ties give, is within k where the better of the two is.

    Source: Järvelin and Kekäläinen (2002), "Cumulated Gain-Based Evaluation of IR Techniques", for nDCG;
    Voorhees (1999), "The TREC-8 Question Answering Track Report", for MRR.
    """
    places = ranks.double()
    gains = 1 / torch.log2(1 + places)
    within = {k: (places < k + 1).double() for k in CUTOFFS}
    return {
        **{f"recall@{k}": float(inside.mean()) for k, inside in within.items()},
        **{f"nDCG@{k}": float((gains * inside).mean()) for k, inside in within.items()},
        "MRR": float((1 / places).mean()),
    }


@torch.no_grad()
def ranks_of(dataset: Examples, task: str, rows: Tensor, predict: Predict, items: int) -> Tensor:
    """Return the ranks of the chosen items, shape (B,); only about `CELLS` scores exist at a time."""
    parts = [
        rank_of(predict(part), dataset.batch(part, [task]).labels[task])
        for part in torch.split(rows, max(1, CELLS // max(1, items)))
    ]
    return torch.cat(parts) if parts else torch.zeros(0)


def measured(dataset: Dataset, task: str, rows: Tensor, predict: Predict) -> dict[str, float]:
    """Return the measures of a model, those of both floors, and by how much it is better than each.

    The keys are the names of measures; `MEASURE of FLOOR` for a floor; `recall@10 over FLOOR` for the mean
    gain and `recall@10 over FLOOR, standard error` for its error over other shoppers.

    Args:
        dataset: The merchant's.
        task: A retrieval task.
        rows: Row numbers, all with a label.
        predict: The model.
    """
    items = len(dataset.catalogues[task])
    ranks = ranks_of(dataset, task, rows, predict, items)
    found, owners = ranking(ranks), torch.from_numpy(dataset.unit[rows.numpy()])
    for floor, ranked in FLOORS.items():
        others = ranks_of(dataset, task, rows, partial(ranked, dataset, task), items)
        found |= {f"{name} of {floor}": value for name, value in ranking(others).items()}
        gain = (ranks < 11).double() - (others < 11).double()
        found[f"{FIRST} over {floor}"] = float(gain.mean())
        found[f"{FIRST} over {floor}, standard error"] = clustered_error(gain, owners)
    return found


def verdicts(measures: Mapping[str, float]) -> dict[str, Verdict]:
    """Return in words, from what `measured` returned, how the model stands against each floor.

    It loses wherever it is below, by however little: the floor costs nothing.
    """
    return {
        floor: _verdict(measures[f"{FIRST} over {floor}"], measures[f"{FIRST} over {floor}, standard error"])
        for floor in FLOORS
    }


def _verdict(gain: float, error: float) -> Verdict:
    if gain < 0:
        return "loses"
    return "wins" if gain > STANDARD_ERRORS * error else "no clear gain"


def clustered_error(values: Tensor, owners: Tensor) -> float:
    """Return the standard error of the mean of `values`, (B,), over draws of whole owners, (B,).

    NaN with fewer than two owners (`client.evidence.Tally.standard_error`).
    """
    return tally(values.double(), owners).standard_error


def _popularity(dataset: Dataset, task: str, rows: Tensor) -> Tensor:
    return floors.popularity(dataset, task).expand(len(rows), -1)


FLOORS: dict[str, Callable[[Dataset, str, Tensor], Tensor]] = {
    "popularity": _popularity,
    "bought before": floors.bought_before,
}
