"""Exact or statistical tests of one property each; the whole of them takes seconds.

A certificate takes a `Subject` and returns findings. A statistical one refutes an honest mechanism with a
probability of `findings.ERROR`.
"""

from collections.abc import Callable

from ..findings import Finding
from ..subject import Subject
from .charging import charging
from .claim import claim
from .conflict import conflict
from .counts import counts
from .coupling import coupling
from .divisor import divisor
from .heads import noised_state
from .merchants import merchants
from .noise import noise_law
from .nonfinite import nonfinite
from .own_model import own_model
from .sampler import sampler_law
from .sensitivity import sensitivity
from .serving import serving
from .source import source
from .statistics import statistics
from .telemetry import telemetry
from .whole_rounds import whole_rounds

Certificate = Callable[[Subject], tuple[Finding, ...]]

CERTIFICATES: dict[str, Certificate] = {
    "claim": claim,
    "sensitivity": sensitivity,
    "nonfinite": nonfinite,
    "divisor": divisor,
    "coupling": coupling,
    "heads": noised_state,
    "noise": noise_law,
    "conflict": conflict,
    "sampler": sampler_law,
    "round": whole_rounds,
    "source": source,
    "model": own_model,
    "telemetry": telemetry,
    "statistics": statistics,
    "counts": counts,
    "merchants": merchants,
    "charging": charging,
    "serving": serving,
}
"""Name -> certificate, the quick ones first."""
