"""One training step of the same model on the same rows, in every way that the benchmark compares.

The model: 26 categories in tables of 100,000 x 16, 13 numbers, layers of 256, 128 and 64, three tasks; a
fifth of the labels is missing. The stock model is plain PyTorch, all categories in one table.
"""

import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from client.private import Engine, Group, Mode, Noise, engine
from shared_model.features import Batch
from shared_model.heads import row_losses
from shared_model.model import MultiTaskModel, build
from shared_model.schema import Federation, parse_federation

CATEGORIES, NUMBERS, BUCKETS, WIDTH, HIDDEN = 26, 13, 100_000, 16, (256, 128, 64)
RATE, CLIPPING_NORM, NOISE_STD = 0.1, 1.0, 1.0

Step = Callable[[int], None]
"""`step(i)` trains on batch i."""


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


# --- ours ---------------------------------------------------------------------------------------------


def private_model(contract: Federation) -> MultiTaskModel:
    """Return the project's own model of the contract."""
    return build(contract, generator=torch.Generator().manual_seed(0))


def one_group(model: nn.Module) -> list[Group]:
    """Return all parameters as one clip group."""
    names = tuple(name for name, _ in model.named_parameters())
    return [Group(name="all", parameters=names, clipping_norm=CLIPPING_NORM, noise_std=NOISE_STD)]


def losses(model: MultiTaskModel, contract: Federation, batch: Batch) -> Tensor:
    """Return the sum of the tasks' losses of every row, shape (B,)."""
    logits = model(batch)
    return sum(
        (row_losses(task, logits[t], batch.labels[t]).value for t, task in contract.tasks.items()),
        start=batch.numeric.new_zeros(()),
    )


def private_step(rows: list[Batch], noise: Noise, mode: Mode = "bookkeeping") -> tuple[Step, Engine]:
    """Return our step, one row a unit, and its engine."""
    contract = federation()
    model = private_model(contract)
    size = len(rows[0])
    machine = engine(mode, model, one_group(model), learning_rate=RATE, divisor=float(size), noise=noise)
    units = torch.arange(size)

    def step(i: int) -> None:
        machine.step(lambda: losses(model, contract, rows[i]), units, size)

    return step, machine


# --- stock PyTorch ------------------------------------------------------------------------------------


class StockModel(nn.Module):
    """The same model from stock layers, its categories in one table."""

    def __init__(self, *, sparse: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(CATEGORIES * BUCKETS, WIDTH, sparse=sparse)
        nn.init.normal_(self.table.weight, std=0.05)
        widths = (CATEGORIES * WIDTH + NUMBERS, *HIDDEN)
        layers = [(nn.Linear(i, o), nn.ReLU()) for i, o in zip(widths, HIDDEN, strict=False)]
        self.tower = nn.Sequential(*(part for pair in layers for part in pair))
        self.heads = nn.ModuleList(nn.Linear(HIDDEN[-1], 1) for _ in range(3))

    def forward(self, ids: Tensor, numbers: Tensor) -> Tensor:
        """Return the logits of the tasks, shape (B, 3)."""
        z = self.tower(torch.cat([self.table(ids).flatten(1), numbers], 1))
        return torch.cat([head(z) for head in self.heads], 1)


StockBatch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Rows of the one table (B, 26), numbers (B, 13), labels (B, 3), which of them are there (B, 3)."""


def stock_batches(rows: list[Batch]) -> list[StockBatch]:
    """Return the same rows as a stock model wants them."""
    first = torch.arange(CATEGORIES) * BUCKETS
    found = []
    for batch in rows:
        ids = torch.stack(tuple(batch.ids.values()), 1) + first
        labels = torch.stack(tuple(batch.labels.values()), 1)
        found.append((ids, batch.numeric, labels.nan_to_num(0.0), (~labels.isnan()).float()))
    return found


def stock_losses(logits: Tensor, labels: Tensor, present: Tensor) -> Tensor:
    """Return the sum of the tasks' losses of every row, shape (B,)."""
    logistic = F.binary_cross_entropy_with_logits(logits[:, :2], labels[:, :2], reduction="none")
    square = 0.5 * (logits[:, 2] - labels[:, 2]).square()
    return (logistic * present[:, :2]).sum(1) + square * present[:, 2]


def stock_step(rows: list[Batch], *, sparse: bool) -> Step:
    """Return a step of stock SGD without privacy, with sparse or dense gradients of the table."""
    model, data = StockModel(sparse=sparse), stock_batches(rows)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)

    def step(i: int) -> None:
        ids, numbers, labels, present = data[i]
        optimizer.zero_grad()
        stock_losses(model(ids, numbers), labels, present).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


class _PerRowLoss(nn.Module):
    """The loss in the form that Opacus wraps."""

    reduction = "mean"

    def forward(self, logits: Tensor, labels: Tensor, present: Tensor) -> Tensor:
        found = stock_losses(logits, labels, present)
        return found if self.reduction == "none" else found.mean()


def ghost_step(rows: list[Batch]) -> Step:
    """Return a step of Opacus in its fastest mode, ghost clipping."""
    from opacus import PrivacyEngine
    from torch.utils.data import DataLoader, TensorDataset

    data = stock_batches(rows)
    model = StockModel(sparse=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Opacus warns that its generator is not secure, and of renamed hooks
        wrapped, optimizer, loss, _ = PrivacyEngine().make_private(
            module=model,
            optimizer=torch.optim.SGD(model.parameters(), lr=RATE),
            criterion=_PerRowLoss(),
            data_loader=DataLoader(TensorDataset(data[0][0]), batch_size=len(rows[0])),
            noise_multiplier=NOISE_STD / CLIPPING_NORM,
            max_grad_norm=CLIPPING_NORM,
            grad_sample_mode="ghost",
            poisson_sampling=False,
        )
    optimizer.step_hook = None

    def step(i: int) -> None:
        ids, numbers, labels, present = data[i]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer.zero_grad()
            loss(wrapped(ids, numbers), labels, present).backward()
            optimizer.step()

    return step
