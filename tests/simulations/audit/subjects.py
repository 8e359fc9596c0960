"""What the auditor's own tests audit: contracts whose plans are quick to work out."""

from dataclasses import replace
from typing import Any

from shared_model.privacy.plan import plan_of
from shared_model.schema import parse_federation
from simulations.audit.mechanism import Mechanism
from simulations.audit.subject import Subject

ITEMS = {"late": {"kind": "binary"}, "units": {"kind": "regression", "library": "units"}}


def full_batches(**changes: Any) -> Subject:
    """A wide contract, everybody in each of 20 steps; two clip groups."""
    tables = {
        "federation": {"name": "town", "rounds": 20, "expected_batch": 64, "full_batch": True},
        "features": {"price": {"kind": "numeric"}},
        "tasks": {"late": {"kind": "binary"}, "days": {"kind": "regression"}},
        "bottom": {"architecture": "wide"},
        "privacy": {"epsilon": 8.0, "delta": 1e-5},
        "tiers": {"any": {"shoppers": 50, "weight": 1.0}},
    }
    if "units" in changes.get("tasks", {}):
        tables["privacy"] |= {"tasks": {"units": {"labels": "one_product"}}}
    federation = parse_federation({**tables, **changes})
    return Subject(federation=federation, plan=plan_of(federation, "any"))


def sampled() -> Subject:
    """The same, but a fifth of the shoppers in a step; its noise is not calibrated, which takes seconds."""
    subject = full_batches()
    return replace(subject, plan=replace(subject.plan, sampling_rate=0.2))


def broken(subject: Subject, **parts: Any) -> Subject:
    """The same with other parts of the mechanism."""
    return replace(subject, mechanism=replace(Mechanism(), **parts))
