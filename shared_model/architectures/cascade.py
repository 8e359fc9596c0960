"""A network per task over common tables; probabilities multiply along a chain of tasks.

Source: Ma et al. (2018), "Entire Space Multi-Task Model: An Effective Approach for Estimating Post-Click
Conversion Rate", equations 1 and 3: a purchase follows a click, so its probability on an impression is the
product of that of the click and of that of a purchase after a click. The later task is learnt on all rows,
not only on those that were clicked, and its loss teaches the click's network too.

The product is one of priors: `MultiTaskModel` multiplies along the chain what the tasks' priors say, and
the merchant's residual is added to the logit of the product. So the fit of a residual is as convex as that of
any other task, and a residual of one task moves no other task.

What travels: the feature tables of shared scope, the networks of common tasks, the tasks' priors. What stays:
local tables, heads, and the networks of the merchant's own tasks. Only tasks of the contract form a chain.
"""

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .. import schema
from ..blocks import Named, Parts, Tasks, Tower
from ..features import Encoded, FeatureEncoder

READS = (schema.Numeric, schema.Categorical, schema.Multi, schema.Text, schema.Vector, schema.Sequence)


class Cascade(nn.Module):
    """Every task's own network, shape (..., B, hidden[-1])."""

    def __init__(
        self, inputs: int, hidden: tuple[int, ...], tasks: Tasks, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.width = hidden[-1]
        self.towers = Named({t: Tower(inputs, hidden, generator=generator) for t in tasks.all})
        self.parts = Parts(
            tuple(f"towers.{task}" for task in tasks.own),
            {f"towers.{task}": frozenset({task}) for task in tasks.all},
        )

    def forward(self, encoded: Encoded, tasks: tuple[str, ...]) -> dict[str, Tensor]:
        """Return the network's output of each of `tasks`."""
        x = encoded.joined
        return {task: self.towers[task](x) for task in tasks}


def build(spec: schema.Bottom, encoder: FeatureEncoder, tasks: Tasks, generator: torch.Generator) -> Cascade:
    """Return the bottom that `spec` describes.

    Raises:
        TypeError: `spec` describes another architecture.
    """
    if not isinstance(spec, schema.Cascade):
        raise TypeError(f"Expected a cascade, got {spec.architecture}.")
    inputs = encoder.dense_width + encoder.embedded_width
    return Cascade(inputs, spec.hidden, tasks, generator=generator)


def chain_of(spec: schema.Bottom) -> tuple[str, ...]:
    """Return the tasks along which probabilities multiply; none in other architectures."""
    return spec.chain if isinstance(spec, schema.Cascade) else ()


def both(first: Tensor, second: Tensor) -> Tensor:
    """Return the logit of sigmoid(first) x sigmoid(second), elementwise.

    With odds a and b, 1 / p = (1 + 1 / a)(1 + 1 / b), so 1 / odds = 1/a + 1/b + 1/(ab); the logarithm of that
    sum neither overflows nor loses a probability near 0 or 1, and its gradient is finite.

    >>> both(torch.tensor([0.0, -80.0, 200.0]), torch.tensor([0.0, -80.0, 200.0]))
    tensor([  -1.0986, -160.0000,  199.3069])
    """
    return -torch.stack([-first, -second, -first - second]).logsumexp(0)


def first_probabilities(chain: tuple[str, ...], tasks: Mapping[str, schema.Task]) -> dict[str, float]:
    """Return what each link of the chain must begin with, so that every product begins at `initial`.

    >>> shop = {"click": schema.Binary(kind="binary", initial=0.2)}
    >>> shop["purchase"] = schema.Binary(kind="binary", initial=0.05)
    >>> first_probabilities(("click", "purchase"), shop)
    {'click': 0.2, 'purchase': 0.25}
    """
    initial = [task.initial for name in chain if isinstance(task := tasks[name], schema.Binary)]
    after = [later / earlier for earlier, later in itertools.pairwise(initial)]
    return dict(zip(chain, [*initial[:1], *after], strict=True))
