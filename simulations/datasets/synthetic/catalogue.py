"""What a synthetic shop sells, and where its shoppers live.

The words of titles mean something: the noun tells the category, the adjective tells the grade, and grade
decides about reviews and clicks.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .mechanics import Floats
from .options import SyntheticMarket


@dataclass(frozen=True)
class Category:
    """One public product category.

    Attributes:
        nouns: Of its titles.
        log_price: Mean of log(1 + price).
        log_weight: Mean of log(1 + grams).
        peak: Day of the year on which it sells best.
        loyalty: How much its buyers come back, in [-1, 1].
        complexity: How much there is to dislike, in [-1, 1].
    """

    nouns: tuple[str, ...]
    log_price: float
    log_weight: float
    peak: float
    loyalty: float
    complexity: float


# fmt: off
CATEGORIES: dict[str, Category] = {
    "books": Category(("novel", "atlas", "cookbook", "almanac"), 2.8, 6.0, 350, 0.5, -1.0),
    "electronics": Category(("headphones", "charger", "speaker", "keyboard"), 4.3, 6.2, 335, -0.5, 1.0),
    "fashion": Category(("jacket", "scarf", "shirt", "boots"), 3.7, 6.2, 290, 0.0, 0.8),
    "furniture": Category(("shelf", "stool", "desk", "lamp"), 4.8, 9.0, 30, -1.0, 0.6),
    "garden": Category(("hose", "planter", "trowel", "shears"), 3.3, 7.3, 130, -0.2, -0.2),
    "health_beauty": Category(("cream", "shampoo", "soap", "balm"), 2.9, 5.5, 345, 1.0, -0.4),
    "kitchen": Category(("pan", "kettle", "knife", "teapot"), 3.6, 7.2, 345, -0.3, 0.0),
    "pets": Category(("kibble", "leash", "litter", "basket"), 3.0, 7.6, 20, 0.9, -0.6),
    "sports": Category(("racket", "mat", "bottle", "gloves"), 3.6, 6.6, 160, -0.1, 0.2),
    "toys": Category(("puzzle", "kite", "blocks", "doll"), 3.1, 6.4, 350, 0.1, -0.4),
}
# fmt: on

ADJECTIVES: dict[int, tuple[str, ...]] = {
    -1: ("budget", "basic", "light"),
    0: ("classic", "handy", "modern"),
    1: ("premium", "sturdy", "handmade"),
}
"""Grade -> words that stand for it."""

REMOTENESS: dict[str, float] = {
    "ZZ-A": -1.0, "ZZ-B": -0.8, "ZZ-C": -0.5, "ZZ-D": -0.2, "ZZ-E": 0.2, "ZZ-F": 0.6, "ZZ-G": 1.0,
    "ZZ-H": 1.5,
}  # fmt: skip
"""Region -> how hard it is to reach. ISO 3166 leaves the code ZZ to its users: there is no such country."""


@dataclass(frozen=True, kw_only=True)
class Items:
    """A shop's catalogue; arrays of shape (items,).

    Attributes:
        category: Index into `CATEGORIES`.
        grade: -1, 0 or 1.
        list_price: In the shop's currency.
        weight_g: Grams.
        photos: Number of pictures.
        popularity: Utility that is the item's own.
        launch_day: Day from which it is sold, counted from the start of the history.
        titles: Adjective, noun and a number.
    """

    category: NDArray[np.int64]
    grade: NDArray[np.int64]
    list_price: Floats
    weight_g: Floats
    photos: NDArray[np.int64]
    popularity: Floats
    launch_day: Floats
    titles: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.titles)

    def of_category(self, attribute: str) -> Floats:
        """Return a public attribute of each item's category, shape (items,)."""
        public = np.array([getattr(category, attribute) for category in CATEGORIES.values()])
        return np.asarray(public[self.category])

    def to_frame(self, ids: list[str]) -> pl.DataFrame:
        """Return the canonical items table."""
        names = list(CATEGORIES)
        return pl.DataFrame(
            {
                "item_id": ids,
                "category": [names[c] for c in self.category],
                "price": self.list_price,
                "weight_g": self.weight_g,
                "photos": self.photos,
                "title": self.titles,
            }
        )


def draw_items(options: SyntheticMarket, expected_orders: float, generator: np.random.Generator) -> Items:
    """Return the catalogue of a shop: fewer items where it sells less."""
    n = max(2, round(options.items * min(1.0, (expected_orders / 300) ** 0.5)))
    category = generator.choice(len(CATEGORIES), n, p=_mix(len(CATEGORIES), options, generator))
    grade = generator.integers(-1, 2, n)
    level = 0.4 * options.feature_shift * generator.normal()
    publics = list(CATEGORIES.values())
    log_price = np.array([publics[c].log_price for c in category]) + level + 0.3 * grade
    log_weight = np.array([publics[c].log_weight for c in category])
    launched = np.where(generator.random(n) < 0.7, 0.0, generator.uniform(0, 0.8 * options.days, n))
    launched[0] = 0.0  # there is always something to buy
    return Items(
        category=category,
        grade=grade,
        list_price=np.round(np.expm1(np.maximum(log_price + 0.4 * generator.normal(size=n), 0.7)), 2),
        weight_g=np.round(np.expm1(log_weight + 0.5 * generator.normal(size=n)), 0),
        photos=1 + generator.poisson(2.0, n),
        popularity=generator.normal(size=n),
        launch_day=launched,
        titles=tuple(
            _title(int(c), int(g), i, generator) for i, (c, g) in enumerate(zip(category, grade, strict=True))
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a shop and its shoppers are.

    Attributes:
        home: Index of the shop's region in `REMOTENESS`.
        mix: Share of its shoppers in each region.
        log_distance: Mean of log(1 + kilometres) to each region.
    """

    home: int
    mix: Floats
    log_distance: Floats


def draw_places(options: SyntheticMarket, generator: np.random.Generator) -> Places:
    """Return the regions of one shop."""
    remoteness = np.array(list(REMOTENESS.values()))
    home = int(generator.integers(len(REMOTENESS) // 2))
    log_distance = 5.6 + 0.6 * remoteness + 0.4 * options.feature_shift * generator.normal()
    log_distance[home] -= 1.5
    return Places(home=home, mix=_mix(len(REMOTENESS), options, generator), log_distance=log_distance)


def _mix(n: int, options: SyntheticMarket, generator: np.random.Generator) -> Floats:
    """Shares of n classes: equal without feature shift, ever more uneven with it."""
    utility = np.exp(2.0 * options.feature_shift * generator.normal(size=n))
    return np.asarray(utility / utility.sum())


def _title(category: int, grade: int, number: int, generator: np.random.Generator) -> str:
    noun = generator.choice(list(CATEGORIES.values())[category].nouns)
    return f"{generator.choice(ADJECTIVES[grade])} {noun} no. {number}"
