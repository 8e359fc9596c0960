"""Scores of everything that a merchant could serve of a release, on validation and test rows.

What `simulations.selection` and a comparison of methods of personalisation need; nothing is stored at the
merchant, and the choice is left to whoever reads the scores.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from client.contestants import Contestants
from client.evaluation import some_at_a_time
from client.merchant import Merchant
from shared_model.protocol import SharedArrays

from .federated import release
from .scores import Key, Scores, row_scores


class Candidates(NamedTuple):
    """What the candidates of one or several merchants scored.

    Attributes:
        scores: Candidate -> scores; NaN on a validation row that had a say in it.
        owners: Whose the validation rows are.
    """

    scores: dict[str, Scores]
    owners: dict[Key, NDArray[np.int64]]


def candidates_of(
    merchant: Merchant, arrays: SharedArrays, lineage: str, wanted: Collection[str]
) -> Candidates:
    """Return the scores of a release's candidates at one merchant, for the tasks of the contract.

    Args:
        merchant: Whose.
        arrays: What `lineage` released.
        lineage: Of the training; what stays of it at the merchant is used.
        wanted: Names, as in `client.merchant_file.Serving.candidates`; item choices get their floor, too.
    """
    contestants = merchant.contestants(release(merchant.federation, arrays, lineage), arrays, wanted)
    return scores_of(contestants, merchant.config.name, merchant.federation.tasks)


def scores_of(contestants: Contestants, merchant: str, tasks: Collection[str]) -> Candidates:
    """Return the scores of candidates that are made already.

    Args:
        contestants: One merchant's.
        merchant: Its name.
        tasks: Those that count; others are left out.
    """
    found = Candidates({}, {})
    for task in (t for t in contestants.dataset.tasks if t in tasks):
        for split in ("validation", "test"):
            _add(found, contestants, Key(merchant, task, split))
    return found


def _add(found: Candidates, contestants: Contestants, key: Key) -> None:
    dataset = contestants.dataset
    rows = dataset.rows(key.split, task=key.task)
    if not len(rows):
        return
    if key.split == "validation":
        found.owners[key] = np.asarray(dataset.unit[rows.numpy()])
    for name in (contestants.incumbent(key.task), *contestants.rivals(key.task)):
        values = np.concatenate(
            [
                row_scores(dataset, key.task, part, contestants.logits(name, key.task, part))
                for part in some_at_a_time(rows, len(dataset.catalogues.get(key.task, ())))
            ]
        )
        if key.split == "validation":
            judges = np.isin(rows.numpy(), contestants.judged_rows(name, key.task).numpy())
            values = np.where(judges, values, np.nan)
        found.scores.setdefault(name, {})[key] = values
