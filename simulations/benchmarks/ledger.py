"""What a privacy ledger costs a merchant, and whether it ever forgets.

A charge is timed as the agent makes it: the ledger is opened, its chain checked, both limits asked (the
contract's and the merchant's own cap), the line flushed to the disk, and the ledger closed. Not inside:
importing the accountants, once in the life of an agent.
"""

import random
import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from statistics import mean
from time import perf_counter

from shared_model.errors import BudgetExhausted
from shared_model.privacy.accounting import epsilon
from shared_model.privacy.calibration import calibrated
from shared_model.privacy.events import PrivacyEvent
from shared_model.privacy.ledger import Charge, Ledger, Limit

from .power_cuts import cut_power
from .report import Result

_KILLS = 200
_EPSILON, _DELTA = 8.0, 1e-6
_LIMITS = (Limit(_EPSILON, _DELTA, "benchmark"), Limit(_EPSILON, _DELTA))


def run() -> list[Result]:
    """Return the charges lost over 200 power cuts, and the milliseconds a charge takes in the slower plan."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = cut_power(Path(folder).resolve() / "ledger.jsonl", kills=_KILLS, rng=random.Random(0))
    took = max((charge_milliseconds(rate, rounds=100) for rate in (1.0, 0.02)), key=mean)
    return [
        Result(
            id="ledger.lost",
            value=outcome.lost,
            unit=f"of {outcome.acknowledged} acknowledged charges, {outcome.kills} kills",
            target=0,
        ),
        Result(
            id="ledger.charge_ms",
            value=mean(took),
            unit=f"ms per charge, mean of {len(took)}; slowest {max(took):.0f} ms",
            target=100.0,
        ),
    ]


def charge_milliseconds(sampling_rate: float, *, rounds: int) -> Sequence[float]:
    """Return how long each charge took, until the budget of a plan with so many rounds was spent."""
    steps = 1 if sampling_rate == 1 else 20
    step = (PrivacyEvent(sampling_rate=sampling_rate, noise_multiplier=1.0, count=steps * rounds),)
    noise = calibrated(step, epsilon=_EPSILON, delta=_DELTA)
    event = PrivacyEvent(sampling_rate=sampling_rate, noise_multiplier=noise, count=steps)
    epsilon([PrivacyEvent(sampling_rate=0.5, noise_multiplier=5.0)], _DELTA)  # imports
    took: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in count(1):
            begin = perf_counter()
            try:
                with Ledger(Path(folder) / "ledger.jsonl") as ledger:
                    ledger.charge(_charge(number, event), _LIMITS)
            except BudgetExhausted:
                return took
            took.append(1000 * (perf_counter() - begin))
    raise AssertionError


def _charge(number: int, event: PrivacyEvent) -> Charge:
    return Charge(
        fingerprint="benchmark",
        lineage="benchmark",
        round=number,
        what="round",
        digest=f"{number:064x}",
        unit="shopper",
        events=(event,),
    )
