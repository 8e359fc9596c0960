"""The ServerApp that Flower starts: reads the run config and trains."""

import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from socket import AF_UNIX, SOCK_DGRAM, socket

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from shared_model import signing
from shared_model.errors import ConfigError, FedbazaarError
from shared_model.journal import Journal
from shared_model.processes import only_one
from shared_model.schema import Federation, load_federation

from . import checkpoint, coordinator, heads, release
from .config import RunConfig, RunSettings, parse_run_config
from .enrolment import load_members
from .questions import Sign, unsigned
from .roster import Roster, asked, by_name, waiting
from .streaming import StreamingGrid
from .wire_record import recorded

app = ServerApp()

OnRound = Callable[[coordinator.RoundSummary], None]
"""Is told of every completed round."""


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train the contract's model; leave the released arrays in the run directory and offer them to all.

    What stops the run is the last line of its journal, `run_stopped`, for whoever watches from outside.
    """
    told = parse_run_config(context.run_config)
    federation = load_federation(Path(told.contract))
    settings = settings_of(told)
    with only_one(settings.directory / coordinator.LOCK, what=f"the training in {settings.directory}"):
        try:
            _run(grid, told, federation, settings)
        except (FedbazaarError, OSError) as error:
            _note_end(settings.directory, _spoken(error, settings.directory))
            raise


def _note_end(directory: Path, reason: str) -> None:
    with suppress(FedbazaarError, OSError), Journal(directory / coordinator.JOURNAL) as journal:
        journal.append("run_stopped", at=datetime.now(UTC).isoformat(), reason=reason)


def _spoken(error: FedbazaarError | OSError, directory: Path) -> str:
    """Return an error as a sentence that names what it is about."""
    if isinstance(error, OSError):
        return f"{error.filename or directory}: {error.strerror or type(error).__name__}."
    return str(error)


def _run(grid: Grid, told: RunConfig, federation: Federation, settings: RunSettings) -> None:
    streaming = StreamingGrid(grid, wake=poke(told.doorman))
    with recorded(streaming, settings.directory, durable=settings.durable) as recording:
        _trained(recording, told, federation, settings)


def _trained(grid: Grid, told: RunConfig, federation: Federation, settings: RunSettings) -> None:
    from shared_model import model

    from . import onboarding

    sign = signer(told, federation)
    roster = roster_of(told, federation)
    arrays = coordinator.train(
        grid,
        federation,
        onboarding.read(Path(told.start), federation)
        if told.start
        else model.initial_shared(federation, settings.seed),
        settings=settings,
        roster=roster,
        moved_by=model.movers(federation),
        sign=sign,
        ledgers=heads.load(Path(told.ledgers)) if told.ledgers else None,
        on_round=each(remembering(told), paced(federation)),
    )
    release.write(arrays, federation, settings, sign=sign)
    everybody = (
        [member.name for member in load_members(Path(told.members), federation)] if told.members else []
    )
    release.offer(grid, arrays, federation, settings=settings, roster=roster, everybody=everybody, sign=sign)


def settings_of(told: RunConfig) -> RunSettings:
    """Return the run's settings; without a lineage of its own it goes on with the run directory's."""
    directory = Path(told.run_directory)
    found = None if told.lineage else checkpoint.latest(directory)
    return RunSettings(
        directory=directory,
        lineage=told.lineage or (found.lineage if found else uuid.uuid4().hex),
        seed=told.seed,
        keep_checkpoints=told.keep_checkpoints,
        durable=told.durable,
    )


def roster_of(told: RunConfig, federation: Federation) -> Roster:
    """Return the enrolled members where there is a list of them, and otherwise ask every node."""
    roster = by_name(load_members(Path(told.members), federation)) if told.members else asked()
    return waiting(roster, members=told.wait_members, seconds=told.wait_seconds)


def signer(told: RunConfig, federation: Federation) -> Sign:
    """Return what signs instructions: the contract's key, or nothing where the contract names none.

    Raises:
        ConfigError: The contract names a key and the run config does not, or another one.
        StateError: The file is no key.
    """
    public = federation.federation.coordinator_key
    if not public:
        return unsigned
    if not told.signing_key:
        raise ConfigError(
            "Flower's run config", "signing-key", None, "the private key of federation.coordinator_key"
        )
    pem = Path(told.signing_key).read_bytes()
    if signing.public_key(pem) != public:
        raise ConfigError(told.contract, "federation.coordinator_key", public, signing.public_key(pem))
    return partial(signing.signed, key=signing.read_key(pem))


def each(*told: OnRound) -> OnRound:
    """Return what tells all of `told`, in order."""

    def tell(closed: coordinator.RoundSummary) -> None:
        for one in told:
            one(closed)

    return tell


def remembering(told: RunConfig) -> OnRound:
    """Return what keeps the heads of merchants' ledgers for the next training."""

    def keep(closed: coordinator.RoundSummary) -> None:
        if told.ledgers and closed.ledgers:
            heads.save(Path(told.ledgers), closed.ledgers, durable=told.durable)

    return keep


def paced(federation: Federation) -> OnRound:
    """Return what waits after a round until merchants accept the next one (`federation.pace_seconds`)."""
    pace = federation.federation.pace_seconds

    def wait(closed: coordinator.RoundSummary) -> None:
        if closed.round < closed.rounds and closed.seconds < pace:
            time.sleep(pace - closed.seconds)

    return wait


def poke(path: str) -> Callable[[], None]:
    """Return what tells the doorman at `path` that there is work; nobody there is no error."""

    def told() -> None:
        with suppress(OSError), socket(AF_UNIX, SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(b"work", path)

    return told if path else lambda: None
