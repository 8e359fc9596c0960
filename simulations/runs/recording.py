"""Run a study in a directory that says what it was made from.

Guarantees:
    * The manifest and the copies are there before the study begins, the hashes of the results once it has
      ended; in between the run counts as unfinished.
    * A directory that is worked on again keeps what it was begun with, and says what was changed since.
    (`tests/simulations/runs/test_recording.py`)
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from shared_model import files
from shared_model.errors import ConfigError

from ..runner import Progress
from . import manifest, results
from .asked import Asked, Inputs
from .environment import environment
from .manifest import COPIES, Manifest
from .studies import STUDIES


def perform(asked: Asked, progress: Progress) -> Any:
    """Run a study and keep what it was made from; go on where an earlier call in the directory stopped.

    Returns:
        What the study returns.

    Raises:
        FedbazaarError: As the study; what was finished before stays.
    """
    study = STUDIES[asked.study]
    torch.set_num_threads(1)
    begun = _begun(asked, study.inputs(asked))
    found = study.perform(asked, progress)
    manifest.write(replace(begun, results=results.hashes(asked.out, study.results)), asked.out)
    return found


def resumed(directory: Path) -> Asked:
    """Return what a run directory was begun with, read from its copies.

    Raises:
        ConfigError: It is not a run directory.
        StateError: Its manifest is damaged.
    """
    return asked_of(manifest.read(directory), directory, out=directory)


def asked_of(kept: Manifest, directory: Path, *, out: Path) -> Asked:
    """Return the question that a manifest keeps, with the copies beside it, to be answered in `out`."""
    return Asked(
        study=kept.study,
        file=kept.copies(directory),
        out=out,
        arguments=kept.arguments,
        command=kept.command,
    )


def _begun(asked: Asked, inputs: Inputs) -> Manifest:
    """Write the manifest of a run that begins or goes on, and the copies of its inputs."""
    fresh = Manifest(
        study=asked.study,
        command=asked.command,
        arguments=dict(inputs.arguments),
        file="",
        inputs=manifest.inputs_of(inputs.files),
        data=manifest.data_of(inputs.data),
        seeds=inputs.seeds,
        environments=(environment(),),
    )
    fresh = replace(fresh, file=fresh.inputs[0].name)
    if (asked.out / manifest.FILE).exists():
        fresh = _continued(manifest.read(asked.out), fresh, asked.out)
    elif asked.out.exists() and any(asked.out.iterdir()):
        fresh = replace(fresh, mixed=("the directory held files before the run began",))
    for copied in fresh.inputs:
        path = asked.out / COPIES / copied.name
        if not path.exists() or manifest.hash_of(path) != copied.sha256:
            files.write(path, Path(copied.path).read_bytes(), durable=False)
    manifest.write(fresh, asked.out)
    return fresh


def _continued(kept: Manifest, fresh: Manifest, out: Path) -> Manifest:
    """Return the manifest of a run that goes on: what it was begun with, and what is another since.

    Raises:
        ConfigError: The directory holds another study.
    """
    if kept.study != fresh.study:
        allowed = f"another directory: this one holds a `{kept.study}`"
        raise ConfigError("fedbazaar-sim", "--out", str(out), allowed)
    known, changes = kept.environments, tuple(_changes(kept, fresh))
    environments = known if fresh.environments[-1] in known else (*known, *fresh.environments)
    mixed = tuple(dict.fromkeys((*kept.mixed, *changes)))
    return replace(fresh if changes else kept, environments=environments, mixed=mixed, results={})


def _changes(kept: Manifest, fresh: Manifest) -> Iterator[str]:
    """Yield in words what a run was begun with and does not go on with."""
    for kind in ("inputs", "data"):
        before = {one.sha256: one.path for one in getattr(kept, kind)}
        now = {one.sha256: one.path for one in getattr(fresh, kind)}
        for hashed in before.keys() - now.keys():
            yield f"{before[hashed]} was changed or left out while the run went on"
    for name in dict.fromkeys((*kept.arguments, *fresh.arguments)):
        if name != "workers" and kept.arguments.get(name) != fresh.arguments.get(name):
            yield f"--{name} was {kept.arguments.get(name)!r}, then {fresh.arguments.get(name)!r}"
