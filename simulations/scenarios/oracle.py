"""Should they federate? The right answer of a scenario, in closed form.

Coefficients are drawn from normal distributions whose variances are known, so the best that a merchant can do
alone, and with all others, follows from how many rows everybody has: the posterior variance of its
coefficients given its own rows, and given everybody's. A coefficient is w = c + d with Var c = a = r s^2 and
Var d = b = (1 - r) s^2; n rows tell it up to a variance e = 1 / (n J q), where J is what a row says about a
score (`information.py`) and q the variance of what the coefficient multiplies. Then

    alone      1 / (1 / (a + b) + 1 / e)
    others     A = 1 / (1 / a + sum over the others of 1 / (b + e))
    federated  1 / (1 / (A + b) + 1 / e)
    prior      the shared part without a part of its own: A' + b - 2 A' b / (b + e), A' of all merchants

and a loss is its floor plus J q / 2 times such a variance, summed (for a number: q times it, under a root).

It is an average over markets of this kind, to the second order of the loss, with what is multiplied taken as
uncorrelated, and for the best use of the data: a method that falls behind has lost something on its way, and
a contract with privacy pays for it. A `wide` bottom reads numbers only, and what it does not see is lost to
all; any other is taken to express whatever features say.
`tests/simulations/scenarios/test_oracle.py` compares it with regressions on drawn data.

Source: Efron and Morris (1975), "Data analysis using Stein's estimator and its generalizations", section 1;
DerSimonian and Laird (1986), "Meta-analysis in clinical trials", for the weights 1 / (b + e).

Notation: M merchants, O outputs of one task, E entries of which a model sees any.
"""

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared_model import schema

from .drawing import chain_of
from .information import information
from .inputs import SEASONAL, Floats, Numbers, Setting
from .world import Character, World

HELPS_FROM = 0.01
"""Federating helps where it lowers the loss by at least this share of it: less is not seen in a test."""

_REFERENCE = 4096  # rows from which variances of features are read


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What sharing is worth to one merchant on one task; losses as in a report, numbers in scaled units.

    Attributes:
        rows: Training rows, as many as are expected.
        floor: Loss with all coefficients known.
        alone: Loss of the best use of its own rows.
        federated: Loss of the best use of everybody's, with a part of its own.
        prior: Loss of the shared part alone.
        gain: (alone - federated) / alone.
        helps: Whether the gain is at least `HELPS_FROM`.
    """

    rows: float
    floor: float
    alone: float
    federated: float
    prior: float
    gain: float
    helps: bool


def truth(world: World) -> dict[str, object]:
    """Return the right answers as plain dictionaries: per merchant and task, and per task on average."""
    found = truths(world)
    tasks = {task for answers in found.values() for task in answers}
    gains = {task: [a[task].gain for a in found.values() if task in a] for task in sorted(tasks)}
    means = {task: float(np.mean(values)) for task, values in gains.items()}
    characters = {c.name: c for c in map(world.character, range(world.options.merchants))}
    return {
        "relatedness": world.options.relatedness,
        "tasks": {task: {"gain": mean, "helps": mean >= HELPS_FROM} for task, mean in means.items()},
        "merchants": {
            name: {
                "group": characters[name].group,
                "stranger": characters[name].stranger,
                "tasks": {task: asdict(answer) for task, answer in answers.items()},
            }
            for name, answers in found.items()
        },
    }


def truths(world: World) -> dict[str, dict[str, Truth]]:
    """Return merchant -> task -> the right answer.

    There is none for a choice of items, which is a merchant's own, nor for a link of a chain but the first,
    whose labels do not follow from its own score alone.
    """
    characters = [world.character(number) for number in range(world.options.merchants)]
    found: dict[str, dict[str, Truth]] = {c.name: {} for c in characters}
    seen = _seen(world)
    for task, spec in world.contract.tasks.items():
        if isinstance(spec, schema.Retrieval) or task in chain_of(world.contract)[1:]:
            continue
        theirs = [c for c in characters if task in c.tasks]
        for character, answer in zip(theirs, _of_task(world, task, theirs, seen), strict=True):
            found[character.name][task] = answer
    return found


class _Seen(NamedTuple):
    """Variances of what coefficients multiply, (E + 2,), and whether a model sees it, (E + 2,)."""

    variance: Floats
    visible: NDArray[np.bool_]


def _seen(world: World) -> _Seen:
    """Measure a merchant without any shift."""
    options, generator = world.options, np.random.default_rng(0)
    day = generator.integers(options.days, size=_REFERENCE)
    plain = world.character(0)
    setting = Setting(
        name=plain.name,
        means=np.zeros_like(plain.means),
        log_odds=np.zeros_like(plain.log_odds),
        owner=np.zeros(_REFERENCE, np.int64),
        tastes=np.zeros((1, world.numbers)),
        likeness=0.0,
        season=world.season[day],
    )
    moments = [i.moments(i.draw(setting, generator)) for i in world.inputs]
    variance = np.concatenate([*moments, world.season.var(0)])
    numbers_only = isinstance(world.contract.bottom, schema.Wide)
    read = [np.full(i.entries.total, isinstance(i, Numbers) or not numbers_only) for i in world.inputs]
    season = [name in world.contract.features for name in SEASONAL]
    return _Seen(variance, np.concatenate([*read, season]))


class _Variances(NamedTuple):
    """Of every coefficient of every merchant's outputs, (M, O, E): alone, federated, prior."""

    alone: Floats
    federated: Floats
    prior: Floats


def _of_task(world: World, task: str, theirs: list[Character], seen: _Seen) -> list[Truth]:
    """Return the answers of the merchants that have a task, in their order."""
    if not theirs:
        return []
    place, spec, knobs = world.places[task], world.contract.tasks[task], world.knobs[task]
    square = world.spread[place] ** 2 * seen.variance  # of the score, by entry
    level = np.stack([c.level[place] for c in theirs])
    said = information(spec, level, square.sum(1), knobs.noise)
    training = world.options.days - world.options.validation_days - world.options.test_days
    rows = np.array([c.rows for c in theirs]) * training / world.options.days
    used = seen.visible & (seen.variance > 0)
    error = 1 / (rows[:, None] * said.per_row)  # of a score that one unit moves, by merchant and output
    variances = _variances(theirs, square[:, used], world.related[place][:, used], error, _turned(world))
    unseen = square[:, ~seen.visible].sum(1) + _level_error(world.options.label_shift, error)
    losses = [_loss(spec, said.per_row, said.floor, by_entry.sum(2) + unseen) for by_entry in variances]
    floor = _loss(spec, said.per_row, said.floor, np.zeros_like(error))
    return [_answer(float(n), *(float(of[m]) for of in (floor, *losses))) for m, n in enumerate(rows)]


def _answer(rows: float, floor: float, alone: float, federated: float, prior: float) -> Truth:
    gain = (alone - federated) / alone
    return Truth(
        rows=rows,
        floor=floor,
        alone=alone,
        federated=federated,
        prior=prior,
        gain=gain,
        helps=gain >= HELPS_FROM,
    )


def _variances(
    theirs: list[Character], square: Floats, related: Floats, error: Floats, turned: "_Turned"
) -> _Variances:
    """Return the variances of what is not known of coefficients, each times what it multiplies.

    Args:
        theirs: The merchants.
        square: Variance of a coefficient times that of what it multiplies, shape (O, E).
        related: Share of it that is common, shape (O, E).
        error: What a merchant's rows leave open of such a coefficient, shape (M, O).
        turned: What drift makes of it.
    """
    learnt = turned.kept * square
    strange = np.array([c.stranger for c in theirs])[:, None, None]
    common = np.where(strange, 0.0, related * learnt)
    own, e = learnt - common, error[:, :, None]
    weight = np.where(strange, 0.0, 1 / (own + e))
    groups = np.array([c.group for c in theirs])
    total = np.stack([weight[groups == g].sum(0) for g in range(int(groups.max()) + 1)])[groups]
    others, everybody = (_inverse_sum(related * learnt, w) for w in (total - weight, total))
    near = np.where(strange, 0.0, others) + own
    prior = np.where(
        strange,
        learnt + related * learnt - everybody,
        everybody + own - 2 * everybody * own / (own + e),
    )
    alone, federated = (v * e / (v + e) for v in (np.broadcast_to(learnt, near.shape), near))
    return _Variances(*(turned.of(square, v) for v in (alone, federated, prior)))


def _inverse_sum(variance: Floats, precision: Floats) -> Floats:
    """1 / (1 / variance + precision), 0 where the variance is."""
    return np.asarray(variance / (1 + variance * precision))


class _Turned(NamedTuple):
    """What drift leaves: `kept` of the variance in the mean of the training days, `met` of it in the test."""

    kept: float
    met: float

    def of(self, square: Floats, variance: Floats) -> Floats:
        """Return what is not known of the coefficients in the test, given what is not known in training."""
        return square * (1 + self.kept - 2 * self.met) + variance * (2 * self.met / self.kept - 1)


def _turned(world: World) -> _Turned:
    training = world.options.days - world.options.validation_days - world.options.test_days
    learnt = world.turned[:training].mean(0)
    tested = world.turned[-world.options.test_days :].mean(0)
    return _Turned(float(learnt @ learnt), float(learnt @ tested))


def _level_error(shift: float, error: Floats) -> Floats:
    """What is not known of a merchant's level, shape (M, O); the same with and without others."""
    return np.asarray(shift**2 * error / (shift**2 + error))


def _loss(task: schema.Task, per_row: Floats, floor: Floats, unknown: Floats) -> Floats:
    """Return the loss as a report has it, shape (M,)."""
    if isinstance(task, schema.Regression):
        return np.asarray(np.sqrt(floor + unknown.sum(1)))
    counted = len(task.labels) if isinstance(task, schema.Multilabel) else 1
    return np.asarray(floor + (per_row * unknown).sum(1) / 2 / counted)
