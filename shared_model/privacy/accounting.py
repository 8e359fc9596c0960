"""What releases cost: epsilon at a given delta, never too little.

Where every unit takes part in everything (q = 1) the answer is exact (`gaussian`). Otherwise it is the
smallest of three upper bounds: Renyi moments, and the privacy loss distribution on a coarse and on a fine
grid, all three from dp-accounting and all for adding or removing one unit.

Which function for what:
    * `epsilon`: a plan that was fixed before its first release (Koskela et al. 2020,
      https://arxiv.org/abs/1906.03049; Doroshenko et al. 2022, https://arxiv.org/abs/2207.04380).
    * `renyi_epsilon`: also parameters that were chosen after looking at earlier releases, with `order` fixed
      beforehand (Feldman & Zrnic 2021, https://arxiv.org/abs/2008.11193).
    * `cross_check`: Opacus's own accountants on the same events, as independent evidence.

Measured (`tests/shared_model/privacy/test_accounting.py`): q = .01, sigma = 1, 1000 steps, delta = 1e-5 costs
1.828; Renyi moments say 2.101, and the Gaussian approximation of the composition 1.618, which is too little
and therefore refused here.
"""

import logging
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, reduce
from itertools import islice
from typing import Any

from shared_model.errors import PrivacyError

from . import gaussian
from .events import PrivacyEvent, composed

_COARSE, _FINE = 1e-3, 1e-4
_GRIDS = ((_FINE, 64.0, 0.3), (_COARSE, 200.0, 0.1))
"""Interval, and the largest epsilon and the least noise for which it takes a second and not a minute."""
_QUICK = 3
"""So many of `_bounds` take no longer than the coarse grid."""

_PRV_UP_TO = 200.0
"""Largest epsilon for which Opacus's PRV accountant is asked."""

Events = tuple[PrivacyEvent, ...]


def epsilon(events: Iterable[PrivacyEvent], delta: float) -> float:
    """Return the smallest epsilon that can be shown for all `events` together at `delta`.

    No events cost 0. Exact where all sampling rates are 1; elsewhere an upper bound, whose grids round
    every loss up.

    Raises:
        ValueError: `delta` is outside (0, 1).

    >>> round(epsilon([PrivacyEvent(sampling_rate=1.0, noise_multiplier=1.0)], 1e-5), 4)
    4.3772
    """
    return min(bound() for bound in _bounds(composed(events), _checked(delta)))


def within(events: Iterable[PrivacyEvent], delta: float, limit: float) -> bool:
    """Whether `epsilon(events, delta) <= limit`, asking the quick bounds first and often only those."""
    return any(bound() <= limit for bound in _bounds(composed(events), _checked(delta)))


def upper_epsilon(events: Iterable[PrivacyEvent], delta: float) -> float:
    """Return an upper bound on `epsilon(events, delta)` that takes some hundredths of a second."""
    quick = islice(_bounds(composed(events), _checked(delta)), _QUICK)
    return min(bound() for bound in quick)


def delta_of(events: Iterable[PrivacyEvent], epsilon: float) -> float:
    """Return the smallest delta that can be shown at `epsilon` (at least 0); a report's curve is made of it.

    Raises:
        ValueError: `epsilon` is negative.
    """
    if not epsilon >= 0:
        raise ValueError(f"Expected epsilon >= 0, got {epsilon}.")
    plan = composed(events)
    if not plan:
        return 0.0
    if everybody(plan):
        return gaussian.delta_at(gaussian_mu(plan), epsilon)
    interval = _interval(plan)
    if interval is None:
        return min(1.0, gaussian.delta_at(gaussian_mu(plan), epsilon))  # sampling only helps
    return min(1.0, float(_distribution(plan, interval).get_delta_for_epsilon(epsilon)))


def renyi_epsilon(events: Iterable[PrivacyEvent], delta: float, *, order: float | None = None) -> float:
    """Return the epsilon that Renyi moments show.

    Args:
        events: What was released; its parameters may depend on earlier releases if `order` does not.
        delta: Of the guarantee.
        order: The one order to use; None takes the best one, which holds for a fixed plan only.

    Raises:
        ValueError: `delta` is outside (0, 1).

    Source: Mironov et al. (2019), https://arxiv.org/abs/1908.10530; conversion of Canonne et al. (2020),
    proposition 12, https://arxiv.org/abs/2004.00010.
    """
    from dp_accounting.rdp import rdp_privacy_accountant as rdp

    plan = composed(events)
    if not plan:
        return 0.0
    orders = tuple(rdp.DEFAULT_RDP_ORDERS) if order is None else (order,)
    with _quiet():
        found, _ = rdp.compute_epsilon(orders, moments(plan, orders), _checked(delta))
    return float(found)


def moments(events: Iterable[PrivacyEvent], orders: Sequence[float]) -> list[float]:
    """Return the Renyi divergence of all `events` together, one for each of `orders`."""
    each = [
        [
            event.count * moment
            for moment in _moments(event.sampling_rate, event.noise_multiplier, tuple(orders))
        ]
        for event in composed(events)
    ]
    return [math.fsum(column) for column in zip(*each, strict=True)]


def cross_check(
    events: Iterable[PrivacyEvent], delta: float, accountants: Iterable[str] = ("opacus-rdp", "opacus-prv")
) -> Mapping[str, float]:
    """Return what Opacus's accountants say about the same events, by name.

    "opacus-prv" lies up to its own error bound of .01 above `epsilon`; "opacus-rdp" is a looser bound. Above
    `_PRV_UP_TO` the former is left out: its grid would take gigabytes to say that nothing is protected.

    Raises:
        ValueError: `delta` is outside (0, 1), or an accountant is unknown.
        PrivacyError: "gdp" was asked for.
    """
    plan, delta = composed(events), _checked(delta)
    gridless = bool(plan) and renyi_epsilon(plan, delta) > _PRV_UP_TO
    return {
        name: _opacus(name, plan, delta) for name in accountants if not (gridless and name == "opacus-prv")
    }


def everybody(plan: Iterable[PrivacyEvent]) -> bool:
    """Whether every unit takes part in every release, so that the plan is one Gaussian mechanism."""
    return all(event.sampling_rate == 1 for event in plan)


def gaussian_mu(plan: Iterable[PrivacyEvent]) -> float:
    """Return the mu of a plan as if everybody took part in it: sensitivity over noise, composed."""
    return math.sqrt(math.fsum(event.count / event.noise_multiplier**2 for event in plan))


def _opacus(name: str, plan: Events, delta: float) -> float:
    """Return one Opacus accountant's epsilon; importing Opacus takes seconds and happens here only."""
    if "gdp" in name:
        raise PrivacyError(
            f"Accountant {name!r} is refused: it approximates the composition by its Gaussian limit and "
            f"reports too little (1.618 where 1.828 is spent: q = .01, sigma = 1, 1000 steps, delta = 1e-5)."
        )
    from opacus import accountants

    table: dict[str, Callable[[], Any]] = {
        "opacus-rdp": accountants.RDPAccountant,
        "opacus-prv": accountants.PRVAccountant,
    }
    if name not in table:
        raise ValueError(f"Expected an accountant among {', '.join(table)}, got {name!r}.")
    accountant = table[name]()
    accountant.history = [(e.noise_multiplier, e.sampling_rate, e.count) for e in plan]
    with warnings.catch_warnings():  # about log(0) at q = 1, and about orders at the end of its list
        warnings.simplefilter("ignore")
        return float(accountant.get_epsilon(delta)) if plan else 0.0


def _bounds(plan: Events, delta: float) -> Iterator[Callable[[], float]]:
    """Yield functions that compute upper bounds, the quickest first; each is a proof by itself."""
    if not plan:
        yield lambda: 0.0
    elif everybody(plan):
        yield lambda: gaussian.epsilon_at(gaussian_mu(plan), delta)
    else:
        yield lambda: renyi_epsilon(plan, delta)
        yield lambda: gaussian.epsilon_at(
            gaussian_mu(plan), delta
        )  # as if everybody took part: sampling only helps
        interval = _interval(plan)
        if interval is not None:
            yield lambda: _grid_epsilon(plan, delta, _COARSE)
        if interval == _FINE:
            yield lambda: _grid_epsilon(plan, delta, _FINE)


def _interval(plan: Events) -> float | None:
    """Return the finest grid on which the plan's loss distribution is quick to compute; None: on none."""
    roughly, noise = renyi_epsilon(plan, 1e-6), min(event.noise_multiplier for event in plan)
    for interval, most, least in _GRIDS:
        if roughly <= most and noise >= least:
            return interval
    return None


@lru_cache(maxsize=4096)
def _grid_epsilon(plan: Events, delta: float, interval: float) -> float:
    return float(_distribution(plan, interval).get_epsilon_for_delta(delta))


def _distribution(plan: Events, interval: float) -> Any:
    """Return the privacy loss distribution of a plan on a grid of `interval`; what is rounded costs more."""
    whole = tuple(event for event in plan if event.sampling_rate == 1)
    sampled = [event for event in plan if event.sampling_rate < 1]
    parts = [_step(e.sampling_rate, e.noise_multiplier, interval).self_compose(e.count) for e in sampled]
    if whole:
        parts.append(_step(1.0, 1 / gaussian_mu(whole), interval))
    return reduce(lambda one, other: one.compose(other), parts)


@lru_cache(maxsize=4)
def _step(sampling_rate: float, noise_multiplier: float, interval: float) -> Any:
    from dp_accounting.pld import privacy_loss_distribution

    return privacy_loss_distribution.from_gaussian_mechanism(
        noise_multiplier,
        sampling_prob=sampling_rate,
        value_discretization_interval=interval,
        pessimistic_estimate=True,
    )


@lru_cache(maxsize=256)
def _moments(sampling_rate: float, noise_multiplier: float, orders: tuple[float, ...]) -> tuple[float, ...]:
    import dp_accounting
    from dp_accounting.rdp import rdp_privacy_accountant as rdp

    release = dp_accounting.PoissonSampledDpEvent(
        sampling_rate, dp_accounting.GaussianDpEvent(noise_multiplier)
    )
    with _quiet():
        # dp-accounting 0.6 composes moments but shows only epsilons; a test holds the two together.
        return tuple(float(moment) for moment in rdp.RdpAccountant(orders).compose(release)._rdp)


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop dp-accounting's log lines about orders that it leaves out; the others are enough."""
    logger = logging.getLogger("absl")

    def passes(record: logging.LogRecord) -> bool:
        return "converge" not in str(record.msg)

    logger.addFilter(passes)
    try:
        yield
    finally:
        logger.removeFilter(passes)


def _checked(delta: float) -> float:
    if not 0 < delta < 1:
        raise ValueError(f"Expected delta in (0, 1), got {delta}.")
    return delta
