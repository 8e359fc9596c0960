"""What NIST SP 800-226 asks of whoever claims differential privacy, in its order, and what can be answered.

Source: NIST SP 800-226 (2025), "Guidelines for Evaluating Differential Privacy Guarantees",
https://doi.org/10.6028/NIST.SP.800-226
"""

from collections.abc import Sequence

from shared_model import schema

from .certificates.whole_rounds import FEWEST_STEPS, MOST_STEPS
from .report import Section

Answers = tuple[tuple[str, str], ...]


def about_mechanism(federation: schema.Federation, sections: Sequence[Section]) -> Answers:
    """Return questions and answers about the mechanism that a contract would run."""
    policy = federation.privacy
    assert policy is not None  # for the type checker: there is a plan for every section
    return (
        ("Epsilon, delta and the unit", _claimed(policy, sections)),
        ("Neighbouring data", _neighbours(policy)),
        ("Trust model", _trust(policy)),
        ("Mechanism, and whether it is correct", _mechanism(policy, sections)),
        ("Utility and bias", _UTILITY),
        ("Side channels", _SIDE_CHANNELS),
        ("Sensitivity", _sensitivity(sections)),
        ("Random numbers", _RANDOM),
        ("Budget and what happens when it is spent", _BUDGET),
        ("Exposure while data are collected", _COLLECTION),
        ("Security and access", _SECURITY),
    )


def about_run(merchants: int, charges: int, simulated: bool) -> Answers:
    """Return questions and answers about a finished run, whose evidence is its ledgers."""
    noise = (
        "The noise of a simulation comes from named generators and protects nobody; its ledgers say so."
        if simulated
        else "A ledger cannot show where noise came from; `fedbazaar-audit certify` examines the code."
    )
    return (
        (
            "Epsilon, delta and the unit",
            f"Recomputed from {charges} charges in {merchants} ledgers; sections say what was spent.",
        ),
        ("Neighbouring data", "Adding or removing one unit, as each charge names it, with all its rows."),
        ("Trust model", "Each merchant adds its own noise; a ledger is its own record of what it released."),
        (
            "Mechanism, and whether it is correct",
            "Not visible in a ledger: certify the contract with `fedbazaar-audit certify`.",
        ),
        ("Utility and bias", _UTILITY),
        ("Side channels", _SIDE_CHANNELS),
        ("Sensitivity", "Not visible in a ledger: certify the contract."),
        ("Random numbers", noise),
        (
            "Budget and what happens when it is spent",
            "Epsilon is recomputed from the events by accountants that share no code, and held against the "
            "contract's budget. A chain of hashes shows an edit; an old copy in the place of a newer ledger "
            "shows only where the coordinator's last head is known.",
        ),
        ("Exposure while data are collected", _COLLECTION),
        ("Security and access", _SECURITY),
    )


def _claimed(policy: schema.Privacy, sections: Sequence[Section]) -> str:
    unit = _UNITS[policy.unit]
    tiers = ", ".join(section.title.removeprefix("Merchants of tier ") for section in sections)
    return (
        f"Epsilon {policy.epsilon:g} at delta {policy.delta:g} over all trainings of the contract, per "
        f"{unit}, against everybody who sees what leaves a merchant. Audited for tier {tiers}. A shopper of "
        "several merchants has this guarantee at each of them; the losses add up."
    )


def _neighbours(policy: schema.Privacy) -> str:
    return (
        f"Unbounded: adding or removing one {_UNITS[policy.unit]} with all its rows and everything that is "
        "computed from them. How many there are is hidden as well, beyond the declared tier."
    )


def _trust(policy: schema.Privacy) -> str:
    second = (
        " A second layer hides a whole merchant from everybody but the coordinator, who adds it."
        if policy.merchants
        else ""
    )
    return (
        "Local to the merchant: it clips and adds noise before anything leaves, so neither the coordinator "
        f"nor other merchants nor the transport are trusted. The merchant's own machine is.{second}"
    )


def _mechanism(policy: schema.Privacy, sections: Sequence[Section]) -> str:
    plan = sections[0].claim
    sampled = "a Poisson sample of" if plan["sampling_rate"] < 1 else "all"
    seen = [f"{bound.share:.2f}" for section in sections for bound in section.bounds[:1]]
    proved = f" The step audit saw at least {', '.join(seen)} of what is claimed." if seen else ""
    refuted = [name for section in sections for name in section.refuted]
    if refuted:
        proved = f" Refuted by {', '.join(refuted)}."
    return (
        f"{plan['rounds']} rounds of {plan['steps']} Gaussian sums over {sampled} the units, each clipped "
        f"per unit; composed by privacy loss distributions. The certificates below test each part.{proved} "
        f"{_reach(policy, plan['steps'])}"
    )


def _reach(policy: schema.Privacy, steps: int) -> str:
    """Say what the canaries and the certificate of whole rounds did not look at."""
    looked = min(max(steps, FEWEST_STEPS), MOST_STEPS)
    longer = "" if looked == steps else f", not the contract's {steps}"
    slow = (
        " This contract clips by Opacus's own hooks, with which that certificate takes much longer."
        if policy.engine == "hooks"
        else ""
    )
    return (
        "Canaries are watched in single steps, each released by itself as with K = 1; whole rounds were "
        f"looked at with {looked} steps{longer}.{slow}"
    )


def _sensitivity(sections: Sequence[Section]) -> str:
    worst = [f.value for s in sections for f in s.findings if f.name == "sensitivity.step"]
    return (
        "One unit's gradient over all trained parameters of a clip group is shrunk to the clipping norm; "
        "rows that belong to items count twice. With hostile rows a unit made up at most "
        f"{max(worst):.7f} of what is claimed."
        if worst
        else "Not measured."
    )


_UNITS = {"shopper": "shopper at one merchant", "record": "record at one merchant"}

_UTILITY = (
    "Not part of this audit. Clipping shrinks the rare and the extreme most, and noise weighs most on small "
    "merchants and rare labels; `fedbazaar-sim frontier` measures what is left."
)
_SIDE_CHANNELS = (
    "Floating point: releases are rounded to a public grid after the noise, and the tail of the noise "
    "reaches nine standard deviations; the rounding of the sum itself is not proved away. Time: how long a "
    "round takes depends on how many rows a merchant has; `answer_seconds` of a tier holds answers back to a "
    "multiple of a public time, and without it that is not hidden."
)
_RANDOM = (
    "Noise and coins of a real merchant come from ChaCha20 under a key of the operating system and cannot be "
    "seeded; `source` examines those of a shop that was opened as in production. All other checks draw from "
    "named generators under the seed above, so that they can be repeated."
)
_BUDGET = (
    "Every release is charged to an append-only, hash-chained ledger that is on the disk before training "
    "begins; a round that would exceed the contract's budget or the merchant's own cap is refused."
)
_COLLECTION = (
    "The merchant's own rows never leave it and are not needed here: all canaries and hostile rows are made "
    "up."
)
_SECURITY = (
    "Instructions are signed by the coordinator and checked by the merchant's agent, which alone holds data "
    "and ledger (docs/deploy.md). Not part of this audit."
)
