"""Certify the mechanism that a contract would run: every certificate and every bound."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from shared_model import schema
from shared_model.errors import ConfigError
from shared_model.privacy.plan import Plan, plan_of

from .bounds import STEP_CONFIDENCE, bounds, watched
from .certificates import CERTIFICATES
from .estimators import separation
from .findings import Finding
from .mutants import MUTANTS
from .questions import about_mechanism
from .reference import reference
from .report import Report, Section, constants, curve, environment
from .subject import Subject

Progress = Callable[[str], None]
"""Called with the name of what begins."""


def certify(
    federation: schema.Federation,
    tiers: list[str],
    *,
    seed: int,
    command: str,
    with_mutants: bool,
    progress: Progress,
) -> Report:
    """Return the audit of a contract.

    Args:
        federation: The contract.
        tiers: Which of its tiers.
        seed: Of all that the audit draws.
        command: That repeats it.
        with_mutants: Show that the same certificates catch every broken mechanism.
        progress: Told of every step.

    Raises:
        ConfigError: The contract has no `[privacy]` table or no such tier.
    """
    sections = tuple(
        section(Subject(federation=federation, plan=plan, seed=seed), progress)
        for plan in _plans(federation, tiers)
    )
    return Report(
        kind="certify",
        name=federation.federation.name,
        fingerprint=federation.fingerprint,
        command=command,
        seed=seed,
        sections=sections,
        questions=about_mechanism(federation, sections),
        mutants=hunted(seed, progress) if with_mutants else {},
        environment=environment(),
    )


def releasing(federation: schema.Federation) -> list[str]:
    """Return the tiers whose merchants train; the others release nothing that could be audited.

    Raises:
        ConfigError: There are none.
    """
    found = [name for name, tier in federation.tiers.items() if tier.role == "train"]
    if not found:
        raise ConfigError("federation.toml", "tiers", None, "a tier whose merchants train")
    return found


def _plans(federation: schema.Federation, tiers: list[str]) -> list[Plan]:
    """Return the plans of tiers; those that differ in nothing but the name are one."""
    names: dict[Plan, list[str]] = {}
    for tier in tiers:
        names.setdefault(replace(plan_of(federation, tier), tier=""), []).append(tier)
    return [replace(plan, tier=", ".join(same)) for plan, same in names.items()]


def section(subject: Subject, progress: Progress) -> Section:
    """Return what was found about the merchants of one tier, or of several that have one plan."""
    tier = subject.plan.tier
    findings: list[Finding] = []
    for name, certificate in CERTIFICATES.items():
        progress(f"{tier}: {name}")
        findings.extend(certificate(subject))
    progress(f"{tier}: canaries")
    return Section(
        title=f"Merchants of tier {tier}",
        claim=constants(subject.plan),
        epsilon=subject.plan.epsilon,
        delta=subject.plan.delta,
        curve=curve(subject.plan.events()),
        findings=tuple(findings),
        bounds=tuple(bounds(subject)),
    )


def hunted(seed: int, progress: Progress) -> dict[str, tuple[str, ...]]:
    """Return for every mutant what refutes it, under the reference contract."""
    honest = reference(seed=seed)
    found = {}
    for name, mutant in MUTANTS.items():
        progress(f"mutant: {name}")
        found[name] = tuple(against(replace(honest, mechanism=mutant())))
    return found


def against(subject: Subject) -> Iterator[str]:
    """Yield the name of everything that speaks against a mechanism: certificates, then the step audit."""
    for name, certificate in CERTIFICATES.items():
        if name != "claim":  # it looks at the plan, not at what runs
            yield from (finding.name for finding in certificate(subject) if finding.verdict == "refuted")
    seen = watched(subject)
    found = separation(seen.scores, seen.entered, confidence=STEP_CONFIDENCE)
    if found.ratio_low * subject.plan.noise_multiplier > 1:
        yield f"step audit ({found.ratio * subject.plan.noise_multiplier:.3g} times the claim)"
