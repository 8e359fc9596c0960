"""What the platform costs, measured by `fedbazaar-sim benchmark`."""

from collections.abc import Callable

from . import audit, deployment, encoding, ledger, overhead
from .report import Result

BENCHMARKS: dict[str, Callable[[], list[Result]]] = {
    "overhead": overhead.run,
    "encoding": encoding.run,
    "deployment": deployment.run,
    "ledger": ledger.run,
    "audit": audit.run,
}
"""Name -> the function that measures."""
