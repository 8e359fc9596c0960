"""Meta-learning in a local step: train a start that few steps on few rows lead away from.

A step draws rows and halves them by chance, each kind of row by itself. The model is adapted to the first
half, the support rows, by plain SGD. The gradient of the loss of the second half, the query rows, is taken
where that ended and applied where it began; how the end depends on the start is left out (first order).

`fomaml` adapts everything that is trained, `anil` the heads alone; under a `wide` bottom they are the same.
What a merchant does with the start after the release is the same as under any contract: serving heads are
fitted (the counterpart of `anil`), or all is tuned (the counterpart of `fomaml`).

Both are for contracts without privacy: the point at which the query gradient is taken depends on the support
rows, which no clipping of the query gradient can see (`shared_model/schema/private_checks.py`).

Source: Finn et al. (2017), "Model-Agnostic Meta-Learning", section 5.2 (first order),
https://arxiv.org/abs/1703.03400; Raghu et al. (2020), "Rapid Learning or Feature Reuse?", section 4 (ANIL),
https://arxiv.org/abs/1909.09157; Fallah et al. (2020), "Personalized Federated Learning", algorithm 1
(Per-FedAvg, whose local steps these are), https://arxiv.org/abs/2002.07948.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from shared_model.model import MultiTaskModel
from shared_model.parameters import load, take
from shared_model.schema import MetaLearning

SHARE = 0.5
"""Of a step's rows, and of the public divisor, for support and for query alike."""


def halved(rows: Sequence[Tensor], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the support and the query rows of a step, which have no row in common.

    Args:
        rows: The rows of each kind; of an odd number the query gets one more.
        generator: Deals them out.

    >>> support, query = halved([torch.arange(4), torch.tensor([9])], torch.Generator().manual_seed(0))
    >>> len(support), sorted(torch.cat([support, query]).tolist())
    (2, [0, 1, 2, 3, 9])
    """
    dealt = [kind[torch.randperm(len(kind), generator=generator)] for kind in rows]
    support, query = zip(*((kind[: len(kind) // 2], kind[len(kind) // 2 :]) for kind in dealt), strict=True)
    return torch.cat(support), torch.cat(query)


@contextmanager
def adapted(
    model: MultiTaskModel, names: Sequence[str], loss: Callable[[], Tensor], options: MetaLearning
) -> Iterator[None]:
    """Adapt `model` inside the block, and put it back where it was behind it.

    Gradients that are taken inside stay on the parameters, so an optimiser step behind the block applies
    them to the start.

    Args:
        model: Changed in place.
        names: Of the parameters that are trained.
        loss: Of the support rows.
        options: How far, and what.
    """
    start, parameters = take(model, names), dict(model.named_parameters())
    inner = [parameters[n] for n in names if options.method == "fomaml" or n.startswith("heads.")]
    try:
        for _ in range(options.inner_steps if inner else 0):
            _step(inner, loss(), options.inner_learning_rate)
        yield
    finally:
        load(model, start)


def _step(parameters: Sequence[torch.nn.Parameter], loss: Tensor, learning_rate: float) -> None:
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.sub_(gradient, alpha=learning_rate)
