"""Who wrote a bad review? From one update of a merchant, where the shoppers' features are known.

To first order an update is a sum over shoppers, update = -(learning rate / B) sum_i r_i J_i, with r_i =
p_i - y_i, the derivative of the logistic loss by its logit, and J_i the gradient of the logit of shopper i by
the shared parameters. The attacker knows model and features, so it knows J, solves for r by regularised least
squares, and r is negative exactly where the label is 1.

That the sign of the derivative tells the label is Zhao et al. (2020), for a single row; with known features
the sum over rows is a linear system. The regulariser is the public noise.

Source: Zhao, Mopuri, Bilen (2020), "iDLG: Improved Deep Leakage from Gradients".

Notation: N shoppers, P shared parameters.
"""

import torch
from torch import Tensor

from shared_model.features import Batch
from shared_model.model import MultiTaskModel
from shared_model.privacy.plan import plan_of
from shared_model.schema import Federation

from .categories import FULL, TASK, Reply, Seen, Size, rounds
from .measures import auc
from .outcome import Outcome, Progress, silent
from .training import TIER

RIDGE = 1e-3
"""Of the mean squared length of a gradient: what the later steps add that is not of first order."""


def attack(
    *, epsilon: float, seed: int, progress: Progress = silent, size: Size = FULL
) -> tuple[Outcome, ...]:
    """Return how well the solved derivatives tell bad reviews from others (see `outcome.Attack`)."""
    found = [
        (_score(seen, seen.plain), _score(seen, seen.private))
        for seen in rounds(size, epsilon=epsilon, seed=seed, progress=progress)
    ]
    return (
        Outcome.mean(
            found,
            name="who was unhappy",
            attacked="From one update of a merchant, which of its shoppers, whose purchases are known, wrote "
            "a bad review.",
            metric="AUC",
            chance=0.5,
            worst=1.0,
            epsilon=epsilon,
            source="Zhao et al. (2020), the sign of the derivative, solved for many rows",
        ),
    )


def derivatives(jacobian: Tensor, update: Tensor, noise: float) -> Tensor:
    """Return the r that explain `update` as -J^T r, up to one positive factor, shape (N,).

    Args:
        jacobian: Gradient of every shopper's logit, shape (N, P).
        update: Shape (P,).
        noise: Ridge that the noise asks for: its variance over that of a derivative.
    """
    gram = jacobian @ jacobian.T
    ridge = (RIDGE * gram.diagonal().mean() + noise) * torch.eye(len(gram), dtype=gram.dtype)
    solved: Tensor = torch.linalg.solve(gram + ridge, -(jacobian @ update))
    return solved


def noise_ridge(federation: Federation) -> float:
    """Return the variance of the noise over that of a shopper's summed derivatives; 0 without privacy.

    Over K steps a coordinate collects noise of variance K s^2, and a shopper q K derivatives of about 1/2.
    """
    if federation.privacy is None:
        return 0.0
    plan = plan_of(federation, TIER)
    taken = 0.5 * plan.sampling_rate * plan.steps
    return plan.steps * plan.groups[0].noise_std ** 2 / taken**2


def logit_gradients(model: MultiTaskModel, batch: Batch, task: str) -> Tensor:
    """Return the gradient of every row's logit by all shared parameters, float64, shape (N, P)."""
    parameters = dict(model.named_parameters())
    shared = [parameters[name] for name in model.shared_parameters()]
    logits = model(batch, [task])[task].squeeze(-1)
    rows = [torch.autograd.grad(logit, shared, retain_graph=True) for logit in logits]
    return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows]).double()


def _score(seen: Seen, reply: Reply) -> float:
    jacobian = logit_gradients(seen.model, seen.shop.all(), TASK)
    moved = torch.cat([reply.update[name].flatten() for name in seen.model.shared_parameters()]).double()
    return auc(-derivatives(jacobian, moved, noise_ridge(reply.contract)), seen.shop.labels[TASK])
