"""How much memory a step takes beside its model and its rows, each way in a fresh process.

What torch loads once, when anything is first optimised, is loaded before the measurement begins.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from client.private import SecureNoise
from shared_model.features import Batch

from .memory import forget_peak, peak_bytes, resident_bytes
from .private_steps import Prepared, batches, private_way
from .private_stock import ghost_way, stock_way

WAYS: dict[str, Callable[[list[Batch]], Prepared]] = {
    "plain": stock_way,
    "ours": lambda rows: private_way(rows, SecureNoise()),
    "ghost": ghost_way,
}
"""Our engine draws secure noise here, as a merchant's does."""

_STEPS = 4


def extra_bytes(way: str, size: int) -> int:
    """Return the growth of the resident set's peak over four steps, in bytes, in a fresh process."""
    program = f"from {__name__} import print_extra; print_extra({way!r}, {size})"
    folder = Path(__file__).resolve().parents[2]
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True
    )
    return int(finished.stdout.splitlines()[-1])


def print_extra(way: str, size: int) -> None:
    """Take four steps and print by how many bytes the peak rose above model and rows."""
    torch.set_num_threads(1)
    _load_what_optimisers_need()
    prepared = WAYS[way](batches(size, _STEPS))
    forget_peak()
    before = resident_bytes()
    step = prepared()
    for i in range(_STEPS):
        step(i)
    sys.stdout.write(f"{peak_bytes() - before}\n")


def _load_what_optimisers_need() -> None:
    layer = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    optimizer.zero_grad()
    layer(torch.ones(1, 1)).sum().backward()
    optimizer.step()
