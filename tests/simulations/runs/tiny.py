"""A run so small that it can be made several times: three shops, one round."""

from pathlib import Path

from simulations.runs import recording
from simulations.runs.asked import Asked
from tests.integration import experiments


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody of progress."""


def asked(folder: Path) -> Asked:
    """Write the files of a tiny experiment in `folder`; return the question to run it there."""
    agreement = experiments.contract(federation={"rounds": 1})
    file = experiments.write(folder / "written", agreement)
    arguments = {"data": None, "backend": {"name": "in-process", "cpus": 1}}
    return Asked(study="run", file=file, out=folder / "run", arguments=arguments, command="again")


def run(folder: Path) -> Path:
    """Run it; return the run directory."""
    question = asked(folder)
    recording.perform(question, silent)
    return question.out
