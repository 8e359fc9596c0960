"""The server step of a round in which some rows of the big tables travelled: the others do not move.

The optimizer sees the arrays as they travelled. It keeps moments for every block of rows by itself, under
`array[first:last]`, so that the moments of a row wait for its next turn as the row does.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from shared_model.row_blocks import travelling
from shared_model.schema import ServerOptimizer

from . import optimizers
from .aggregation import Arrays

Floats = NDArray[np.float64]


def step(
    state: optimizers.State,
    arrays: Arrays,
    update: Arrays,
    rows: Mapping[str, slice],
    options: ServerOptimizer,
    learning_rate: float,
) -> tuple[optimizers.State, Arrays]:
    """Return the new moments and the new arrays; the arguments are left as they are.

    Args:
        state: Moments, of blocks under names of their own.
        arrays: All of them, whole.
        update: The mean update, of what travelled.
        rows: Array -> the rows that travelled, where not all did.
        options: Which optimizer, and how it is set.
        learning_rate: Of this round.
    """
    blocks = {name: f"{name}[{part.start}:{part.stop}]" for name, part in rows.items()}
    own = {kind: _of_travellers(moments, blocks) for kind, moments in state.items()}
    take = optimizers.OPTIMIZERS[options.optimizer]
    moments, moved = take(own, travelling(arrays, rows), update, options, learning_rate)
    found = {
        kind: {**state.get(kind, {}), **{blocks.get(name, name): array for name, array in new.items()}}
        for kind, new in moments.items()
    }
    return found, {name: _written(array, moved[name], rows.get(name)) for name, array in arrays.items()}


def _of_travellers(moments: Arrays, blocks: Mapping[str, str]) -> Arrays:
    """Return the moments of the travelling blocks under their arrays' names, and those of whole arrays."""
    named = {key: name for name, key in blocks.items()}
    return {named.get(key, key): array for key, array in moments.items() if key in named or "[" not in key}


def _written(whole: Floats, moved: Floats, rows: slice | None) -> Floats:
    """Return `whole` with `moved` in the place of `rows`; for None that is all of it."""
    if rows is None:
        return moved
    changed = whole.copy()
    changed[rows] = moved
    return changed
