"""What federated trainings of a comparison move, from their contracts."""

from dataclasses import dataclass

from shared_model import schema, traffic

from . import running
from .jobs import tables_of
from .plan import DataSet, Training
from .running import Asked


@dataclass(frozen=True, kw_only=True)
class Moved:
    """One training on one data set.

    Attributes:
        dataset: Its name.
        training: Its name.
        rounds: Of the training.
        bytes_down: Of arrays that a merchant gets in a round, on average.
        bytes_up: That it sends.
    """

    dataset: str
    training: str
    rounds: int
    bytes_down: int
    bytes_up: int


def moved(asked: Asked, dataset: DataSet, training: Training, seeds: tuple[int, ...]) -> Moved:
    """Return what a federated training moves, at the point of its grid that was chosen."""
    variant = running.best_variant(asked, dataset, training, seeds[0])
    tables = tables_of(running.job_of(asked, dataset, training, variant, seeds))
    contract = schema.parse_federation(tables, file=training.name)
    found = traffic.of_contract(contract)
    return Moved(
        dataset=dataset.name,
        training=training.name,
        rounds=contract.federation.rounds,
        bytes_down=found.down,
        bytes_up=found.up,
    )
