"""The steps to compare a private one with: the same model in stock PyTorch, plain and under Opacus.

Categories are in one table, as the fastest of the plain variants has them, or in a table each.
"""

import itertools
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared_model.features import Batch

from .private_steps import (
    BUCKETS,
    CATEGORIES,
    CLIPPING_NORM,
    HIDDEN,
    NOISE_STD,
    NUMBERS,
    RATE,
    WIDTH,
    Prepared,
    Step,
)


class StockModel(nn.Module):
    """The model of `private_steps` from stock layers.

    Args:
        tables: 1 or 26.
        sparse: Whether tables have sparse gradients.
        buckets: Rows of a category.
    """

    def __init__(self, tables: int, *, sparse: bool, buckets: int = BUCKETS) -> None:
        super().__init__()
        rows = CATEGORIES * buckets // tables
        self.tables = nn.ModuleList(nn.Embedding(rows, WIDTH, sparse=sparse) for _ in range(tables))
        for weight in self.tables.parameters():
            nn.init.normal_(weight, std=0.05)
        widths = (CATEGORIES * WIDTH + NUMBERS, *HIDDEN)
        layers = [(nn.Linear(i, o), nn.ReLU()) for i, o in itertools.pairwise(widths)]
        self.tower = nn.Sequential(*(part for pair in layers for part in pair))
        self.heads = nn.ModuleList(nn.Linear(HIDDEN[-1], 1) for _ in range(3))

    def forward(self, ids: Tensor, numbers: Tensor) -> Tensor:
        """Return the logits of the tasks, shape (B, 3)."""
        columns = torch.split(ids, CATEGORIES // len(self.tables), 1)
        found = [table(column).flatten(1) for table, column in zip(self.tables, columns, strict=True)]
        z = self.tower(torch.cat([*found, numbers], 1))
        return torch.cat([head(z) for head in self.heads], 1)


Rows = tuple[Tensor, Tensor, Tensor, Tensor]
"""Rows of the tables (B, 26), numbers (B, 13), labels (B, 3), which of them are there (B, 3)."""


def stock_rows(batches: list[Batch], tables: int, buckets: int = BUCKETS) -> list[Rows]:
    """Return the same rows as a stock model wants them."""
    first = torch.arange(CATEGORIES) * (buckets if tables == 1 else 0)
    found = []
    for batch in batches:
        ids = torch.stack(tuple(batch.ids.values()), 1) + first
        labels = torch.stack(tuple(batch.labels.values()), 1)
        found.append((ids, batch.numeric, labels.nan_to_num(0.0), (~labels.isnan()).float()))
    return found


def stock_losses(logits: Tensor, labels: Tensor, present: Tensor) -> Tensor:
    """Return the sum of the tasks' losses of every row, shape (B,)."""
    logistic = F.binary_cross_entropy_with_logits(logits[:, :2], labels[:, :2], reduction="none")
    square = 0.5 * (logits[:, 2] - labels[:, 2]).square()
    return (logistic * present[:, :2]).sum(1) + square * present[:, 2]


def stock_way(batches: list[Batch], *, tables: int = 1, sparse: bool = True) -> Prepared:
    """Return a step of stock SGD without privacy."""
    model, rows = StockModel(tables, sparse=sparse), stock_rows(batches, tables)

    def prepared() -> Step:
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)

        def step(i: int) -> None:
            ids, numbers, labels, present = rows[i]
            optimizer.zero_grad()
            loss = stock_losses(model(ids, numbers), labels, present).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        return step

    return prepared


class _PerRowLoss(nn.Module):
    """The loss in the form that Opacus wraps."""

    reduction = "mean"

    def forward(self, logits: Tensor, labels: Tensor, present: Tensor) -> Tensor:
        found = stock_losses(logits, labels, present)
        return found if self.reduction == "none" else found.mean()


def ghost_way(batches: list[Batch]) -> Prepared:
    """Return a step of Opacus in its fastest mode, ghost clipping, as `make_private` sets it up."""
    from opacus import PrivacyEngine
    from torch.utils.data import DataLoader, TensorDataset

    model, rows = StockModel(1, sparse=False), stock_rows(batches, 1)

    def prepared() -> Step:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that its generator is not secure
            wrapped, optimizer, loss, _ = PrivacyEngine().make_private(
                module=model,
                optimizer=torch.optim.SGD(model.parameters(), lr=RATE),
                criterion=_PerRowLoss(),
                data_loader=DataLoader(TensorDataset(rows[0][0]), batch_size=len(batches[0])),
                noise_multiplier=NOISE_STD / CLIPPING_NORM,
                max_grad_norm=CLIPPING_NORM,
                grad_sample_mode="ghost",
                poisson_sampling=False,
            )
        optimizer.step_hook = None  # no accounting: its time is not the step's

        def step(i: int) -> None:
            ids, numbers, labels, present = rows[i]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch wonders at hooks on modules that read integers
                optimizer.zero_grad()
                loss(wrapped(ids, numbers), labels, present).backward()
                optimizer.step()

        return step

    return prepared
