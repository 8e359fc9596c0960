"""Where the merchants of a simulated federation work: in this process, or on Ray.

The table `_TRAIN` names them. Both take the same files and give the same arrays, up to the order in which
replies are added (`tests/simulations/test_ray_backend.py`).
"""

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import Field
from pydantic.dataclasses import dataclass

from server.coordinator import RoundSummary
from shared_model.declared import CLOSED
from shared_model.protocol import SharedArrays

from . import federated
from .engines import Engine
from .federated import Site

Name = Literal["in-process", "ray"]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Backend:
    """A backend and its options.

    Attributes:
        name: Which one.
        engine: See `engines.Engine`; on Ray, of the merchants that one worker trains.
        cpus: Ray only: processors that one worker occupies. The merchants of a round are spread over as many
            workers as fit.
    """

    name: Name = "in-process"
    engine: Engine = "auto"
    cpus: Annotated[int, Field(ge=1)] = 1


IN_PROCESS = Backend()


class Train(Protocol):
    """Trains a federation of simulated merchants (`simulations.federated.train`)."""

    def __call__(
        self,
        site: Site,
        *,
        directory: Path,
        lineage: str,
        seed: int,
        receivers: Collection[str] = (),
        on_round: Callable[[RoundSummary], None] | None = None,
    ) -> SharedArrays:
        """Return the released arrays; go on where an earlier call in `directory` stopped."""


def train_on(backend: Backend) -> Train:
    """Return the function that trains on `backend`.

    Raises:
        ConfigError: The backend is not installed, or this machine is too small for its options.
    """
    return _TRAIN[backend.name](backend)


def _in_process(backend: Backend) -> Train:
    return partial(federated.train, engine=backend.engine)


def _ray(backend: Backend) -> Train:
    from . import ray_backend  # nothing of Ray is looked for before it is wanted

    ray_backend.require(backend.cpus)
    return partial(ray_backend.train, cpus=backend.cpus, engine=backend.engine)


_TRAIN: dict[Name, Callable[[Backend], Train]] = {"in-process": _in_process, "ray": _ray}
