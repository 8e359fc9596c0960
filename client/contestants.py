"""Everything that a merchant could serve of a release: the models, and how each answers.

What is judged (`acceptance.py`) and what is served (`serving.py`) are answers of the same method,
`Contestants.logits`, of the same parameters.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from shared_model import schema
from shared_model.model import MultiTaskModel

from . import floors
from .alone import linear_model
from .data.dataset import Dataset
from .evaluation import Predict, all_logits, labels_of, predictor
from .halves import choosing, judging
from .personalization import METHODS
from .personalization.fine_tuning import stops_by_rows
from .personalization.mixture import chosen_weight, mixed
from .personalization.start import Start


@dataclass(frozen=True, kw_only=True)
class Contestants:
    """The candidates of one merchant.

    Attributes:
        dataset: The merchant's rows.
        models: Candidate -> its model; `federated` always, others as wanted.
        alone: The merchant's linear model.
        weights: Task -> weight of the linear model in its mixture with the federated one.
        tuned: Candidate -> tasks for which the choosing half of the validation rows had a say in it.
        wanted: Candidates that may be served, `federated` among them.
    """

    dataset: Dataset
    models: Mapping[str, MultiTaskModel]
    alone: MultiTaskModel
    weights: Mapping[str, float]
    tuned: Mapping[str, frozenset[str]] = field(default_factory=dict)
    wanted: Collection[str] = ("federated",)
    _predictors: dict[tuple[str, str], Predict] = field(default_factory=dict, init=False, repr=False)

    def logits(self, choice: str, task: str, rows: Tensor) -> Tensor:
        """Return what a candidate says of `rows`, shape (B, O).

        Raises:
            KeyError: There is no such candidate here.
        """
        if choice == "floor":
            return floors.bought_before(self.dataset, task, rows)
        if choice == "mixture":
            federated, alone = (self.logits(part, task, rows) for part in ("federated", "alone"))
            return mixed(self.dataset.tasks[task], federated, alone, self.weights[task])
        return all_logits(self._predictor(choice, task), rows)

    def _predictor(self, choice: str, task: str) -> Predict:
        """Made once: the items of a catalogue are not encoded again for every question."""
        if (choice, task) not in self._predictors:
            model = self.alone if choice == "alone" else self.models[choice]
            self._predictors[choice, task] = predictor(model, self.dataset, task)
        return self._predictors[choice, task]

    def incumbent(self, task: str) -> str:
        """Return what is served unless there is evidence against it."""
        return "floor" if isinstance(self.dataset.tasks[task], schema.Retrieval) else "federated"

    def rivals(self, task: str) -> tuple[str, ...]:
        """Return what may be served instead, in order of name.

        For the choice of an item these are the released and the personal models; its floor is what a merchant
        can do alone, and scores of items are not mixed. A head without a prior has none to serve.
        """
        unfit = {"alone", "mixture", "prior"} if self.incumbent(task) == "floor" else {"federated"}
        if "prior" in self.wanted and not self.models["federated"].head(task).uses_prior:
            unfit |= {"prior"}
        return tuple(sorted({*self.wanted} - unfit))

    def judged_rows(self, choice: str, task: str) -> Tensor:
        """Return the validation rows on which a candidate may be judged: none that had a say in it."""
        if task in self.tuned.get(choice, ()):
            return judging(self.dataset, task).rows
        return self.dataset.rows("validation", task=task)


def contestants(start: Start, federation: schema.Federation, wanted: Collection[str]) -> Contestants:
    """Make the candidates of a release.

    Args:
        start: The release at this merchant.
        federation: The contract.
        wanted: Names, as in `client.merchant_file.Serving.candidates`.
    """
    dataset = start.dataset
    models = {name: make(start) for name, make in METHODS.items() if name in {*wanted, "federated"}}
    alone = linear_model(federation, dataset)
    weights = {}
    if "mixture" in wanted:
        parts = Contestants(dataset=dataset, models=models, alone=alone, weights={})
        weights = {t: _weight(parts, t) for t in dataset.tasks if parts.incumbent(t) == "federated"}
    return Contestants(
        dataset=dataset, models=models, alone=alone, weights=weights, tuned=_tuned(start), wanted=wanted
    )


def _weight(parts: Contestants, task: str) -> float:
    rows = choosing(parts.dataset, task).rows
    federated, alone = (parts.logits(part, task, rows) for part in ("federated", "alone"))
    return chosen_weight(parts.dataset.tasks[task], federated, alone, labels_of(parts.dataset, task, rows))


def _tuned(start: Start) -> dict[str, frozenset[str]]:
    every = frozenset(start.dataset.tasks)
    return {"fine_tuned": every if stops_by_rows(start) else frozenset(), "mixture": every}
