"""The contract under which mutants are hunted and the auditor itself is measured.

Its steps are sampled, so that broken samplers show; one clip spans a table, a linear map and a head, so that
broken clips do.
"""

from functools import lru_cache

from shared_model import schema
from shared_model.privacy.plan import plan_of

from .subject import Subject

DELTA = 1e-5


def reference(*, epsilon: float = 8.0, sampled: bool = True, seed: int = 0) -> Subject:
    """Return the honest mechanism under the reference contract.

    Args:
        epsilon: Of the contract.
        sampled: A tenth of the shoppers in each of 100 steps; otherwise everybody in each of 20.
        seed: Of the audit.
    """
    federation = _contract(epsilon, sampled)
    return Subject(federation=federation, plan=plan_of(federation, "any"), seed=seed)


@lru_cache
def _contract(epsilon: float, sampled: bool) -> schema.Federation:
    tier = {"shoppers": 500, "weight": 1.0} | ({"sampling_rate": 0.1} if sampled else {})
    return schema.parse_federation(
        {
            "federation": {
                "name": "reference",
                "rounds": 100 if sampled else 20,
                "local_steps": 1,
                "expected_batch": 256,
                "full_batch": not sampled,
            },
            "local": {"learning_rate": 0.5},
            "features": {"price": {"kind": "numeric"}},
            "tasks": {"late": {"kind": "binary"}, "days": {"kind": "regression"}},
            "bottom": {"architecture": "shared_bottom"},
            "privacy": {"epsilon": epsilon, "delta": DELTA},
            "tiers": {"any": tier},
        },
        file="the audit's reference contract",
    )
