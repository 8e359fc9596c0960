"""The halves of a deployed merchant, which two users of one machine can run."""

from enum import StrEnum


class Role(StrEnum):
    """Which of a merchant's processes are started."""

    ALL = "all"
    AGENT = "agent"
    """What has data, model and ledger."""
    NODE = "node"
    """What is connected to the coordinator: SuperNode and bridge."""
