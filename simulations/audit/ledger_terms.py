"""What a ledger of a run may hold: of the shoppers of one merchant, or of the merchants themselves."""

from dataclasses import dataclass

from client.config import MerchantConfig
from server.private_aggregation import LEDGER as MERCHANTS_LEDGER
from server.private_aggregation import noise_multiplier
from shared_model import schema
from shared_model.privacy.events import PrivacyEvent
from shared_model.privacy.plan import plan_of

__all__ = ["MERCHANTS_LEDGER", "Terms", "of_merchants", "of_shoppers"]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The contract's terms for one ledger.

    Attributes:
        who: Whose releases it holds, in words.
        epsilon: Of the whole plan ...
        delta: ... at this delta.
        unit: Whom it protects.
        planned: Kind of release and its events, of everything that the contract plans.
        cap: The merchant's own limit over all contracts, where it has one.
    """

    who: str
    epsilon: float
    delta: float
    unit: str
    planned: frozenset[tuple[str, tuple[PrivacyEvent, ...]]]
    cap: float | None = None


def of_shoppers(federation: schema.Federation, policy: schema.Privacy, owner: MerchantConfig | None) -> Terms:
    """Return the terms of a merchant's ledger; where its file is not there, those of any tier."""
    tiers = [owner.tier] if owner else list(federation.tiers)
    plans = [plan_of(federation, tier) for tier in tiers]
    planned = {("round", plan.round_events()) for plan in plans}
    planned |= {("statistics", plan.statistics_events()) for plan in plans}
    planned |= {("counts", plan.counts_events()) for plan in plans}
    return Terms(
        who=f"a merchant of tier {' or '.join(tiers)}",
        epsilon=policy.epsilon,
        delta=policy.delta,
        unit=policy.unit,
        planned=frozenset(planned),
        cap=owner.privacy.max_epsilon if owner else None,
    )


def of_merchants(federation: schema.Federation, layer: schema.MerchantPrivacy) -> Terms:
    """Return the terms of the coordinator's ledger, which protects merchants."""
    multiplier = noise_multiplier(layer, federation.federation.rounds)
    events = (PrivacyEvent(sampling_rate=1.0, noise_multiplier=multiplier),)
    return Terms(
        who="the coordinator, about merchants",
        epsilon=layer.epsilon,
        delta=layer.delta,
        unit="merchant",
        planned=frozenset({("round", events)}),
    )
