"""How a released model is put to use at a merchant: one row of the table each.

A training is expensive and an adoption is not, so one training is judged under several of them.
"""

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from client.evaluation import logits_of
from client.merchant import Merchant
from client.serving import Served
from shared_model import schema

Adoption = Literal["heads", "prior", "chosen"]

Use = Callable[[Merchant, Served, str, Tensor], Tensor | None]
"""`use(merchant, served, task, rows)` returns logits, shape (B, O), or None where it says nothing."""


def _heads(merchant: Merchant, served: Served, task: str, rows: Tensor) -> Tensor:
    """Feature transfer: the released bottom stays as it is, and serving heads are fitted on it."""
    return logits_of(served.federated, merchant.dataset, task, rows)


def _prior(merchant: Merchant, served: Served, task: str, rows: Tensor) -> Tensor | None:
    """The release alone, as a merchant gets it on its first day; without content an item choice has none."""
    if (
        isinstance(merchant.dataset.tasks[task], schema.Retrieval)
        and not served.federated.head(task).uses_prior
    ):
        return None
    return logits_of(served.federated, merchant.dataset, task, rows, own=False)


def _chosen(merchant: Merchant, served: Served, task: str, rows: Tensor) -> Tensor:
    """Do no harm: whatever the merchant's own validation rows let it serve."""
    return served.logits(task, rows)


ADOPTIONS: dict[Adoption, Use] = {"heads": _heads, "prior": _prior, "chosen": _chosen}
