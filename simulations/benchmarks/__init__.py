"""What the platform costs, measured by `fedbazaar-sim benchmark`."""

from collections.abc import Callable

from . import aggregation, audit, deployment, encoding, engines, ledger, overhead, private, scale
from .report import Result

BENCHMARKS: dict[str, Callable[[], list[Result]]] = {
    "aggregation": aggregation.run,
    "overhead": overhead.run,
    "encoding": encoding.run,
    "deployment": deployment.run,
    "ledger": ledger.run,
    "audit": audit.run,
    "private": private.run,
    "engines": engines.run,
    "scale": scale.run,
}
"""Name -> the function that measures."""
