"""Rules by which a merchant could choose what it serves, compared on scores alone.

Every rule sees the per-row validation scores of all candidates and names one of them; it is judged by the
test scores of that one. The oracle sees the test scores themselves: nobody can do better, and nobody can do
that. The naive rule takes the best mean validation score.

Conventions: a validation row that had a say in a candidate has the score NaN there and does not judge it. A
task for which there is a candidate `floor` has it as incumbent, as a retrieval has; all others `federated`.
What is better or worse is measured against training alone, or where nothing is alone against the incumbent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from client.acceptance import LEAST_ROWS_AGAINST_FLOOR, Sample, decide
from shared_model.heads import Measure

from .scores import Floats, Key, Scores
from .summary import TOLERATED

ALL = "all"

Owners = Mapping[Key, NDArray[np.int64]]
"""Whose the rows of a key are; without it every row is a shopper of its own."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a rule.

    Attributes:
        rule: Its name, a key of `RULES`.
        task: Which, or `all`.
        pairs: Merchant-task pairs with test rows.
        score: Mean over merchants of the task's first measure on test rows; None over all tasks.
        gain_percent: Mean gain over training alone, in percent of the mean of training alone; over all tasks
            the mean over tasks.
        kept: That, as a share of what the oracle gains; None where it gains nothing.
        harm: Share of pairs that are more than 2 % worse than alone.
        replaced: Share of pairs for which something else than the incumbent was chosen.
    """

    rule: str
    task: str
    pairs: int
    score: float | None
    gain_percent: float
    kept: float | None
    harm: float
    replaced: float


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One task of one merchant.

    Attributes:
        incumbent: What is served unless there is evidence against it.
        alone: What gain and harm are measured against.
        losses: Candidate -> validation scores, less is better, shape (B,).
        owners: Whose the validation rows are, shape (B,).
        measured: Candidate -> its first measure on test rows.
        higher_is_better: Of that measure.
    """

    incumbent: str
    alone: str
    losses: Mapping[str, Floats]
    owners: NDArray[np.int64]
    measured: Mapping[str, float]
    higher_is_better: bool

    def gain(self, choice: str) -> float:
        """Return by how much a candidate is better than alone on test rows."""
        gain = self.measured[self.alone] - self.measured[choice]
        return -gain if self.higher_is_better else gain

    def judged(self) -> dict[str, Floats]:
        """Return the validation losses of the candidates that have rows to be judged by."""
        return {name: losses for name, losses in self.losses.items() if (~np.isnan(losses)).any()}


Rule = Callable[[Mapping[str, Pair]], Mapping[str, str]]
"""From a merchant's tasks to what is served for each."""


def compared(
    candidates: Mapping[str, Scores], measures: Mapping[str, Measure], owners: Owners | None = None
) -> tuple[Outcome, ...]:
    """Return what comes of every rule, per task and over all of them.

    Args:
        candidates: Name -> scores on validation and test rows; `federated` always.
        measures: Task -> how it is judged (`shared_model.heads.measure_of`).
        owners: Of validation rows.
    """
    merchants = _pairs(candidates, measures, owners or {})
    chosen = {name: {m: rule(pairs) for m, pairs in merchants.items()} for name, rule in RULES.items()}
    found = [o for rule, choices in chosen.items() for o in _per_task(rule, merchants, choices)]
    oracle = {o.task: o.gain_percent for o in found if o.rule == ORACLE}
    return tuple(_with_share(outcome, oracle) for outcome in found)


def _pairs(
    candidates: Mapping[str, Scores], measures: Mapping[str, Measure], owners: Owners
) -> dict[str, dict[str, Pair]]:
    found: dict[str, dict[str, Pair]] = {}
    for key in candidates["federated"]:
        if key.split == "test":
            found.setdefault(key.merchant, {})[key.task] = _pair(key, candidates, measures[key.task], owners)
    return found


def _pair(key: Key, candidates: Mapping[str, Scores], measure: Measure, owners: Owners) -> Pair:
    mine = {name: scores for name, scores in candidates.items() if key in scores}
    seen = Key(key.merchant, key.task, "validation")
    sign = -1.0 if measure.higher_is_better else 1.0
    losses = {name: sign * scores.get(seen, np.zeros(0)) for name, scores in mine.items()}
    incumbent = "floor" if "floor" in mine else "federated"
    return Pair(
        incumbent=incumbent,
        alone="alone" if "alone" in mine else incumbent,
        losses=losses,
        owners=owners.get(seen, np.arange(len(losses[incumbent]))),
        measured={name: _metric(scores[key], measure) for name, scores in mine.items()},
        higher_is_better=measure.higher_is_better,
    )


def _metric(scores: Floats, measure: Measure) -> float:
    return float(scores.mean()) ** 0.5 if measure.root else float(scores.mean())


# --- rules ------------------------------------------------------------------------------------------------


def _incumbent(pairs: Mapping[str, Pair]) -> dict[str, str]:
    return {task: pair.incumbent for task, pair in pairs.items()}


def _alone(pairs: Mapping[str, Pair]) -> dict[str, str]:
    return {task: pair.alone for task, pair in pairs.items()}


def _always(name: str) -> Rule:
    """The candidate of this name wherever there is one."""
    return lambda pairs: {t: name if name in p.measured else p.incumbent for t, p in pairs.items()}


def _naive(pairs: Mapping[str, Pair]) -> dict[str, str]:
    """The best mean; each candidate on the rows that judge it. Without rows the incumbent."""
    means = {t: {n: float(np.nanmean(x)) for n, x in p.judged().items()} for t, p in pairs.items()}
    return {t: min(means[t], key=means[t].__getitem__, default=p.incumbent) for t, p in pairs.items()}


def _each_task_by_itself(pairs: Mapping[str, Pair]) -> dict[str, str]:
    """The rule of `client.acceptance`, without what other tasks say."""
    return {task: _do_no_harm({task: pair})[task] for task, pair in pairs.items()}


def _do_no_harm(pairs: Mapping[str, Pair]) -> dict[str, str]:
    """The rule of `client.acceptance`."""
    samples = {task: _samples(pair) for task, pair in pairs.items()}
    accepted = decide({t: found for t, found in samples.items() if pairs[t].incumbent == "federated"})
    for task, pair in pairs.items():
        if pair.incumbent == "floor":
            accepted |= decide({task: samples[task]}, "floor", LEAST_ROWS_AGAINST_FLOOR)
    return {task: accepted[task].choice for task in pairs}


def _samples(pair: Pair) -> dict[str, Sample]:
    before, owners = pair.losses[pair.incumbent], torch.from_numpy(pair.owners)
    rivals = {name: losses for name, losses in pair.losses.items() if name != pair.incumbent}
    return {name: Sample(torch.from_numpy(before - losses), owners) for name, losses in rivals.items()}


def _oracle(pairs: Mapping[str, Pair]) -> dict[str, str]:
    return {task: max(pair.measured, key=pair.gain) for task, pair in pairs.items()}


ORACLE = "oracle (best test score)"
RULES: dict[str, Rule] = {
    "always the incumbent": _incumbent,
    "always alone": _alone,
    "always fine-tuned": _always("fine_tuned"),
    "always mixture": _always("mixture"),
    "naive (best validation score)": _naive,
    "do no harm, each task by itself": _each_task_by_itself,
    "do no harm": _do_no_harm,
    ORACLE: _oracle,
}
"""Name of a rule -> what it chooses."""


# --- what comes of them -----------------------------------------------------------------------------------


def _per_task(
    rule: str, merchants: Mapping[str, Mapping[str, Pair]], choices: Mapping[str, Mapping[str, str]]
) -> list[Outcome]:
    served: dict[str, list[tuple[Pair, str]]] = {}
    for merchant, pairs in merchants.items():
        for task, pair in pairs.items():
            served.setdefault(task, []).append((pair, choices[merchant][task]))
    lines = [_outcome(rule, task, found) for task, found in served.items()]
    everything = [found for task in served.values() for found in task]
    overall = _outcome(rule, ALL, everything)
    gain = float(np.mean([line.gain_percent for line in lines])) if lines else 0.0
    return [*lines, Outcome(**{**vars(overall), "score": None, "gain_percent": gain})]


def _outcome(rule: str, task: str, served: list[tuple[Pair, str]]) -> Outcome:
    gains = np.array([pair.gain(choice) for pair, choice in served])
    alone = np.array([pair.measured[pair.alone] for pair, _ in served])
    mean = float(np.abs(alone.mean())) if len(served) else 0.0
    return Outcome(
        rule=rule,
        task=task,
        pairs=len(served),
        score=float(np.mean([pair.measured[choice] for pair, choice in served])) if served else None,
        gain_percent=100 * float(gains.mean()) / mean if mean else 0.0,
        kept=None,
        harm=float((gains < -TOLERATED * np.abs(alone)).mean()) if served else 0.0,
        replaced=float(np.mean([choice != pair.incumbent for pair, choice in served])) if served else 0.0,
    )


def _with_share(outcome: Outcome, oracle: Mapping[str, float]) -> Outcome:
    most = oracle[outcome.task]
    return Outcome(**{**vars(outcome), "kept": outcome.gain_percent / most if most > 0 else None})
