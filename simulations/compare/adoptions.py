"""How a released model is put to use at a merchant: one row of the table each.

A training is expensive and an adoption is not, so one training is judged under several of them.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from client import acceptance
from client.contestants import Contestants
from client.evaluation import logits_of
from client.merchant import Merchant
from shared_model import schema
from shared_model.protocol import Instruction, SharedArrays

Adoption = Literal["heads", "prior", "fine_tuned", "ditto", "mixture", "chosen"]


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """A release at one merchant.

    Attributes:
        contestants: Everything that could be served of it.
        choices: Task -> what the merchant's rule serves; empty where nothing asks for it.
    """

    contestants: Contestants
    choices: dict[str, str]


Use = Callable[[Adopted, str, Tensor], Tensor | None]
"""`use(adopted, task, rows)` returns logits, shape (B, O), or None where it says nothing."""


def adopt(
    merchant: Merchant, instruction: Instruction, arrays: SharedArrays, wanted: Collection[Adoption]
) -> Adopted:
    """Make of a release what is wanted; nothing is stored.

    Args:
        merchant: Whose.
        instruction: Names the training.
        arrays: The release.
        wanted: Adoptions that will be used; `chosen` chooses among the candidates of the merchant's file.
    """
    candidates = merchant.config.serve.candidates
    personal = {*wanted} - {"heads", "prior", "chosen"}
    needed = personal | ({*candidates} if "chosen" in wanted else set())
    contestants = merchant.contestants(instruction, arrays, {*needed, "federated"})
    if "chosen" not in wanted:
        return Adopted(contestants=contestants, choices={})
    contestants = replace(contestants, wanted=candidates)
    accepted, _ = acceptance.accept(contestants)
    return Adopted(contestants=contestants, choices={task: a.choice for task, a in accepted.items()})


def _heads(adopted: Adopted, task: str, rows: Tensor) -> Tensor:
    """Feature transfer: the released bottom stays as it is, and serving heads are fitted on it."""
    return adopted.contestants.logits("federated", task, rows)


def _prior(adopted: Adopted, task: str, rows: Tensor) -> Tensor | None:
    """The release alone, as a merchant gets it on its first day; of some item choices it says nothing."""
    dataset, model = adopted.contestants.dataset, adopted.contestants.models["federated"]
    if _is_choice(adopted, task) and not model.head(task).is_shared:
        return None
    return logits_of(model, dataset, task, rows, own=False)


def _fine_tuned(adopted: Adopted, task: str, rows: Tensor) -> Tensor:
    """Model transfer: everything is trained on, with a pull back to the release."""
    return adopted.contestants.logits("fine_tuned", task, rows)


def _ditto(adopted: Adopted, task: str, rows: Tensor) -> Tensor:
    """The personalisation baseline."""
    return adopted.contestants.logits("ditto", task, rows)


def _mixture(adopted: Adopted, task: str, rows: Tensor) -> Tensor | None:
    """The release and the merchant's linear model together; rankings are not mixed."""
    return None if _is_choice(adopted, task) else adopted.contestants.logits("mixture", task, rows)


def _chosen(adopted: Adopted, task: str, rows: Tensor) -> Tensor:
    """Do no harm: whatever the merchant's own validation rows let it serve."""
    return adopted.contestants.logits(adopted.choices[task], task, rows)


def _is_choice(adopted: Adopted, task: str) -> bool:
    return isinstance(adopted.contestants.dataset.tasks[task], schema.Retrieval)


ADOPTIONS: dict[Adoption, Use] = {
    "heads": _heads,
    "prior": _prior,
    "fine_tuned": _fine_tuned,
    "ditto": _ditto,
    "mixture": _mixture,
    "chosen": _chosen,
}
