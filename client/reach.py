"""How a ClientApp finds its merchant: in this process, or (with the agent) behind a socket.

This module imports neither torch nor polars; the merchant behind the door does, when it is opened.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Protocol

from shared_model.errors import ConfigError
from shared_model.protocol import Instruction, SharedArrays

NodeConfig = Mapping[str, str | int | float | bool | bytes]


class Description(Protocol):
    """Public facts about a merchant (`client.merchant.Description`)."""

    @property
    def name(self) -> str:
        """The merchant's name."""

    @property
    def tier(self) -> str:
        """The size class that it declares."""

    @property
    def tasks(self) -> frozenset[str]:
        """Common tasks whose shared prior it trains."""


class ReachableMerchant(Protocol):
    """What a ClientApp may ask of a merchant, wherever it lives."""

    def describe(self) -> Description:
        """Return its public facts."""

    def train(self, instruction: Instruction, arrays: SharedArrays) -> SharedArrays:
        """Train one round and return the new shared parameters."""

    def adopt(self, instruction: Instruction, arrays: SharedArrays) -> object:
        """Take over released shared parameters; what it returns stays at the merchant."""


def merchant_for(node: NodeConfig) -> ReachableMerchant:
    """Return the merchant that a node's configuration names.

    Args:
        node: `merchant` and `contract`, paths of the two files; `seed` makes draws reproducible.

    Raises:
        ConfigError: A key is missing or of another type, or one of the files is not acceptable.
        DataError: The shop's data cannot be used.
    """
    for key in ("merchant", "contract"):
        if not isinstance(node.get(key), str):
            raise ConfigError("node configuration", key, node.get(key), "the path of a file")
    seed = node.get("seed")
    if seed is not None and type(seed) is not int:
        raise ConfigError("node configuration", "seed", seed, "an integer, or nothing")
    return _opened(str(node["merchant"]), str(node["contract"]), seed)


@cache
def _opened(merchant: str, contract: str, seed: int | None) -> ReachableMerchant:
    from client.merchant import Merchant  # heavy: torch, polars; only where a merchant lives in this process

    return Merchant.open(Path(merchant), Path(contract), seed=seed)
