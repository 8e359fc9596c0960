"""GradNorm: tasks that train slowly get larger gradients, all others alike ones.

Source: Chen et al. (2018), "GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask
Networks", algorithm 1. Notation: T tasks; w_i weight, n_i norm of the gradient of loss i in the shared
parameters, G_i = w_i n_i, r_i = (L_i / L_i(0)) / mean of the same over tasks. A step moves w_i against the
gradient of sum |G_i - mean(G) r_i^a|, the target held fixed, and scales the weights to the sum T.

Here: all shared parameters take the place of the paper's last shared layer, and the gradient is taken in
units of mean(G), so that the rate means the same whatever the losses are measured in.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from .step import Memory, Step

ASYMMETRY = 1.5
"""a: how strongly slow tasks are pulled; the paper's value for tasks of different kinds."""
RATE = 0.025
"""Of the steps of weights; the paper's."""
LEAST = 1e-3
"""No weight falls below this share of 1: a task that counts for nothing could not come back."""


class GradNorm:
    """Factors that change with every step."""

    def __init__(self, memory: Memory) -> None:
        """Take the weights, TASK/weight, and the first losses, TASK/first, of the rounds before."""
        self._memory = dict(memory)

    def factors(self, step: Step) -> Mapping[str, float]:
        """Return the weights that earlier steps made, and learn from this one."""
        tasks = list(step.losses)
        for task in tasks:
            self._memory.setdefault(f"{task}/first", torch.tensor(step.means[task]))
        weights = torch.stack([self._memory.get(f"{task}/weight", torch.tensor(1.0)) for task in tasks])
        norms = torch.stack([_norm(step.losses[task], step) for task in tasks])
        rates = torch.stack([_rate(step.means[task], self._memory[f"{task}/first"]) for task in tasks])
        moved = moved_weights(weights, norms, rates)
        self._memory |= {f"{task}/weight": weight for task, weight in zip(tasks, moved, strict=True)}
        return dict(zip(tasks, weights.tolist(), strict=True))

    def memory(self) -> Memory:
        """Return weights and first losses."""
        return self._memory


def moved_weights(weights: Tensor, norms: Tensor, rates: Tensor) -> Tensor:
    """Return the weights after one step, shape (T,), from weights, norms and L_i / L_i(0), shape (T,) each.

    Weights stay as they are where no task has a gradient.
    """
    sizes = weights * norms
    mean = sizes.mean()
    if not (mean > 0 and mean.isfinite()):
        return weights
    target = mean * (rates / rates.mean().clamp_min(1e-12)) ** ASYMMETRY
    moved = (weights - RATE * (sizes - target).sign() * norms / mean).clamp_min(LEAST)
    return moved * len(moved) / moved.sum()


def _norm(loss: Tensor, step: Step) -> Tensor:
    gradients = torch.autograd.grad(loss, step.shared, retain_graph=True, allow_unused=True)
    found = [gradient.square().sum() for gradient in gradients if gradient is not None]
    return torch.stack(found).sum().sqrt() if found else torch.zeros(())


def _rate(mean: float, first: Tensor) -> Tensor:
    """L / L(0); 1 for a task that had no loss to begin with."""
    return torch.tensor(mean) / first if first > 0 else torch.ones(())
