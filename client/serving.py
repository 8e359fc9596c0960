"""What a merchant serves: a released model with serving heads of its own, its linear model, or a floor.

All of it is computed from a release and from the merchant's own rows, and none of it goes back into training.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from torch import Tensor

from shared_model.errors import DataError
from shared_model.model import MultiTaskModel
from shared_model.parameters import load, take
from shared_model.schema import Federation

from . import acceptance, floors, serving_heads
from .alone import linear_model, untrained_linear_model
from .data.dataset import Dataset
from .evaluation import logits_of
from .state import ServingState


def adopted(
    model: MultiTaskModel,
    federation: Federation,
    dataset: Dataset,
    *,
    policy: Literal["validation", "always"],
    catalogues: Mapping[str, str],
) -> tuple[ServingState, dict[str, acceptance.Accepted]]:
    """Fit the serving heads on a release and choose what is served.

    Args:
        model: Holds the released shared parameters and the merchant's gates and tables; its heads are fitted.
        federation: The contract.
        dataset: The merchant's rows.
        policy: See `acceptance.accept`.
        catalogues: Retrieval task -> digest of the items that its head chooses among.

    Returns:
        What to store, and for every task the choice with its evidence.
    """
    for task in dataset.tasks:
        serving_heads.put(model, task, serving_heads.fit(model, dataset, task))
    alone = linear_model(federation, dataset)
    accepted = {task: acceptance.accept(task, dataset, model, alone, policy) for task in dataset.tasks}
    heads = _own_parts(dataset.tasks)
    state = ServingState(
        fingerprint=federation.fingerprint,
        shared=take(model, [name for name, _ in model.named_parameters() if name not in heads]),
        heads=take(model, heads),
        alone=take(alone, _own_parts(task for task, a in accepted.items() if a.choice == "alone")),
        choices={task: a.choice for task, a in accepted.items()},
        catalogues=catalogues,
    )
    return state, accepted


class Served:
    """What was adopted, ready to answer.

    Attributes:
        federated: The released model with its serving heads, whatever is served.
    """

    def __init__(
        self,
        state: ServingState,
        federated: MultiTaskModel,
        federation: Federation,
        dataset: Dataset,
        outdated: Collection[str],
    ) -> None:
        """Put together what `state` stored.

        Args:
            state: What was adopted.
            federated: Holds its parameters.
            federation: The contract.
            dataset: The merchant's rows.
            outdated: Retrieval tasks whose catalogue is another one than their head was fitted for.
        """
        self.federated = federated
        self._choices = {t: "floor" if t in outdated else choice for t, choice in state.choices.items()}
        self._dataset = dataset
        # the linear model that was accepted, not one fitted again: the shop may have new rows now
        self._alone = untrained_linear_model(federation, dataset)
        load(self._alone, {n: t for n, t in state.alone.items() if n in dict(self._alone.named_parameters())})

    def logits(self, task: str, rows: Tensor) -> Tensor:
        """Return the served logits of one task, shape (B, O): of whichever model was accepted.

        Raises:
            DataError: Nothing was adopted for this task.
        """
        if task not in self._choices or task not in self._dataset.tasks:
            raise DataError(f"nothing was adopted for the task {task}; adopt the release again.")
        choice = self._choices[task]
        if choice == "floor":
            return floors.bought_before(self._dataset, task, rows)
        return logits_of(self._alone if choice == "alone" else self.federated, self._dataset, task, rows)


def _own_parts(tasks: Iterable[str]) -> list[str]:
    return [f"heads.{task}.own.{part}" for task in tasks for part in ("weight", "bias")]
