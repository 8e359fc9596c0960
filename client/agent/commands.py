"""What `fedbazaar-client status` and `fedbazaar-client adopt` do."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from client.config import load_merchant
from client.connection import Deployed, load_deployed
from shared_model import files
from shared_model.errors import ConfigError, ProtocolError, Refused
from shared_model.protocol import Instruction, Refusal, SharedArrays
from shared_model.schema import load_federation

from .record import history_of
from .stub import owner_adopt, owner_status

_UNREACHABLE = "no agent answers; start it with `fedbazaar-client up`"


def status(merchant: Path) -> dict[str, Any]:
    """Return what the agent of a merchant tells, or what its files tell while it is down.

    Args:
        merchant: Its `merchant.toml`, or the folder that holds it.

    Returns:
        The keys of `client.agent.record.history`, with `merchant`, `agent_up` and `privacy` (below); of an
        agent that is up also `process`, `tier`, `tasks` and `at_work`.

    Raises:
        ConfigError: The merchant's file is not acceptable.
        StateError: The journal was changed.
    """
    deployed = load_deployed(merchant)
    told = owner_status(deployed.state)
    if told is None:
        told = {"merchant": deployed.name, **history_of(deployed.state)}
        return {"agent_up": False, **told, "privacy": _privacy(deployed)}
    return {"agent_up": True, **told, "privacy": _privacy(deployed)}


def adopt(merchant: Path, released: Path) -> dict[str, Any]:
    """Hand a released file to the agent of a merchant, an older one too; return its status afterwards.

    Args:
        merchant: As with `status`.
        released: The coordinator's file, with its signed instruction inside.

    Raises:
        ConfigError: One of the files is not acceptable.
        StateError: The released file is damaged.
        Refused: The agent does not take it, or does not answer.
    """
    deployed = load_deployed(merchant)
    instruction, arrays = _read(released)
    try:
        owner_adopt(deployed.state, instruction, arrays)
    except Refused as error:
        raise Refused(error.code, _why(Refusal(error.code), deployed.state)) from None
    return status(merchant)


def _privacy(deployed: Deployed) -> dict[str, Any] | None:
    """Return what the ledger says under the contract, as JSON values.

    Returns:
        `on` says whether the contract has privacy; if so, `receives` whether this merchant only receives, and
        otherwise `spent`, `promised`, `delta`, `total`, `no_total`, `cap` and `rounds_left` are as
        in `client.spending.Balance`. None where the files are not there, as beside a node of another user.

    Raises:
        StateError: The ledger was changed.
    """
    try:
        federation = load_federation(deployed.connection.contract)
        if federation.privacy is None:
            return {"on": False}
        config = load_merchant(deployed.file, federation)
    except (ConfigError, OSError):
        return None
    if config.role == "receive":
        return {"on": True, "receives": True}
    from client.spending import balance  # what computes an epsilon takes a second to import

    return {"on": True, "receives": False, **asdict(balance(config, federation))}


def _read(released: Path) -> tuple[Instruction, SharedArrays]:
    allowed = "a file that `fedbazaar-server run` released, with the coordinator's signature in it"
    try:
        tensors, metadata = files.read_tensors(released)
    except FileNotFoundError:
        raise ConfigError(released, "", None, allowed) from None
    if "instruction" not in metadata:
        raise ConfigError(released, "instruction", None, allowed)
    try:
        instruction = Instruction.from_mapping(json.loads(metadata["instruction"]))
    except (ValueError, AttributeError, ProtocolError) as error:
        raise ConfigError(released, "instruction", str(error), allowed) from None
    return instruction, {name: tensor.numpy() for name, tensor in tensors.items()}


def _why(code: Refusal, state: Path) -> str:
    """Return the agent's own words; it tells them to the owner alone."""
    if code is Refusal.UNREACHABLE:
        return _UNREACHABLE
    told = owner_status(state) or {"refusals": []}
    found = [line["reason"] for line in told["refusals"] if line["code"] == code.name]
    return f"the agent refused it ({code.name}){f': {found[-1]}' if found else ''}"
