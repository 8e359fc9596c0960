"""What a ledger may hold at most, and whether one more charge fits.

Two ways of counting, because a plan and a choice are two things:
    * What was *committed to* before its first release costs `accounting.epsilon`.
    * Where parameters were *chosen* after earlier releases had been seen, a filter counts: exact where every
      sampling rate is 1 (Smith & Thakurta 2022), Renyi moments elsewhere (Feldman & Zrnic 2021, theorem 4.3),
      at one order that the first charge fixes.
When the second begins, everything is counted again in the second way, which says more. Whether it begins at
all may depend on what was released; in the worst case a limit that changed over holds with twice its delta.

An epsilon belongs to a unit. What was released of single records says next to nothing about a shopper who has
many, and the other way round a record may move all that its shopper contributes; so charges of two units are
never counted together, and what would need it is refused.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from .accounting import Events, everybody, moments, renyi_epsilon, upper_epsilon, within
from .accounting import epsilon as plan_epsilon
from .charges import Charge
from .events import PrivacyEvent, composed

MOST = 1_000_000
"""`repetitions` counts no further."""

_ORDERS = tuple(range(2, 65))
"""Whole ones: their moments are finite sums."""


@dataclass(frozen=True)
class Limit:
    """At most so much may be spent.

    Attributes:
        epsilon: Of everything that counts, together ...
        delta: ... at this delta.
        fingerprint: Only charges under this contract count; None: everything in the ledger does.
    """

    epsilon: float
    delta: float
    fingerprint: str | None = None

    def counts(self, charge: Charge) -> bool:
        """Whether a charge is one of those that are limited."""
        return self.fingerprint in (None, charge.fingerprint)

    def __str__(self) -> str:
        scope = "of everything in this ledger" if self.fingerprint is None else "of this contract"
        return f"the limit {scope}, epsilon {self.epsilon:g} at delta {self.delta:g}"


def committed(charges: Iterable[Charge]) -> bool:
    """Whether the charges are parts of one plan, made before the first of them.

    That is: one contract, in which every kind of release keeps its parameters, and one training. When a
    training is begun again nothing is chosen as long as all its releases are of one kind.
    """
    charges = tuple(charges)
    contracts = {charge.fingerprint for charge in charges}
    trainings = {charge.lineage for charge in charges}
    kinds = {(charge.what, charge.events) for charge in charges}
    one_each = len({what for what, _ in kinds}) == len(kinds)
    return len(contracts) <= 1 and one_each and (len(trainings) <= 1 or len(kinds) <= 1)


def units(charges: Iterable[Charge], limit: Limit) -> tuple[str, ...]:
    """Return whom the charges protect that a limit counts; an epsilon is of one unit, never of two."""
    return tuple(sorted({charge.unit for charge in charges if limit.counts(charge)}))


def spent(charges: Sequence[Charge], limit: Limit) -> float:
    """Return the epsilon that has been spent of a limit; infinite where it counts releases of two units."""
    counted = [charge for charge in charges if limit.counts(charge)]
    if len(units(counted, limit)) > 1:
        return math.inf
    events = _events(counted)
    order = _order(counted, limit)
    return (
        plan_epsilon(events, limit.delta)
        if order is None
        else renyi_epsilon(events, limit.delta, order=order)
    )


def fits(charges: Sequence[Charge], charge: Charge, limit: Limit, *, times: int = 1) -> bool:
    """Whether `charge` can be added so many times to `charges`: `spent` would be at most the limit."""
    if not limit.counts(charge):
        return True
    counted = [*(c for c in charges if limit.counts(c)), charge]
    if len(units(counted, limit)) > 1:
        return False
    events = composed([*_events(counted), *_repeated(charge.events, times - 1)])
    order = _order(counted, limit)
    if order is None:
        return _plan_fits(events, composed(charge.events), limit)
    return renyi_epsilon(events, limit.delta, order=order) <= limit.epsilon


def repetitions(charges: Sequence[Charge], charge: Charge, limits: Iterable[Limit]) -> int:
    """Return how many more times `charge` fits all limits, counted up to `MOST`."""
    return min((_repetitions(charges, charge, limit) for limit in limits), default=MOST)


def _repetitions(charges: Sequence[Charge], charge: Charge, limit: Limit) -> int:
    """Return the last number of repetitions that fits, found by doubling and then halving the interval."""
    fitting, failing = 0, 1
    while failing <= MOST and fits(charges, charge, limit, times=failing):
        fitting, failing = failing, 2 * failing
    if failing > MOST:
        return MOST
    while failing - fitting > 1:
        middle = (fitting + failing) // 2
        if fits(charges, charge, limit, times=middle):
            fitting = middle
        else:
            failing = middle
    return fitting


_Parameters = tuple[tuple[float, float], ...]

_longest: dict[tuple[float, float, _Parameters], tuple[Events, int]] = {}
"""By limit and parameters: a plan that fits, and by how many charges it was longer than what was asked."""


def _plan_fits(plan: Events, step: Events, limit: Limit) -> bool:
    """Whether a plan fits, quick when asked again and again with one more `step`.

    Instead of the plan a longer one is computed, twice as far ahead every time. While that one fits, every
    plan up to it does: what has no more of any event costs no more.
    """
    if everybody(plan):
        return within(plan, limit.delta, limit.epsilon)  # a formula, quicker than any memory
    key = (limit.epsilon, limit.delta, _parameters(plan))
    known, ahead = _longest.get(key, ((), 0))
    if known and all(few.count <= many.count for few, many in zip(plan, known, strict=True)):
        return True
    ahead = max(1, 2 * ahead)
    longer = composed([*plan, *_repeated(step, ahead)])
    if upper_epsilon(longer, limit.delta) <= limit.epsilon:
        _longest[key] = longer, ahead
        return True
    if within(plan, limit.delta, limit.epsilon):
        _longest[key] = plan, 0
        return True
    return False


def _parameters(plan: Events) -> _Parameters:
    return tuple((event.sampling_rate, event.noise_multiplier) for event in plan)


def _order(charges: Sequence[Charge], limit: Limit) -> float | None:
    """Return the order of the filter that counts these charges; None where they cost what their plan costs.

    It is the order at which the first charge could be repeated most often: known before anything is released.
    """
    if committed(charges) or everybody(_events(charges)):
        return None
    first = charges[0].events
    room = [_room(order, limit) for order in _ORDERS]
    often = [most / one for most, one in zip(room, moments(first, _ORDERS), strict=True)]
    return _ORDERS[max(range(len(_ORDERS)), key=often.__getitem__)]


def _room(order: float, limit: Limit) -> float:
    """Return the Renyi divergence at `order` from which `renyi_epsilon` concludes the limit."""
    return limit.epsilon - math.log1p(-1 / order) + math.log(limit.delta * order) / (order - 1)


def _events(charges: Iterable[Charge]) -> Events:
    return composed(event for charge in charges for event in charge.events)


def _repeated(events: Iterable[PrivacyEvent], times: int) -> Events:
    return tuple(replace(event, count=times * event.count) for event in events) if times else ()
