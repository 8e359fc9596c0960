"""The private loop: one merchant after another under Opacus's hooks, every shopper a sample.

A step draws shoppers as the platform does, Poisson and untruncated. Opacus takes samples of one shape, so the
records of a shopper are padded to the most that one has, with weight 0. One wrapped model is reused.

Notation: U shoppers of a step, R records of a shopper, E experts, T tasks.
"""

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared_model.schema import MMoE
from simulations.vectorised.table import Table

from .ours import SEED
from .work import CLASSES, MOST_RECORDS, NUMBERS, RATE, UNITS_DRAWN, Work

_WIDTH, _EXPERTS = 64, 8
_OUTPUTS = 3 + len(CLASSES)


class OpacusLoop:
    """Federated averaging of private work, by Opacus.

    Attributes:
        shared: Parameters that are averaged, in the order of the model.
    """

    def __init__(self, work: Work) -> None:
        """Wrap the model once."""
        from opacus import GradSampleModule
        from opacus.optimizers import DPOptimizer

        self._work, self._source = work, torch.Generator().manual_seed(SEED)
        torch.manual_seed(SEED)
        network = _Mixture() if isinstance(work.contract.bottom, MMoE) else _Tower()
        self._model = GradSampleModule(network, loss_reduction="sum")
        self._optimizer = DPOptimizer(
            torch.optim.SGD(self._model.parameters(), lr=RATE),
            noise_multiplier=1.0,
            max_grad_norm=1.0,
            expected_batch_size=UNITS_DRAWN,
        )
        self.shared = [p.detach().clone() for p in self._model.parameters()]
        self._padded = [_padded(rows) for rows in work.merchants.values()]

    def round(self, number: int) -> None:
        """Train the merchants of a round, drawn at random, and average what they made."""
        asked = self._work.contract.federation.asked(len(self._padded))
        sums = [torch.zeros_like(p) for p in self.shared]
        for position in torch.randperm(len(self._padded), generator=self._source)[:asked].tolist():
            with torch.no_grad():
                for mine, common in zip(self._model.parameters(), self.shared, strict=True):
                    mine.copy_(common)
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # torch wonders at hooks on modules whose inputs need no gradient
                self._train(*self._padded[position])
            for total, mine in zip(sums, self._model.parameters(), strict=True):
                total.add_(mine.detach(), alpha=1 / asked)
        self.shared = sums

    def _train(self, x: Tensor, y: dict[str, Tensor], weight: Tensor) -> None:
        for _ in range(self._work.contract.federation.local_steps):
            drawn = torch.rand(len(x), generator=self._source) < UNITS_DRAWN / len(x)
            self._optimizer.zero_grad()
            logits = self._model(x[drawn])
            losses = _losses(logits, {task: labels[drawn] for task, labels in y.items()})
            (losses * weight[drawn]).sum().backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()


class _Tower(nn.Module):
    """Two layers, and for every output a shared and an own part; x (U, R, inputs), logits (U, R, outputs)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(NUMBERS, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _WIDTH), nn.ReLU())
        self.prior, self.own = (nn.Linear(_WIDTH, _OUTPUTS) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of all tasks."""
        z = self.body(x)
        found: Tensor = self.prior(z) + self.own(z)
        return found


class _Mixture(nn.Module):
    """Experts of two layers, mixed by a gate per task; shapes as for `_Tower`."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(NUMBERS, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _WIDTH), nn.ReLU())
            for _ in range(_EXPERTS)
        )
        self.gate = nn.Linear(NUMBERS, 4 * _EXPERTS)
        widths = (1, 1, 1, len(CLASSES))
        self.priors, self.owns = (nn.ModuleList(nn.Linear(_WIDTH, o) for o in widths) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of all tasks."""
        gates = self.gate(x).view(*x.shape[:-1], 4, _EXPERTS).softmax(-1)  # (U, R, T, E)
        mixed = torch.matmul(gates, torch.stack([expert(x) for expert in self.experts], -2))  # (U, R, T, H)
        heads = zip(mixed.unbind(-2), self.priors, self.owns, strict=True)
        return torch.cat([prior(z) + own(z) for z, prior, own in heads], -1)


def _losses(logits: Tensor, y: dict[str, Tensor]) -> Tensor:
    """Return the sum of the losses of the tasks in `y` for every record, shape (U, R)."""
    places = {"again": 0, "late": 1, "spent": 2}
    found = [_loss(task, logits[..., places.get(task, 3)], logits, y[task]) for task in y]
    return torch.stack(found).sum(0)


def _loss(task: str, logit: Tensor, logits: Tensor, y: Tensor) -> Tensor:
    if task == "which":
        return F.cross_entropy(logits[..., 3:].movedim(-1, 1), y.long(), reduction="none")
    if task == "spent":
        return 0.5 * (logit - y).square()
    return F.binary_cross_entropy_with_logits(logit, y, reduction="none")


def _padded(rows: Table) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Return numbers (U, R, inputs), labels (U, R) and weights (U, R) of the records of every shopper."""
    place = torch.arange(len(rows.unit)) - torch.searchsorted(rows.unit, rows.unit)
    where = rows.unit * MOST_RECORDS + place

    def spread(values: Tensor) -> Tensor:
        out: Any = values.new_zeros(rows.units * MOST_RECORDS, *values.shape[1:])
        out[where] = values
        found: Tensor = out.view(rows.units, MOST_RECORDS, *values.shape[1:])
        return found

    labels = {task: spread(rows.encoded.labels[task]) for task in rows.tasks}
    return spread(rows.encoded.numeric), labels, spread(rows.weight)
