"""How a ClientApp finds its merchant: in this process, or (with the agent) behind a socket.

This module imports neither torch nor polars; the merchant behind the door does, when it is opened.
"""

import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from shared_model.errors import ConfigError
from shared_model.protocol import Answer, Instruction, SharedArrays

_MOST_MERCHANTS = 4096
"""So many stay open in one process, each with its data; the one unused for longest goes first."""

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

    @property
    def role(self) -> str:
        """`train`, or `receive` where it gets the released model only."""


class ReachableMerchant(Protocol):
    """What a ClientApp may ask of a merchant, wherever it lives."""

    def describe(self) -> Description:
        """Return its public facts."""

    def train(self, instruction: Instruction, arrays: SharedArrays) -> Answer:
        """Train one round and return the answer."""

    def adopt(self, instruction: Instruction, arrays: SharedArrays) -> object:
        """Take over released shared parameters; what it returns stays at the merchant."""


def merchant_for(node: NodeConfig) -> ReachableMerchant:
    """Return the merchant that a node's configuration names.

    Args:
        node: Either `agent`, path of the Unix socket behind which the merchant lives; or `merchant` and
            `contract`, paths of the two files of a merchant in this process, where `seed` makes draws
            reproducible.

    Raises:
        ConfigError: A key is missing, of another type or one too many, or one of the files is not acceptable.
        DataError: The shop's data cannot be used.
    """
    if "agent" in node:
        for key in ("merchant", "contract", "seed"):
            if key in node:
                raise ConfigError(_SOURCE, key, node[key], "nothing, where `agent` names the merchant")
        return _connected(_text(node, "agent", "the path of the agent's socket"))
    seed = node.get("seed")
    if seed is not None and type(seed) is not int:
        raise ConfigError(_SOURCE, "seed", seed, "an integer, or nothing")
    merchant, contract = (_text(node, key, "the path of a file") for key in ("merchant", "contract"))
    with _opening:
        return _opened(merchant, contract, seed)


_SOURCE = "node configuration"
_opening = threading.Lock()
"""Two messages at once must not open one merchant twice: it has one state on disk."""


def _text(node: NodeConfig, key: str, allowed: str) -> str:
    value = node.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigError(_SOURCE, key, value, allowed)
    return value


def _connected(socket: str) -> ReachableMerchant:
    from client.agent.stub import AgentStub  # grpc: only where there is an agent

    return AgentStub(Path(socket))


@lru_cache(maxsize=_MOST_MERCHANTS)
def _opened(merchant: str, contract: str, seed: int | None) -> ReachableMerchant:
    from client.merchant import Merchant  # heavy: torch, polars; only where a merchant lives in this process

    return Merchant.open(Path(merchant), Path(contract), seed=seed)
