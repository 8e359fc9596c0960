"""The plain loop of the standard work, as a careful user writes it: one model and one optimiser, reused.

Rows are put in order once a round and then sliced; there is no data loader and no copy of the model.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared_model.model import initial_shared
from shared_model.protocol import SharedArrays

from .ours import SEED
from .work import BATCH, RATE, Work

_LAYERS = ("bottom.tower.layers.0", "bottom.tower.layers.1", "heads.late.prior")
NAMES = tuple(f"{layer}.{kind}" for layer in _LAYERS for kind in ("weight", "bias"))
"""What the platform calls the parameters of a network of three layers, in its order."""


class StockLoop:
    """Federated averaging of the standard work."""

    def __init__(self, work: Work) -> None:
        """Put everything in place before the first round."""
        self._asked = work.contract.federation.asked(len(work.merchants))
        rows = [(r.encoded.numeric, r.encoded.labels["late"]) for r in work.merchants.values()]
        self._rows, self._source = rows, torch.Generator().manual_seed(SEED)
        initial = initial_shared(work.contract, SEED)
        inputs = work.test.numeric.shape[1]
        layers = [nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)]
        self._model = nn.Sequential(*layers)
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=RATE)
        self._shared = [torch.from_numpy(initial[name]).clone() for name in NAMES]

    def round(self, number: int) -> None:
        """Train the merchants of a round, drawn at random, and average what they made."""
        sums = [torch.zeros_like(p) for p in self._shared]
        for position in torch.randperm(len(self._rows), generator=self._source)[: self._asked].tolist():
            with torch.no_grad():
                for mine, common in zip(self._model.parameters(), self._shared, strict=True):
                    mine.copy_(common)
            self._train(*self._rows[position])
            for total, mine in zip(sums, self._model.parameters(), strict=True):
                total.add_(mine.detach(), alpha=1 / self._asked)
        self._shared = sums

    def arrays(self) -> SharedArrays:
        """Return what travels as the platform names it."""
        return {name: tensor.numpy() for name, tensor in zip(NAMES, self._shared, strict=True)}

    def _train(self, x: Tensor, y: Tensor) -> None:
        order = torch.randperm(len(x), generator=self._source)
        x, y = x[order], y[order].unsqueeze(1)
        for first in range(0, len(x), BATCH):
            part = slice(first, first + BATCH)
            self._optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(self._model(x[part]), y[part]).backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
