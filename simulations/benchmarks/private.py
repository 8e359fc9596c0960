"""What a private step costs beside a plain one and beside Opacus, and how exact it is.

Times are processor seconds of this process on one thread, which other programs disturb less than they disturb
a clock. All ways take turns, step by step, and a figure is the median over turns of the ratio of two
neighbouring steps. The plain step is the fastest of three stock ones: one sparse table, 26 sparse tables, one
dense table.
"""

from collections.abc import Mapping
from statistics import median
from time import process_time

import torch

from client.private import Noise, SecureNoise, SeededNoise

from . import private_exactness, private_memory
from .private_steps import Step, batches, federation, private_engine, private_model, private_step, private_way
from .private_stock import ghost_way, stock_way
from .report import Result

_SIZES = (512, 2048, 4096)
_BATCHES = 4
_TURNS, _SLOW_TURNS, _WARM = 25, 3, 3
_SLOW = ("dense", "ghost")
"""Ways that take about a second a step."""

_LOCAL_STEPS, _ROUND_ROWS = 50, 2048

_TARGETS = {
    "step": {512: 1.35, 2048: 1.15, 4096: 1.15},
    "secure": {512: 1.65, 2048: 1.30, 4096: 1.25},
    "ghost": {512: 60.0, 2048: 18.0, 4096: 11.0},
}


def run() -> list[Result]:
    """Return times, memory and exactness, each beside what is promised."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [*_steps(), *_round(), *_memory(), *_exactness()]
    finally:
        torch.set_num_threads(threads)


def _steps() -> list[Result]:
    results = []
    for size in _SIZES:
        seconds = _taking_turns(size)
        plain = min(("sparse", "tables", "dense"), key=lambda way: median(seconds[way]))
        ours = _ratio(seconds, "ours", plain)
        secure = _ratio(seconds, "secure", plain)
        ghost = _ratio(seconds, "ghost", "ours")
        unit = f"times the best plain step ({1000 * median(seconds[plain]):.1f} ms, {plain})"
        times = f"times our step ({1000 * median(seconds['ours']):.1f} ms)"
        results += [
            Result(id=f"private.step_{size}", value=ours, unit=unit, target=_TARGETS["step"][size]),
            Result(id=f"private.secure_{size}", value=secure, unit=unit, target=_TARGETS["secure"][size]),
            Result(
                id=f"private.ghost_{size}", value=ghost, unit=times, target=_TARGETS["ghost"][size],
                higher_is_better=True,
            ),
        ]  # fmt: skip
    return results


def _taking_turns(size: int) -> dict[str, list[float]]:
    """Return the seconds of every way's steps, turn by turn."""
    rows = batches(size, _BATCHES)
    steps = {
        "sparse": stock_way(rows)(),
        "tables": stock_way(rows, tables=26)(),
        "dense": stock_way(rows, sparse=False)(),
        "ours": private_way(rows, seeded())(),
        "secure": private_way(rows, SecureNoise())(),
        "ghost": ghost_way(rows)(),
    }
    seconds: dict[str, list[float]] = {way: [] for way in steps}
    for turn in range(_WARM + _TURNS):
        for way, step in steps.items():
            if way not in _SLOW or turn < _WARM + _SLOW_TURNS:
                seconds[way].append(_seconds(step, turn % _BATCHES))
    return {way: found[_WARM:] for way, found in seconds.items()}


def _ratio(seconds: Mapping[str, list[float]], above: str, below: str) -> float:
    return median(a / b for a, b in zip(seconds[above], seconds[below], strict=False))


def _seconds(step: Step, batch: int) -> float:
    begun = process_time()
    step(batch)
    return process_time() - begun


def _round() -> list[Result]:
    """Return what a round of 50 steps costs: the engine, the steps, each after a plain one, the release."""
    ours = median(_round_ratio(seeded()) for _ in range(3))
    secure = median(_round_ratio(SecureNoise()) for _ in range(3))
    unit = "times 50 plain steps of 2048 rows"
    return [
        Result(id="private.round", value=ours, unit=unit, target=1.3),
        Result(id="private.round_secure", value=secure, unit=unit, target=1.4),
    ]


def _round_ratio(noise: Noise) -> float:
    contract, rows = federation(), batches(_ROUND_ROWS, _BATCHES)
    model, plain = private_model(contract), stock_way(rows)()
    private_engine(model, _ROUND_ROWS, noise)  # a merchant's later rounds find the tables in one storage
    for batch in range(_WARM):
        plain(batch)
    begun = process_time()
    machine = private_engine(model, _ROUND_ROWS, noise)
    ours, stock = process_time() - begun, 0.0
    step = private_step(model, contract, rows, machine)
    for turn in range(_LOCAL_STEPS):
        stock += _seconds(plain, turn % _BATCHES)
        ours += _seconds(step, turn % _BATCHES)
    begun = process_time()
    machine.release()
    return (ours + process_time() - begun) / stock


def _memory() -> list[Result]:
    extra = {
        size: {way: private_memory.extra_bytes(way, size) for way in private_memory.WAYS} for size in _SIZES
    }
    plain = max(found["ours"] / found["plain"] for found in extra.values())
    ghost = max(found["ours"] / found["ghost"] for found in extra.values())
    worst = f"the worst of {', '.join(map(str, _SIZES))} rows"
    return [
        Result(id="private.memory", value=plain, unit=f"times the plain step's, {worst}", target=1.0),
        Result(id="private.memory_ghost", value=ghost, unit=f"times Opacus's, {worst}", target=1 / 8),
    ]


def _exactness() -> list[Result]:
    return [
        Result(
            id="private.exactness", value=private_exactness.deviation(), unit="of C", target=1e-6
        ),
        Result(
            id="private.sensitivity", value=private_exactness.sensitivity(), unit="clipping norms",
            target=1 + 1e-6,
        ),
    ]  # fmt: skip


def seeded() -> SeededNoise:
    """Return noise from torch's own generator."""
    return SeededNoise(torch.Generator().manual_seed(0))
