"""Reports for tests: two findings and a bound, with or without something to refute."""

from simulations.audit.bounds import Bound
from simulations.audit.findings import Finding
from simulations.audit.report import Curve, Report, Section


def report(*, scale: float = 1.0, epsilon: float = 7.5, survivor: bool = False, name: str = "town") -> Report:
    findings = (
        Finding(name="noise.scale", value=scale, low=0.99, high=1.01, p_value=0.5, says="Noise."),
        Finding(name="sensitivity.step", value=1.0000001, high=1.000001, says="One shopper's part."),
    )
    bound = Bound(name="step", epsilon=epsilon, claimed=8.0, steps=20, confidence=0.98, says="Seen.")
    section = Section(
        title="Merchants of tier any",
        claim={"tier": "any", "rounds": 20, "groups": ({"name": "late", "clipping_norm": 1.0},)},
        epsilon=8.0,
        delta=1e-5,
        curve=Curve(epsilon=(1.0, 8.0), delta=(1e-2, 1e-5)),
        findings=findings,
        bounds=(bound,),
    )
    return Report(
        kind="certify",
        name=name,
        fingerprint="0" * 64,
        command="fedbazaar-audit certify federation.toml",
        seed=0,
        sections=(section,),
        questions=(("Trust model", "Local."),),
        mutants={"no clip": () if survivor else ("sensitivity.step",)},
        environment={"torch": "2", "client/private/noise.py": "ab"},
    )
