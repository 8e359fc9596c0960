"""What a merchant's rule for choosing is worth: its candidates' scores are kept beside the predictions.

`simulations.selection` compares the rule with the naive one and with an oracle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from shared_model import schema
from shared_model.heads import measure_of

from ..candidates import Candidates
from ..scores import Key
from ..selection import Outcome, compared
from .predictions import Place, Predictions

_SCORES, _OWNERS = "scores of ", "owners"


@dataclass(frozen=True, kw_only=True)
class RuleLine:
    """What came of one rule, averaged over seeds and folds (`simulations.selection.Outcome`)."""

    dataset: str
    training: str
    rule: str
    task: str
    score: float | None
    gain_percent: float
    kept: float | None
    harm: float
    replaced: float


def packed(judged: Candidates) -> dict[str, Predictions]:
    """Return the scores in the form in which predictions are kept; nothing where nobody chose."""
    if not judged.scores:
        return {}
    found = {
        f"{_SCORES}{name}": {Place(k.split, k.merchant, k.task): v.astype(np.float32) for k, v in s.items()}
        for name, s in judged.scores.items()
    }
    owners = {Place(k.split, k.merchant, k.task): v.astype(np.float32) for k, v in judged.owners.items()}
    return found | {_OWNERS: owners}


def unpacked(found: Mapping[str, Predictions]) -> Candidates:
    """Return what `packed` packed."""
    scores = {
        name.removeprefix(_SCORES): {_key(p): v.astype(np.float64) for p, v in kept.items()}
        for name, kept in found.items()
        if name.startswith(_SCORES)
    }
    return Candidates(scores, {_key(p): v.astype(np.int64) for p, v in found.get(_OWNERS, {}).items()})


def lines(
    dataset: str, training: str, runs: Sequence[Mapping[str, Predictions]], tasks: Mapping[str, schema.Task]
) -> list[RuleLine]:
    """Return what came of every rule over some runs of one training; nothing where nobody chose."""
    outcomes: dict[tuple[str, str], list[Outcome]] = {}
    for run in runs:
        judged = unpacked(run)
        if judged.scores:
            measures = {name: measure_of(spec) for name, spec in tasks.items()}
            for outcome in compared(judged.scores, measures, judged.owners):
                outcomes.setdefault((outcome.rule, outcome.task), []).append(outcome)
    return [
        RuleLine(dataset=dataset, training=training, rule=rule, task=task, **_means(found))
        for (rule, task), found in outcomes.items()
    ]


def _means(found: list[Outcome]) -> dict[str, Any]:
    means: dict[str, float | None] = {}
    for name in ("score", "gain_percent", "kept", "harm", "replaced"):
        values = [value for outcome in found if (value := asdict(outcome)[name]) is not None]
        means[name] = float(np.mean(values)) if values else None
    return means


def _key(place: Place) -> Key:
    return Key(place.merchant, place.task, place.split)
