"""Which rows of big tables travel in which round, where the contract divides them (`federation.row_blocks`).

In round r block (r - 1) mod N of every big table travels, down and up, and only its rows are trained; a block
is a run of rows, and after N rounds every row has had its turn. Rows are hashes of values, so a run of them
is as good as any other choice, and it is one piece of memory. The schedule follows from the contract and the
number of the round, never from data.

A merchant keeps every row as it last came; a row that never came is zero there, as if the value were missing.

Notation: N blocks, V rows of a table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from .schema import Federation
from .schema.checks import tables_in_blocks


@dataclass(frozen=True)
class Schedule:
    """When which rows travel.

    Attributes:
        blocks: N.
        tables: Array -> V, for the tables that travel in blocks.
    """

    blocks: int
    tables: Mapping[str, int]

    def rows(self, round_number: int) -> dict[str, slice]:
        """Return array -> the rows that travel in a round, from 1, for the tables that travel in blocks.

        >>> Schedule(3, {"table": 10}).rows(2)
        {'table': slice(3, 6, None)}
        """
        block = (round_number - 1) % self.blocks
        return {
            name: slice(block * rows // self.blocks, (block + 1) * rows // self.blocks)
            for name, rows in self.tables.items()
        }


WHOLE = Schedule(1, {})
"""Everything travels in every round."""


def schedule_of(federation: Federation) -> Schedule:
    """Return the schedule of a contract; `WHOLE` where it does not divide its tables."""
    tables = tables_in_blocks(federation)
    if not tables:
        return WHOLE
    names = {f"encoder.tables.{name}.weight": rows for name, rows in tables.items()}
    return Schedule(federation.federation.row_blocks, names)


def travelling(arrays: Mapping[str, NDArray[Any]], rows: Mapping[str, slice]) -> dict[str, NDArray[Any]]:
    """Return the arrays of which only `rows` are left, where any are named; views."""
    return {name: array[rows[name]] if name in rows else array for name, array in arrays.items()}


def shapes_in(shapes: Mapping[str, tuple[int, ...]], rows: Mapping[str, slice]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what `travelling` returns."""
    return {
        name: (rows[name].stop - rows[name].start, *shape[1:]) if name in rows else shape
        for name, shape in shapes.items()
    }
