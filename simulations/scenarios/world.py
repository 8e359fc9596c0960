"""What all merchants of a scenario have in common, and what makes one of them different.

A coefficient of merchant m in group g is

    w_m = s (sqrt(r) common_g + sqrt(1 - r) own_m),   common, own ~ Normal(0, 1)

with relatedness r, so r is the share of its variance that is common. Values of categories that only one
merchant has, and all coefficients of strangers, have r = 0. With drift d, on a day that lies the share u into
the history, w_m is cos(u d pi/2) w_m + sin(u d pi/2) w'_m with another such w'_m.

Notation: O outputs of all tasks, E entries of all inputs, D days.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from shared_model import schema
from shared_model.schema import Federation

from .. import seeds
from .inputs import Floats, Numbers, categories_of, inputs_of
from .options import ScenarioMarket
from .outcomes import OUTCOMES
from .sizes import draw_rows

SEASON = 2
"""Entries behind those of the inputs: sine and cosine of the day of the year."""


@dataclass(frozen=True, kw_only=True)
class Character:
    """What is true of one merchant.

    Attributes:
        name: Of the merchant.
        rows: How many it has.
        group: Number of its group.
        stranger: Whether its coefficients are all its own.
        tasks: Those that it has.
        level: Of every output, shape (O,).
        means: Of the numbers, in spreads.
        log_odds: Of the values of categories, shape (categories, values).
        coefficients: On the first day, shape (O, E + 2); the last two are the season's.
        later: Those that a full drift would end with, shape (O, E + 2); None without drift.
    """

    name: str
    rows: int
    group: int
    stranger: bool
    tasks: tuple[str, ...]
    level: Floats
    means: Floats
    log_odds: Floats
    coefficients: Floats
    later: Floats | None


class World:
    """A scenario over a contract: everything that does not depend on a merchant.

    Attributes:
        options: The scenario.
        contract: The agreement.
        inputs: What features are drawn from.
        places: Task -> its outputs.
        outputs: O.
        entries: E.
        knobs: Task -> its knobs.
    """

    def __init__(self, options: ScenarioMarket, contract: Federation) -> None:
        self.options, self.contract = options, contract
        self.inputs = inputs_of(contract, options.vocabulary, options.vocabulary_overlap)
        self._counts = [OUTCOMES[task.kind].outputs(task) for task in contract.tasks.values()]
        ends = np.cumsum(self._counts).tolist()
        spans = (slice(end - count, end) for end, count in zip(ends, self._counts, strict=True))
        self.places = dict(zip(contract.tasks, spans, strict=True))
        self.outputs = sum(self._counts)
        self.entries = sum(i.entries.total for i in self.inputs)
        self.knobs = {name: options.of_task(name) for name in contract.tasks}
        self._categories = len(categories_of(contract))

    @property
    def names(self) -> tuple[str, ...]:
        """All merchants."""
        return tuple(map(self.options.name_of, range(self.options.merchants)))

    @cached_property
    def level(self) -> Floats:
        """Of every output where all features are silent, shape (O,)."""
        return self._per_output(OUTCOMES[task.kind].level(task) for task in self.contract.tasks.values())

    @cached_property
    def related(self) -> Floats:
        """Share of the variance of a coefficient that is common, shape (O, E + 2)."""
        common = np.concatenate([*(i.entries.common for i in self.inputs), np.ones(SEASON, np.bool_)])
        knobs = (
            0.0 if isinstance(task, schema.Retrieval) else self.knobs[name].relatedness
            for name, task in self.contract.tasks.items()
        )
        return np.asarray(self._per_output(knobs)[:, None] * common)

    @cached_property
    def spread(self) -> Floats:
        """Standard deviation of a coefficient, shape (O, E + 2)."""
        features = max(sum(i.entries.features for i in self.inputs), 1.0)
        copies = np.concatenate([np.full(i.entries.total, i.entries.copies) for i in self.inputs])
        signal = self._per_output(knobs.signal for knobs in self.knobs.values())
        season = np.full((self.outputs, SEASON), self.options.season)
        return np.concatenate([signal[:, None] * np.sqrt(copies / features), season], 1)

    @cached_property
    def common(self) -> Floats:
        """What groups have in common, standard normal, shape (2, groups, O, E + 2); the second for drift."""
        return np.concatenate([self._common(task) for task in self.contract.tasks], 2)

    def _common(self, task: str) -> Floats:
        before = (2, self.options.groups, self.places[task].stop - self.places[task].start)
        inputs, season = (
            seeds.generator(self.options.seed, "common", task, of) for of in ("inputs", "season")
        )
        return np.concatenate(
            [inputs.standard_normal((*before, self.entries)), season.standard_normal((*before, SEASON))], -1
        )

    @cached_property
    def tastes(self) -> Floats:
        """What belongs to the shoppers that buy at several merchants, shape (pool, numbers)."""
        pool = seeds.generator(self.options.seed, "shoppers")
        return pool.standard_normal((self.options.shopper_pool, self.numbers))

    @cached_property
    def numbers(self) -> int:
        """How many features are numbers."""
        return sum(i.entries.total for i in self.inputs if isinstance(i, Numbers))

    @cached_property
    def season(self) -> Floats:
        """Sine and cosine of every day of the history, as rows of shop tables have them, shape (D, 2)."""
        ordinal = [
            (self.options.start + timedelta(days=day)).timetuple().tm_yday for day in range(self.options.days)
        ]
        angle = np.array(ordinal) * (2 * np.pi / 365)
        return np.stack([np.sin(angle), np.cos(angle)], 1)

    @cached_property
    def turned(self) -> Floats:
        """How far coefficients have turned, as (cosine, sine) of every day, shape (D, 2)."""
        angle = np.linspace(0, self.options.drift * np.pi / 2, self.options.days)
        return np.stack([np.cos(angle), np.sin(angle)], 1)

    def part(self, day: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the part of the split that days lie in, as `client.data.split.PARTS` numbers them."""
        test = self.options.days - self.options.test_days
        edges = [test - self.options.validation_days, test]
        return np.searchsorted(edges, day, side="right").astype(np.uint8)

    def character(self, number: int) -> Character:
        """Return what is true of merchant `number`, whatever the number of merchants."""
        options, name = self.options, self.options.name_of(number)
        drawn = seeds.generator(options.seed, name, "character")
        rows = draw_rows(options.size, number, drawn)
        stranger = bool(drawn.random() < options.strangers)
        tasks = self._drawn_tasks(drawn)
        level = self.level + options.label_shift * drawn.standard_normal(self.outputs)
        means = options.feature_shift * drawn.standard_normal(self.numbers)
        log_odds = options.feature_shift * drawn.standard_normal((self._categories, options.vocabulary))
        group = number % options.groups
        first = self._coefficients(drawn, group, stranger, 0)
        later = self._coefficients(drawn, group, stranger, 1) if options.drift else None
        return Character(
            name=name,
            rows=rows,
            group=group,
            stranger=stranger,
            tasks=tasks,
            level=level,
            means=means,
            log_odds=log_odds,
            coefficients=first,
            later=later,
        )

    def _coefficients(self, drawn: np.random.Generator, group: int, stranger: bool, time: int) -> Floats:
        own, r = drawn.standard_normal(self.related.shape), 0.0 if stranger else self.related
        mixed = np.sqrt(r) * self.common[time, group] + np.sqrt(1 - r) * own
        return np.asarray(self.spread * mixed)

    def _drawn_tasks(self, drawn: np.random.Generator) -> tuple[str, ...]:
        """Each with its own chance; the nearest to it where none would be left."""
        uniform = drawn.random(len(self.knobs)).tolist()
        missed = {n: u - k.share for u, (n, k) in zip(uniform, self.knobs.items(), strict=True)}
        return tuple(name for name, by in missed.items() if by < 0) or (min(missed, key=missed.__getitem__),)

    def _per_output(self, values: Iterable[float]) -> Floats:
        """Repeat a number per task for each of its outputs, shape (O,)."""
        return np.repeat(np.array(list(values), np.float64), self._counts)
