"""What a merchant serves: a released model with serving heads of its own, or whichever candidate beat it.

All of it is computed from a release and from the merchant's own rows, and none of it goes back into training.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from torch import Tensor

from shared_model.errors import DataError
from shared_model.model import MultiTaskModel
from shared_model.parameters import load, take
from shared_model.schema import Federation

from . import acceptance
from .alone import untrained_linear_model
from .contestants import Contestants
from .data.dataset import Dataset
from .state import ServingState

_CONTINUED = "ditto"
"""The candidate that goes on from what it was, so it is kept even where it is not served."""


def adopted(
    contestants: Contestants,
    federation: Federation,
    *,
    policy: Literal["validation", "always"],
    catalogues: Mapping[str, str],
    before: ServingState | None,
) -> tuple[ServingState, dict[str, acceptance.Accepted]]:
    """Choose what is served of a release.

    Args:
        contestants: The candidates.
        federation: The contract.
        policy: See `acceptance.accept`.
        catalogues: Retrieval task -> digest of the items that its head chooses among.
        before: What was served before under the same contract; its evidence counts.

    Returns:
        What to store, and for every task the choice with its evidence.
    """
    earlier = before.evidence if before is not None else {}
    accepted, kept = acceptance.accept(contestants, policy, earlier)
    choices = {task: a.choice for task, a in accepted.items()}
    model = contestants.models["federated"]
    heads = _own_parts(model, contestants.dataset.tasks)
    linear = [task for task, choice in choices.items() if choice in ("alone", "mixture")]
    state = ServingState(
        fingerprint=federation.fingerprint,
        shared=take(model, [name for name, _ in model.named_parameters() if name not in heads]),
        heads=take(model, heads),
        alone=take(contestants.alone, _own_parts(contestants.alone, linear)),
        choices=choices,
        catalogues=catalogues,
        personal=_personal(contestants, {*choices.values(), _CONTINUED}),
        weights={task: w for task, w in contestants.weights.items() if choices[task] == "mixture"},
        evidence=_still_of_use(earlier, contestants.dataset.tasks) | kept,
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
        models: Mapping[str, MultiTaskModel],
        federation: Federation,
        dataset: Dataset,
        outdated: Collection[str],
    ) -> None:
        """Put together what `state` stored.

        Args:
            state: What was adopted.
            models: Hold its parameters: `federated`, and the personal models that are served.
            federation: The contract.
            dataset: The merchant's rows.
            outdated: Retrieval tasks whose catalogue is another one than their head was fitted for.
        """
        self.federated = models["federated"]
        self._choices = {t: "floor" if t in outdated else choice for t, choice in state.choices.items()}
        self._dataset = dataset
        # the linear model that was accepted, not one fitted again: the shop may have new rows now
        alone = untrained_linear_model(federation, dataset)
        load(alone, {n: t for n, t in state.alone.items() if n in dict(alone.named_parameters())})
        self._contestants = Contestants(dataset=dataset, models=models, alone=alone, weights=state.weights)

    def logits(self, task: str, rows: Tensor) -> Tensor:
        """Return the served logits of one task, shape (B, O): of whichever candidate was accepted.

        Raises:
            DataError: Nothing was adopted for this task.
        """
        if task not in self._choices or task not in self._dataset.tasks:
            raise DataError(f"nothing was adopted for the task {task}; adopt the release again.")
        return self._contestants.logits(self._choices[task], task, rows)


def _personal(contestants: Contestants, wanted: Collection[str]) -> dict[str, Tensor]:
    return {
        f"{candidate}/{name}": parameter.detach().clone()
        for candidate, model in contestants.models.items()
        if candidate in wanted and candidate != "federated"
        for name, parameter in model.named_parameters()
    }


def _still_of_use(earlier: Mapping[str, Tensor], tasks: Collection[str]) -> dict[str, Tensor]:
    """Of the evidence for rivals that were not wanted this time, that for tasks which are still there."""
    return {key: days for key, days in earlier.items() if key.split("/")[0] in tasks}


def _own_parts(model: MultiTaskModel, tasks: Iterable[str]) -> list[str]:
    prefixes = tuple(f"heads.{task}.own." for task in tasks)
    return [name for name, _ in model.named_parameters() if name.startswith(prefixes)]
