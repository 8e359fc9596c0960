"""Which merchants of a round may train together: of one key, with catalogues of about one size.

The catalogues of a cohort are filled up to its longest. So that little is computed for nothing, merchants of
one group have at most twice as many items as each other, with large catalogues at most a quarter more. With
whom a merchant can train follows from its own catalogue alone, not from who else is asked.
"""

from collections.abc import Collection
from typing import NamedTuple

from shared_model import schema
from shared_model.retrieval import CELLS

from .shops import Key, Shop

_CHEAP, _DEAR = 128, 2048
"""Up to so many items, it costs less to fill catalogues up than to train in smaller cohorts; beyond so many,
it costs far more."""


class Group(NamedTuple):
    """Merchants that may train together.

    Attributes:
        key: Of all of them.
        places: Most items that one of them has, for every item choice that is trained.
    """

    key: Key
    places: tuple[tuple[str, int], ...] = ()


def group_of(shop: Shop, choosing: Collection[str]) -> Group:
    """Return the group of a merchant.

    Args:
        shop: The merchant.
        choosing: Item choices that its key trains.
    """
    specs = shop.key.structure.specs
    items = {task: shop.catalogues.get(task, 1) for task in sorted(choosing)}
    return Group(
        shop.key, tuple((task, _places(count, most_of(specs[task]))) for task, count in items.items())
    )


def obstacle_of_items(group: Group, rows: int) -> str | None:
    """Return why the catalogues of a group cannot be trained side by side, or None.

    Args:
        group: Merchants.
        rows: Of a step of one of them.
    """
    specs = group.key.structure.specs
    drawn = [task for task, places in group.places if places > most_of(specs[task])]
    if drawn:
        return f"items of a large catalogue are drawn ({', '.join(drawn)})"
    if rows * sum(places for _, places in group.places) > CELLS:
        return f"scores of a large catalogue are computed in parts ({', '.join(t for t, _ in group.places)})"
    return None


def most_of(task: schema.Task) -> int:
    """Return up to how many items a task compares with all of them."""
    assert isinstance(task, schema.Retrieval)
    return task.max_full


def _places(items: int, most: int) -> int:
    """Return the end of the range that so many items lie in; what `most` allows is not beyond it.

    Ranges end at powers of two, and where items are many at three places between two of them.
    """
    power = max(_CHEAP, 1 << (items - 1).bit_length())
    step = power // 8 if power > _DEAR else power
    end = -(-items // step) * step
    return min(end, most) if items <= most else end
