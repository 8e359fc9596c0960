"""The private step that the benchmark measures, its model and its rows.

The model: 26 categories in tables of 100,000 x 16, 13 numbers, layers of 256, 128 and 64, three tasks; a
fifth of the labels is missing.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from client.private import Engine, Group, Noise, engine
from shared_model.features import Batch
from shared_model.losses import row_losses
from shared_model.model import MultiTaskModel, build
from shared_model.schema import Federation, parse_federation

CATEGORIES, NUMBERS, BUCKETS, WIDTH, HIDDEN = 26, 13, 100_000, 16, (256, 128, 64)
RATE, CLIPPING_NORM, NOISE_STD = 0.1, 1.0, 1.0

Step = Callable[[int], None]
"""`step(i)` trains on batch i."""

Prepared = Callable[[], Step]
"""A model and rows that wait for what trains them."""


def federation(buckets: int = BUCKETS) -> Federation:
    """Return the contract of the model."""
    features: dict[str, dict[str, object]] = {
        f"category_{i:02}": {"kind": "categorical", "buckets": buckets, "width": WIDTH}
        for i in range(CATEGORIES)
    }
    features |= {f"number_{i:02}": {"kind": "numeric"} for i in range(NUMBERS)}
    return parse_federation(
        {
            "federation": {"name": "private-step", "rounds": 1},
            "features": features,
            "tasks": {
                "click": {"kind": "binary", "head": "local"},
                "buy": {"kind": "binary", "head": "local"},
                "value": {"kind": "regression", "head": "local"},
            },
            "bottom": {"architecture": "shared_bottom", "hidden": list(HIDDEN)},
        }
    )


def batches(rows: int, count: int, buckets: int = BUCKETS) -> list[Batch]:
    """Return `count` batches; ids are skewed, as products and shoppers are, and never missing."""
    return [_batch(rows, buckets, torch.Generator().manual_seed(seed)) for seed in range(count)]


def _batch(rows: int, buckets: int, generator: torch.Generator) -> Batch:
    uniform = torch.rand(rows, CATEGORIES, generator=generator)
    ids = 1 + (uniform.pow(4) * (buckets - 1)).long().clamp(max=buckets - 2)
    labels = {
        "click": (torch.rand(rows, generator=generator) > 0.7).float(),
        "buy": (torch.rand(rows, generator=generator) > 0.9).float(),
        "value": torch.randn(rows, generator=generator),
    }
    missing = torch.rand(rows, 3, generator=generator) < 0.2
    return Batch(
        numeric=torch.randn(rows, NUMBERS, generator=generator),
        ids={f"category_{i:02}": ids[:, i].contiguous() for i in range(CATEGORIES)},
        labels={t: y.masked_fill(missing[:, i], torch.nan) for i, (t, y) in enumerate(labels.items())},
    )


def private_model(contract: Federation) -> MultiTaskModel:
    """Return the project's own model of the contract."""
    return build(contract, generator=torch.Generator().manual_seed(0))


def losses(model: MultiTaskModel, contract: Federation, batch: Batch) -> Tensor:
    """Return the sum of the tasks' losses of every row, shape (B,)."""
    logits = model(batch)
    return sum(
        (row_losses(task, logits[t], batch.labels[t]).value for t, task in contract.tasks.items()),
        start=batch.numeric.new_zeros(()),
    )


def private_way(rows: list[Batch], noise: Noise) -> Prepared:
    """Return our step, every row a unit; the engine is made when the step is."""
    contract, size = federation(), len(rows[0])
    model = private_model(contract)

    def prepared() -> Step:
        return private_step(model, contract, rows, private_engine(model, size, noise))

    return prepared


def private_step(model: MultiTaskModel, contract: Federation, rows: list[Batch], machine: Engine) -> Step:
    """Return a step of `machine` on `rows`."""
    size = len(rows[0])
    units = torch.arange(size)

    def step(i: int) -> None:
        machine.step(lambda: losses(model, contract, rows[i]), units, size)

    return step


def private_engine(model: MultiTaskModel, size: int, noise: Noise) -> Engine:
    """Return the engine for batches of `size` rows, all parameters in one clip group."""
    names = tuple(name for name, _ in model.named_parameters())
    group = Group(name="all", parameters=names, clipping_norm=CLIPPING_NORM, noise_std=NOISE_STD)
    return engine("bookkeeping", model, [group], learning_rate=RATE, divisor=float(size), noise=noise)
