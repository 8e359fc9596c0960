"""The ServerApp that Flower starts: reads the run config and trains."""

import uuid
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from shared_model.schema import Federation, load_federation

from . import checkpoint, coordinator, release
from .config import RunConfig, RunSettings, parse_run_config
from .enrolment import load_members
from .roster import Roster, asked, by_name, waiting
from .streaming import StreamingGrid

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train the contract's model; leave the released arrays in the run directory and offer them to all."""
    from shared_model import model

    told = parse_run_config(context.run_config)
    federation = load_federation(Path(told.contract))
    settings = settings_of(told)
    streaming, roster = StreamingGrid(grid), roster_of(told, federation)
    arrays = coordinator.train(
        streaming,
        federation,
        model.initial_shared(federation, settings.seed),
        settings=settings,
        roster=roster,
        task_of=model.task_of(federation),
    )
    release.write(arrays, federation, settings)
    release.offer(streaming, arrays, federation, settings=settings, roster=roster)


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
