"""The server step of a round in which some rows of the big tables travelled: the others do not move.

The optimizer sees the arrays as they travelled. It keeps moments for every block of rows by itself, under
`array[first:last]`, so that the moments of a row wait for its next turn as the row does.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from shared_model.schema import ServerOptimizer

from . import optimizers
from .aggregation import Arrays

Floats = NDArray[np.float64]


def step(
    state: optimizers.State,
    arrays: Arrays,
    mean: Mapping[str, Callable[[], Floats]],
    rows: Mapping[str, slice],
    options: ServerOptimizer,
    learning_rate: float,
) -> tuple[optimizers.State, Arrays]:
    """Return the new moments and the new arrays, array after array.

    `state` and `arrays` are used up on the way, so that no more than one array is there twice.

    Args:
        state: Moments, of blocks under names of their own.
        arrays: All of them, whole.
        mean: Array -> what makes its mean update, of what travelled; arrays without an update stay.
        rows: Array -> the rows that travelled, where not all did.
        options: Which optimizer, and how it is set.
        learning_rate: Of this round.
    """
    take, moved = optimizers.OPTIMIZERS[options.optimizer], {}
    for name in list(arrays):
        whole = arrays.pop(name)
        if name not in mean:
            moved[name] = whole
            continue
        part = rows.get(name)
        key = name if part is None else f"{name}[{part.start}:{part.stop}]"
        own = {kind: {name: moments.pop(key)} for kind, moments in state.items() if key in moments}
        before = {name: whole if part is None else whole[part]}
        moments, after = take(own, before, {name: mean[name]()}, options, learning_rate)
        for kind, found in moments.items():
            state.setdefault(kind, {})[key] = found[name]
        moved[name] = _written(whole, after[name], part)
    return state, moved


def _written(whole: Floats, moved: Floats, rows: slice | None) -> Floats:
    """Return `whole` with `moved` in the place of `rows`; for None that is all of it."""
    if rows is None:
        return moved
    changed = whole.copy()
    changed[rows] = moved
    return changed
