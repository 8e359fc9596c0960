"""From the features of a contract to what draws them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from shared_model import schema
from shared_model.schema import Federation

from .bags import Bag
from .base import Array, Entries, Floats, Input, Setting
from .categories import Category
from .histories import History
from .numbers import SEASONAL, Numbers
from .vectors import Vector
from .words import Words

__all__ = [
    "SEASONAL",
    "Array",
    "Entries",
    "Floats",
    "Input",
    "Numbers",
    "Setting",
    "categories_of",
    "inputs_of",
]


def inputs_of(contract: Federation, values: int, overlap: float) -> tuple[Input, ...]:
    """Return what a contract's features are drawn from.

    Args:
        contract: The agreement.
        values: V, of every category.
        overlap: Share of them that all merchants have.
    """
    places = {name: place for place, name in enumerate(categories_of(contract))}
    words = {name: Words(name, values, round(overlap * values)) for name in places}
    vocabulary = _Vocabulary(contract, places, words)
    numbers = {n: f for n, f in contract.features.items() if isinstance(f, schema.Numeric)}
    others = [(n, f) for n, f in contract.features.items() if n not in numbers]
    every: list[Input] = [Numbers(numbers)] if numbers else []
    return (*every, *(_MADE[feature.kind](name, feature, vocabulary) for name, feature in others))


def categories_of(contract: Federation) -> tuple[str, ...]:
    """Return the features that choose among values."""
    choosing = (schema.Categorical, schema.Text, schema.Multi)
    return tuple(name for name, feature in contract.features.items() if isinstance(feature, choosing))


class _Vocabulary(NamedTuple):
    """The contract, and of every category its place among them and its values."""

    contract: Federation
    places: dict[str, int]
    words: dict[str, Words]

    @property
    def key(self) -> str:
        return self.contract.federation.hash_key


def _category(name: str, feature: schema.Categorical | schema.Text, known: _Vocabulary) -> Input:
    return Category(name, feature, known.places[name], known.words[name], known.key)


def _bag(name: str, feature: schema.Multi, known: _Vocabulary) -> Input:
    return Bag(name, feature, known.places[name], known.words[name], known.key)


def _vector(name: str, feature: schema.Vector, known: _Vocabulary) -> Input:
    return Vector(name, feature)


def _history(name: str, feature: schema.Sequence, known: _Vocabulary) -> Input:
    described = [known.contract.features[of] for of in feature.of]
    return History(
        name,
        feature,
        places=tuple(known.places[of] for of in feature.of),
        words=tuple(known.words[of] for of in feature.of),
        buckets=tuple(f.buckets for f in described if isinstance(f, schema.Categorical)),
        key=known.key,
    )


_MADE: dict[str, Callable[[str, Any, _Vocabulary], Input]] = {
    "categorical": _category,
    "text": _category,
    "multi": _bag,
    "vector": _vector,
    "sequence": _history,
}
