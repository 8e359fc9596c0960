"""The ServerApp that Flower starts: reads the run config and trains."""

import uuid
from pathlib import Path

import torch
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from shared_model import files
from shared_model.protocol import SharedArrays
from shared_model.schema import Federation, load_federation

from . import checkpoint, coordinator
from .config import RunConfig, RunSettings, parse_run_config
from .enrolment import load_members
from .roster import Roster, asked, by_name, waiting
from .streaming import StreamingGrid

RELEASED = "released.safetensors"

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train the contract's model and leave the released arrays in the run directory."""
    from shared_model import model

    told = parse_run_config(context.run_config)
    federation = load_federation(Path(told.contract))
    settings = settings_of(told)
    arrays = coordinator.train(
        StreamingGrid(grid),
        federation,
        model.initial_shared(federation, settings.seed),
        settings=settings,
        roster=roster_of(told, federation),
        task_of=model.task_of(federation),
    )
    release(arrays, federation, settings)


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


def release(arrays: SharedArrays, federation: Federation, settings: RunSettings) -> Path:
    """Write the released arrays into the run directory and return the file."""
    path = settings.directory / RELEASED
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    metadata = {"fingerprint": federation.fingerprint, "lineage": settings.lineage}
    files.write_tensors(path, tensors, metadata, durable=settings.durable)
    return path
