"""What `python -m client.agent` does: open the merchant, listen, stop when told to."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import torch

from client.config import MerchantConfig
from client.connection import Deployed, load_deployed
from client.merchant import Merchant
from client.merchant_file import masked
from client.state import load_round
from shared_model.errors import ConfigError
from shared_model.model import initial_shared
from shared_model.processes import only_one
from shared_model.row_blocks import schedule_of
from shared_model.schema import Federation, load_federation

from . import sockets
from .addresses import owner_socket
from .guard import Terms
from .inbox import Inbox
from .record import Record, journal_file
from .service import serving
from .work import Agent

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5


def run(file: Path, *, seed: int | None = None, threads: int = 1) -> None:
    """Run the agent of one merchant until SIGTERM or SIGINT; then the process is over at once.

    Nothing is lost by that: a round that was at work trains again when it is asked for again, a release that
    was acknowledged is fitted at the next start, and files are whole or absent. To be called in the main
    thread of a process of its own.

    Args:
        file: The merchant's file, with a `[connect]` table.
        seed: Makes every draw reproducible, to compare with a simulation.
        threads: Of torch. One by default: a step on a few hundred rows is too small to be shared out, on
            a busy machine a second thread made it ten times slower, and with one the same seed gives the same
            numbers everywhere.

    Raises:
        ConfigError: A file says something that is not allowed.
        DataError: The shop's data cannot be used.
        StateError: Another agent works on the same state, or the journal was changed.
    """
    _log_to_stderr()
    os.umask(0o077)
    torch.set_num_threads(threads)
    deployed = load_deployed(file)
    sockets.own_folder(deployed.state)
    with only_one(deployed.state / "agent.lock", what=f"the agent of {deployed.name}"):
        federation = load_federation(deployed.connection.contract)
        _check(federation, deployed, seed)
        sockets.remove_unfinished(deployed.state)
        sockets.socket_folder(deployed.connection.socket, group=deployed.connection.socket_group)
        merchant = Merchant.open(deployed.file, deployed.connection.contract, seed=seed)
        _serve(deployed, federation, merchant)


def agent_of(merchant: Merchant, record: Record, *, clock: Callable[[], float] = time.monotonic) -> Agent:
    """Return the agent of an open merchant; `clock` counts the pace (errors as in `Agent`)."""
    state = merchant.config.state

    def last_round(fingerprint: str, lineage: str) -> int:
        stored = load_round(state, fingerprint, lineage)
        return stored.round if stored is not None else 0

    return Agent(
        merchant,
        _terms(merchant.config, merchant.federation),
        record,
        Inbox(state / "received.safetensors"),
        last_round=last_round,
        worked_before=any((state / "rounds").glob("*.safetensors")),
        clock=clock,
    )


def _terms(config: MerchantConfig, federation: Federation) -> Terms:
    agreed = federation.federation
    return Terms(
        merchant=config.name,
        fingerprint=federation.fingerprint,
        coordinator_key=agreed.coordinator_key,
        pace_seconds=agreed.pace_seconds,
        shapes={n: array.shape for n, array in initial_shared(federation, 0).items()},
        precision=agreed.precision,
        schedule=schedule_of(federation),
        answer_seconds=federation.tiers[config.tier].answer_seconds,
    )


def _check(federation: Federation, deployed: Deployed, seed: int | None) -> None:
    if not federation.federation.coordinator_key:
        raise ConfigError(
            deployed.connection.contract,
            "federation.coordinator_key",
            None,
            "the coordinator's public key, which `fedbazaar-server init` writes",
        )
    if seed is not None and federation.privacy is not None:
        allowed = (
            "nothing under a contract with a [privacy] table: noise that can be repeated protects nobody"
        )
        raise ConfigError("python -m client.agent", "--seed", seed, allowed)


def _serve(deployed: Deployed, federation: Federation, merchant: Merchant) -> None:
    stop = threading.Event()

    def heed(number: int, frame: FrameType | None) -> None:
        stop.set()

    record = Record(journal_file(deployed.state))
    node, owner = deployed.connection.socket, owner_socket(deployed.state)
    with serving(agent_of(merchant, record), node=node, group=deployed.connection.socket_group, owner=owner):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, heed)
        _note_start(record, federation)
        _log.info("%s is ready at %s", deployed.name, node)
        while not stop.wait(_LOOK_SECONDS):  # a signal that another thread took wakes nobody here
            pass
        _log.info("stopped")
        sockets.remove(node)
        sockets.remove(owner)
        logging.shutdown()
        os._exit(0)  # a round at work is not waited for


def _note_start(record: Record, federation: Federation) -> None:
    try:
        record.note("started", process=os.getpid(), fingerprint=federation.fingerprint)
    except OSError as problem:  # it cannot answer now, but can say so, and may have room again later
        _log.error("the journal takes no more lines: %s", problem)


class _Masked(logging.Formatter):
    """Keeps passwords of database addresses out of the log, those in tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Masked("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
