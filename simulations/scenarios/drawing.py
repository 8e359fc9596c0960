"""The rows of one merchant of a scenario, before they are written or encoded. Notation: n rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared_model import schema
from shared_model.schema import Federation

from .. import seeds
from .inputs import Floats, Setting
from .outcomes import OUTCOMES
from .world import SEASON, Character, World


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Rows of one merchant in the order of their days.

    Attributes:
        character: Of the merchant.
        day: Of every row, counted from the first of the history, shape (n,).
        shopper: Of every row: below 0 one that buys at several merchants, -1 - its number; shape (n,).
        behind: What is behind the features, one array per input of the world.
        labels: Task -> what was drawn.
    """

    character: Character
    day: NDArray[np.int64]
    shopper: NDArray[np.int64]
    behind: tuple[NDArray[Any], ...]
    labels: Mapping[str, Floats]


def draw(world: World, number: int) -> Drawn:
    """Return the rows of merchant `number`; they depend on nothing but scenario, contract and number."""
    character = world.character(number)
    drawn = seeds.generator(world.options.seed, character.name, "rows")
    day = np.sort(drawn.integers(world.options.days, size=character.rows))
    setting, shopper = _setting(world, character, day, drawn)
    behind = tuple(i.draw(setting, drawn) for i in world.inputs)
    scores = _scores(world, character, behind, day)
    outcome = seeds.generator(world.options.seed, character.name, "labels")
    labels = {
        name: OUTCOMES[task.kind].draw(task, scores[:, world.places[name]], world.knobs[name].noise, outcome)
        for name, task in world.contract.tasks.items()
    }
    for before, after in pairwise(chain_of(world.contract)):
        labels[after] = labels[after] * labels[before]
    held = {name: label for name, label in labels.items() if name in character.tasks}
    return Drawn(character=character, day=day, shopper=shopper, behind=behind, labels=held)


def chain_of(contract: Federation) -> tuple[str, ...]:
    """Return the tasks each of which can only come true where the one before it did."""
    return contract.bottom.chain if isinstance(contract.bottom, schema.Cascade) else ()


def _setting(
    world: World, character: Character, day: NDArray[np.int64], drawn: np.random.Generator
) -> tuple[Setting, NDArray[np.int64]]:
    """Return what rows have to do with shoppers and days, and the shopper of every row."""
    options = world.options
    persons = max(1, round(character.rows / options.rows_per_shopper))
    owner = drawn.integers(persons, size=character.rows)
    tastes = drawn.standard_normal((persons, world.numbers))
    number = np.arange(persons)
    if options.shared_shoppers:
        pooled = drawn.random(persons) < options.shared_shoppers
        known = drawn.integers(options.shopper_pool, size=persons)
        number = np.where(pooled, -1 - known, number)
        tastes[pooled] = world.tastes[known[pooled]]
    setting = Setting(
        name=character.name,
        means=character.means,
        log_odds=character.log_odds,
        owner=owner,
        tastes=tastes,
        likeness=options.likeness,
        season=world.season[day],
    )
    return setting, number[owner]


def _scores(
    world: World, character: Character, behind: tuple[NDArray[Any], ...], day: NDArray[np.int64]
) -> Floats:
    """Return the scores of all outputs, shape (n, O)."""
    scores = _linear(world, character.coefficients, behind, day)
    if character.later is not None:
        turned = world.turned[day]
        scores = turned[:, :1] * scores + turned[:, 1:] * _linear(world, character.later, behind, day)
    return np.asarray(character.level + scores)


def _linear(
    world: World, coefficients: Floats, behind: tuple[NDArray[Any], ...], day: NDArray[np.int64]
) -> Floats:
    scores = world.season[day] @ coefficients[:, -SEASON:].T
    first = 0
    for one, drawn in zip(world.inputs, behind, strict=True):
        scores += one.score(drawn, coefficients[:, first : first + one.entries.total])
        first += one.entries.total
    return np.asarray(scores)
