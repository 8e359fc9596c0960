"""Levels of privacy: one contract under several budgets, and without any."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from shared_model import files
from shared_model.errors import ConfigError

NO_PRIVACY = "no privacy"

Tables = Mapping[str, Any]


def levels(epsilons: Sequence[float], contract: Path) -> dict[str, float | None]:
    """Return name -> epsilon of each level, the largest first, then None for no privacy.

    Args:
        epsilons: To try.
        contract: Is named in the error.

    Raises:
        ConfigError: An epsilon is not positive.

    >>> levels([1, 8, 8], Path("federation.toml"))
    {'epsilon 8': 8, 'epsilon 1': 1, 'no privacy': None}
    """
    for epsilon in epsilons:
        if not 0 < epsilon < math.inf:
            raise ConfigError(contract, "privacy.epsilon", epsilon, "numbers above 0")
    return {f"epsilon {e:g}": e for e in sorted(set(epsilons), reverse=True)} | {NO_PRIVACY: None}


def written(tables: Tables, epsilon: float | None, out: Path) -> Path:
    """Write the contract of one level into its folder; return its path.

    Args:
        tables: Of the contract, with a `[privacy]` table unless `epsilon` is None.
        epsilon: Of the level; None for no privacy.
        out: The level's folder.
    """
    changed = {key: value for key, value in tables.items() if key != "privacy"}
    if epsilon is not None:
        changed["privacy"] = {**tables["privacy"], "epsilon": epsilon}
    path = out / "asked.federation.toml"
    files.write(path, tomli_w.dumps(changed).encode(), durable=False)
    return path
