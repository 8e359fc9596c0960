"""What the platform costs, measured by `fedbazaar-sim benchmark`."""

from collections.abc import Callable

from . import encoding, overhead
from .report import Result

BENCHMARKS: dict[str, Callable[[], list[Result]]] = {
    "overhead": overhead.run,
    "encoding": encoding.run,
}
"""Name -> the function that measures."""
