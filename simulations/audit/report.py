"""What an audit found, as data: the same data make the signed JSON, the page and what the terminal shows."""

import hashlib
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from shared_model.privacy.events import PrivacyEvent
from shared_model.privacy.plan import Plan

from .bounds import Bound
from .estimators import curve_of
from .findings import Finding, Verdict, refuted

VERSION = 1

_PACKAGES = ("torch", "numpy", "scipy", "dp-accounting", "opacus")
_CODE = ("client/private", "shared_model/privacy", "simulations/audit")
_ROOT = Path(__file__).resolve().parents[2]
_TOLD = (1e-10, 0.5)
"""Deltas between which the curve of a claim is drawn."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Epsilon against delta, both of one length."""

    epsilon: tuple[float, ...]
    delta: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One subject of an audit: a tier of a contract, or a ledger.

    Attributes:
        title: What it is.
        claim: The public constants that were claimed, by name.
        epsilon: Claimed.
        delta: Of the claim.
        curve: What was claimed, or spent, at every delta.
        findings: Of certificates.
        bounds: Of canaries.
    """

    title: str
    claim: Mapping[str, Any]
    epsilon: float
    delta: float
    curve: Curve | None
    findings: tuple[Finding, ...]
    bounds: tuple[Bound, ...] = ()

    @property
    def refuted(self) -> tuple[str, ...]:
        """Names of what speaks against the claim."""
        against = tuple(bound.name for bound in self.bounds if bound.refuted)
        return (*(finding.name for finding in refuted(self.findings)), *against)

    @property
    def verdict(self) -> Verdict:
        """Whether anything does."""
        return "refuted" if self.refuted else "holds"


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole audit.

    Attributes:
        kind: Of a contract's mechanism, or of a finished run.
        name: Of the federation.
        fingerprint: Of the contract.
        command: That repeats the audit, bit for bit but for the signature.
        seed: Of everything that the audit drew; noise of merchants is never seeded.
        sections: One per subject.
        questions: Question and answer, in the order of NIST SP 800-226.
        mutants: Broken mechanism -> what caught it; empty where they were not run.
        environment: Versions, and digests of the audited code.
    """

    kind: Literal["certify", "run"]
    name: str
    fingerprint: str
    command: str
    seed: int
    sections: tuple[Section, ...]
    questions: tuple[tuple[str, str], ...]
    mutants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def survivors(self) -> tuple[str, ...]:
        """Mutants that nothing caught: the auditor is blind to them."""
        return tuple(name for name, caught in self.mutants.items() if not caught)

    @property
    def verdict(self) -> Verdict:
        """Whether the claim stands."""
        return "refuted" if any(s.refuted for s in self.sections) or self.survivors else "holds"

    def to_mapping(self) -> dict[str, Any]:
        """Return the report in JSON's types, with every verdict written out."""
        sections = [_section(section) for section in self.sections]
        return {"version": VERSION, "verdict": self.verdict, **asdict(self), "sections": sections}


def curve(events: Sequence[PrivacyEvent]) -> Curve | None:
    """Return what `events` cost at every delta worth telling; None where there are none."""
    if not events:
        return None
    whole = curve_of(events)
    told = (whole.deltas >= _TOLD[0]) & (whole.deltas <= _TOLD[1])
    return Curve(epsilon=tuple(whole.epsilons[told].tolist()), delta=tuple(whole.deltas[told].tolist()))


def constants(plan: Plan) -> dict[str, Any]:
    """Return the public constants of a plan."""
    return {**asdict(plan), "noise_multiplier": plan.noise_multiplier}


def environment() -> dict[str, str]:
    """Return versions and the SHA-256 of every file that the audit speaks of."""
    files = [path for folder in _CODE for path in sorted((_ROOT / folder).rglob("*.py"))]
    digests = {str(p.relative_to(_ROOT)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    return {"python": platform.python_version(), **{p: version(p) for p in _PACKAGES}, **digests}


def _section(section: Section) -> dict[str, Any]:
    findings = [
        {**asdict(finding), "value": _plain(finding.value), "verdict": finding.verdict}
        for finding in section.findings
    ]
    bounds = [{**asdict(bound), "refuted": bound.refuted} for bound in section.bounds]
    return {**asdict(section), "verdict": section.verdict, "findings": findings, "bounds": bounds}


def _plain(value: float) -> float | str:
    """JSON knows no infinity."""
    return value if math.isfinite(value) else str(value)
