"""What an experiment file may say: which market, which contract, which seeds, which baselines."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from client.state import KEPT_TRAININGS
from shared_model import declared
from shared_model.declared import CLOSED
from shared_model.errors import ConfigError
from shared_model.schema import Count, NonNegative, Positive

from .datasets import MADE_UP, READ_FROM_A_FOLDER, MarketOptions, ScenarioMarket

EXPERIMENTS = Path(__file__).parent / "experiments"
"""Those that come with the program."""

DATA = "--data"
"""The option that names the folder of original data, in errors."""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Plan:
    """The `[experiment]` table.

    Attributes:
        name: Of the experiment and of its run directory.
        contract: `federation.toml` of this experiment, relative to the experiment file.
        seeds: Everything is repeated with each of them. A merchant keeps its part of all these trainings, and
            of the one without newcomers, until they are adopted; hence the limit.
        newcomers: Merchants that take no part in a second training, to measure what a merchant that never
            trained is served.
        validate_every: Rounds between two looks at the validation loss, for the report.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    contract: str
    seeds: Annotated[tuple[int, ...], Field(min_length=1, max_length=KEPT_TRAININGS - 1)] = (0,)
    newcomers: tuple[str, ...] = ()
    validate_every: Count = 5


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Baselines:
    """The `[baselines]` table: how networks are trained on one merchant's rows, or on everybody's.

    Attributes:
        networks: Train single-task and multi-task networks alone; the linear baseline always runs.
        hidden: Widths of their layers.
        epochs: At most.
        patience: Epochs without a better validation loss on any task before training stops.
        batch: Rows of each kind in a step.
        learning_rate: Of Adam.
        weight_decay: L2.
    """

    networks: bool = True
    hidden: tuple[Count, ...] = (64, 64)
    epochs: Count = 60
    patience: Count = 8
    batch: Count = 64
    learning_rate: Positive = 2e-3
    weight_decay: NonNegative = 1e-5


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Target:
    """One `[[target]]`: a figure that the experiment must reach.

    Attributes:
        id: Under which it is reported.
        figure: A key of `simulations.targets.FIGURES`.
        task: Its task; empty for a figure of all tasks.
        group: Of merchants, or `all`.
        at_least: The target, where more is better ...
        at_most: ... or where less is.
        text: What it means.
    """

    id: str
    figure: Literal["gain_percent", "gain_low", "worse_percent", "prior_gap_percent", "newcomer_gap_percent"]
    task: str = ""
    group: str = "all"
    at_least: float | None = None
    at_most: float | None = None
    text: str

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("either at_least or at_most")


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Experiment:
    """All of an experiment file."""

    experiment: Plan
    market: MarketOptions
    baselines: Baselines = Baselines()
    target: tuple[Target, ...] = ()

    def __post_init__(self) -> None:
        """Tell a scenario the contract whose features and tasks it draws."""
        if not isinstance(self.market, ScenarioMarket):
            return
        contract = self.experiment.contract
        if self.market.contract not in ("", contract):
            raise ValueError("without market.contract: a scenario draws what experiment.contract asks for")
        object.__setattr__(self, "market", replace(self.market, contract=contract))


def load_experiment(path: Path, *, data: Path | None = None) -> Experiment:
    """Return the experiment at `path`.

    Args:
        path: The file.
        data: Folder of the market's original data, instead of the file's `market.directory`.

    Raises:
        ConfigError: The file is missing or says something that is not allowed, or no folder was named.
    """
    return declared.parse(Experiment, tables_of(path, data=data), file=path)


def tables_of(path: Path, *, data: Path | None = None) -> dict[str, Any]:
    """Return the tables of an experiment file; its market reads `data`, where that is named.

    Raises:
        ConfigError: The file is missing or no TOML, its market makes its own data and `data` is named, or it
            reads a folder and none is.
    """
    tables = declared.read_toml(path)
    market = tables.get("market")
    if not isinstance(market, dict):
        return tables
    kind = market.get("kind")
    if data is not None and kind in MADE_UP:
        raise ConfigError(
            "fedbazaar-sim", DATA, str(data), f"no folder: {path.name} makes its own market ({kind})"
        )
    if data is None and kind in READ_FROM_A_FOLDER and "directory" not in market:
        raise ConfigError(
            path, "market.directory", None, f"a folder of the data of {kind}, here or as {DATA}"
        )
    if data is not None:
        market["directory"] = str(data.absolute())
    return tables
