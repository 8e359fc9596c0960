"""What a comparison file may say: which data sets, which trainings, and what is tried to tune them."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from shared_model import declared
from shared_model.declared import CLOSED
from shared_model.errors import ConfigError
from shared_model.schema import Federation, parse_federation

from ..experiment import Experiment, load_experiment
from .adoptions import Adoption

Label = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+ -]{0,62}$")]
Where = Literal["alone", "federated", "pooled"]
Changes = dict[str, Any]
"""Tables of a contract: keys that are given replace those of the base contract (see `changed`)."""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Comparison:
    """The `[comparison]` table.

    Attributes:
        name: Of the comparison.
        seeds: Every training runs with each of them; the first one is the one that tunes.
        reference: The training that every gain is measured against.
        resamples: Of the bootstrap over merchants.
    """

    name: Label
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    reference: Label
    resamples: Annotated[int, Field(ge=100)] = 2000


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class DataSet:
    """One `[[dataset]]`.

    Attributes:
        name: In the results.
        experiment: The experiment file whose market and contract are taken, relative to this file.
        data: Folder of the originals, inside the folder that the command names; empty for made-up data.
        without: Tables of the contract that are left out.
        contract: Changes to the contract, for every training.
        folds: Cross-validation by shopper with so many parts instead of the split by time; 0 for none. A plan
            then has the data set once for every fold.
        fold: Which of them; never written.
        pooled: Further changes where all rows are in one place, which needs more steps.
    """

    name: Label
    experiment: str
    data: str = ""
    without: tuple[str, ...] = ()
    folds: Annotated[int, Field(ge=0, le=20)] = 0
    fold: Annotated[int, Field(ge=0)] = 0
    contract: Changes = Field(default_factory=dict)
    pooled: Changes = Field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name of its files: of the data set, and of its fold."""
        return self.name.replace(" ", "-") + (f"-fold{self.fold + 1}" if self.folds else "")


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Training:
    """One way to train; a `[[training]]` stands for one or several of them (`Declared`).

    Attributes:
        name: In the results.
        family: Under which heading it stands.
        where: Who holds the rows: every merchant its own and trains `alone`, the same and `federated`, or all
            of them in one place (`pooled`).
        single: One model per task instead of one for all; not federated.
        contract: Changes to the data set's contract.
        grid: Further changes, of which the best on validation rows is taken; each data set has its own best.
        served: What a federated training is judged by, the first one under the training's own name.
        datasets: Where it runs; empty for all. A training whose tasks a data set does not have is left out
            there by this list, never silently.
    """

    name: Label
    family: Label
    where: Where = "federated"
    single: bool = False
    contract: Changes = Field(default_factory=dict)
    grid: Annotated[tuple[Changes, ...], Field(min_length=1)] = ({},)
    served: Annotated[tuple[Adoption, ...], Field(min_length=1)] = ("heads",)
    datasets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.where == "federated" and self.single:
            raise ValueError("single = true only where nothing is federated")


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Declared:
    """One `[[training]]` as it is written: a `Training` for each place in `where`.

    Attributes:
        where: One or several; where something is not federated the name says it at its end.
    """

    name: Label
    family: Label
    where: Annotated[tuple[Where, ...], Field(min_length=1)] = ("federated",)
    single: bool = False
    contract: Changes = Field(default_factory=dict)
    grid: Annotated[tuple[Changes, ...], Field(min_length=1)] = ({},)
    served: Annotated[tuple[Adoption, ...], Field(min_length=1)] = ("heads",)
    datasets: tuple[str, ...] = ()

    def trainings(self) -> Iterator[Training]:
        """Yield the trainings that it stands for."""
        for where in self.where:
            yield Training(
                name=self.name if where == "federated" else f"{self.name} {where}",
                family=self.family,
                where=where,
                single=self.single,
                contract=self.contract,
                grid=self.grid,
                served=self.served if where == "federated" else ("heads",),
                datasets=self.datasets,
            )


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Claim:
    """One `[[claim]]`: by how many points a method should be better than the reference, of several measures.

    Attributes:
        name: What is predicted, in words.
        method: A training, or `TRAINING: ADOPTION`.
        tasks: Data set -> task.
        points: Measure -> points out of 100, above zero is better.
        levels: Measure -> value that the method itself should reach.
    """

    name: str
    method: str
    tasks: dict[str, str]
    points: dict[str, float] = Field(default_factory=dict)
    levels: dict[str, float] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Plan:
    """A comparison: every data set, every training."""

    comparison: Comparison
    dataset: tuple[DataSet, ...]
    training: tuple[Training, ...]
    claim: tuple[Claim, ...] = ()

    def trainings_on(self, dataset: str) -> tuple[Training, ...]:
        """Return what runs on a data set."""
        return tuple(t for t in self.training if not t.datasets or dataset in t.datasets)


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class File:
    """All of a comparison file."""

    comparison: Comparison
    dataset: Annotated[tuple[DataSet, ...], Field(min_length=1)]
    training: Annotated[tuple[Declared, ...], Field(min_length=1)]
    claim: tuple[Claim, ...] = ()


def load_plan(path: Path) -> Plan:
    """Return the comparison at `path`.

    Raises:
        ConfigError: The file is missing, says something that is not allowed, or a contract it leads to does.
    """
    file = declared.load(File, path)
    plan = Plan(
        comparison=file.comparison,
        dataset=tuple(replace(d, fold=fold) for d in file.dataset for fold in range(d.folds or 1)),
        training=tuple(_expanded(file.training, path)),
        claim=file.claim,
    )
    names = [d.name for d in file.dataset]
    for training in plan.training:
        for name in training.datasets:
            if name not in names:
                raise ConfigError(path, f"training.{training.name}.datasets", name, f"one of {names}")
    if plan.comparison.reference not in [t.name for t in plan.training]:
        raise ConfigError(path, "comparison.reference", plan.comparison.reference, "the name of a training")
    for kind, given in (("dataset", names), ("training", [t.name for t in plan.training])):
        for name in given:
            if given.count(name) > 1:
                raise ConfigError(path, f"{kind}.name", name, "a name of its own")
    return plan


def _expanded(written: tuple[Declared, ...], path: Path) -> Iterator[Training]:
    for training in written:
        try:
            yield from training.trainings()
        except ValueError as error:
            raise ConfigError(path, f"training.{training.name}", training.where, str(error)) from None


def experiment_of(dataset: DataSet, folder: Path, data: Path | None) -> Experiment:
    """Return the experiment whose market a data set is.

    Args:
        dataset: As declared.
        folder: Of the comparison file.
        data: Folder of all originals.
    """
    originals = data / dataset.data if data is not None and dataset.data else None
    return load_experiment(folder / dataset.experiment, data=originals)


def contract_tables(
    dataset: DataSet, folder: Path, experiment: Experiment, *changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the tables of the contract of one training on one data set.

    Raises:
        ConfigError: They are no contract.
    """
    base = (folder / dataset.experiment).parent / experiment.experiment.contract
    tables = {n: t for n, t in declared.read_toml(base).items() if n not in dataset.without}
    for change in (dataset.contract, *changes):
        tables = changed(tables, change)
    _parsed(tables, base)
    return tables


def changed(tables: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return `tables` with those keys replaced that `change` gives; a table is changed key by key.

    A table that says an architecture is replaced as a whole, since another one has other keys.

    >>> changed({"local": {"optimizer": "sgd", "learning_rate": 1.0}}, {"local": {"learning_rate": 0.1}})
    {'local': {'optimizer': 'sgd', 'learning_rate': 0.1}}
    """
    merged = dict(tables)
    for key, value in change.items():
        old = merged.get(key)
        whole = not (isinstance(old, Mapping) and isinstance(value, Mapping)) or "architecture" in value
        merged[key] = value if whole else changed(old, value)  # type: ignore[arg-type]
    return merged


def _parsed(tables: Mapping[str, Any], base: Path) -> Federation:
    return parse_federation(tables, file=f"{base}, changed by the comparison")
