"""What the coordinator of one run is told, read once at the door."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass as closed

from shared_model import declared
from shared_model.declared import CLOSED
from shared_model.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Where and how one run is kept.

    Attributes:
        directory: Of the run: journal and checkpoints. A run that stopped goes on from here.
        lineage: Names this training of the contract from its first round on.
        seed: Of the initial shared arrays.
        keep_checkpoints: So many of the last ones stay on disk; with two, a damaged newest one costs nothing.
        durable: Flush journal and checkpoints to the disk, so that they survive a power cut.
    """

    directory: Path
    lineage: str
    seed: int
    keep_checkpoints: int = 2
    durable: bool = True

    def __post_init__(self) -> None:
        if not self.lineage:
            raise ConfigError("run settings", "lineage", self.lineage, "a name, not empty")
        if self.keep_checkpoints < 1:
            raise ConfigError("run settings", "keep_checkpoints", self.keep_checkpoints, "1 or more")


@closed(frozen=True, kw_only=True, config=CLOSED)
class RunConfig:
    """Flower's run config (`flwr run -c`), with dashes for underscores.

    Attributes:
        contract: Path of `federation.toml`.
        run_directory: Absolute path; a Flower process may start anywhere.
        members: Path of the enrolment file (`server.enrolment`); empty to ask every node who it is.
        lineage: Empty to go on with the run directory's own, or to begin a new one where it is empty.
        seed: Of the initial shared arrays.
        start: Path of a file of shared arrays to begin with instead (`server.onboarding`); empty for none.
        signing_key: Path of the private key that belongs to the contract's `coordinator_key`; empty where the
            contract has none.
        doorman: Path of the socket of whoever holds the nodes' polls (`server.deployment`); empty for nobody.
        ledgers: Path of the file that keeps heads of merchants' ledgers from one training to the next
            (`server.heads`); empty to keep them within a training only.
        keep_checkpoints: See `RunSettings`.
        durable: See `RunSettings`.
        wait_members: So many members must be reachable before a round begins.
        wait_seconds: How long to wait for them.
    """

    contract: Annotated[str, Field(min_length=1)]
    run_directory: Annotated[str, Field(min_length=1)]
    members: str = ""
    lineage: str = ""
    seed: int = 0
    start: str = ""
    signing_key: str = ""
    doorman: str = ""
    ledgers: str = ""
    keep_checkpoints: Annotated[int, Field(ge=1)] = 2
    durable: bool = True
    wait_members: Annotated[int, Field(ge=1)] = 1
    wait_seconds: Annotated[float, Field(ge=0)] = 300.0


def parse_run_config(given: Mapping[str, bool | float | int | str]) -> RunConfig:
    """Return Flower's flat mapping as a `RunConfig`.

    Raises:
        ConfigError: A key is unknown or missing, or a value is not allowed.
    """
    tables = {key.replace("-", "_"): value for key, value in given.items()}
    return declared.parse(RunConfig, tables, file="Flower's run config")
