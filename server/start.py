"""What a round starts from: the shared arrays in the type and the bytes in which they travel.

They are made once for all that a round does with them: they are sent, named by their digest, and every reply
is counted from them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flwr.app import ArrayRecord
from numpy.typing import NDArray

from shared_model import npy, precision, protocol
from shared_model.precision import Precision
from shared_model.protocol import SharedArrays
from shared_model.row_blocks import travelling

from . import wire


@dataclass(frozen=True, kw_only=True)
class Start:
    """The start of a round.

    Attributes:
        arrays: Rounded to the type that travels; read-only views of `written`.
        written: The same in bytes.
        digest: Of `arrays` (`protocol.digest`).
    """

    arrays: SharedArrays
    written: Mapping[str, bytes]
    digest: str

    @property
    def record(self) -> ArrayRecord:
        """What is sent: a record of its own for each caller, of the same bytes."""
        return wire.record(self.arrays, self.written)

    def is_in(self, record: ArrayRecord) -> bool:
        """Return whether `record` holds these arrays and no others."""
        return {name: array.data for name, array in record.items()} == self.written


def start_of(
    iterate: Mapping[str, NDArray[Any]],
    rows: Mapping[str, slice],
    agreed: Precision,
    done: Callable[[str], None] = lambda name: None,
) -> Start:
    """Return the start of a round.

    Args:
        iterate: The coordinator's own arrays.
        rows: Array -> the rows that travel, where not all do.
        agreed: Precision of the contract.
        done: Is told of each array once nobody here looks at it any more, for the memory.
    """
    written = {}
    for name in list(iterate):
        travels = travelling({name: iterate[name]}, rows)
        written[name] = npy.write(precision.rounded(travels, agreed)[name])
        del travels
        done(name)
    arrays = {name: npy.read(name, data) for name, data in written.items()}
    return Start(arrays=arrays, written=written, digest=protocol.digest(arrays))
