"""Ten thousand merchants on one machine: seconds, memory, and whether each costs the same in any number.

Merchants of about 200 training rows, of which 500 are asked in a round, 20 rounds: four tasks over eight
numbers and two categories, a shared bottom of 64-64, private residuals. Plain: four steps of 50 rows.
Private: eight steps of a Poisson sample of about twenty shoppers, up to four rows of each. Every market is
trained in a process of its own by the real coordinator, on merchants in memory. Seconds are of processor
time: one thread works, so they are what passes on an idle machine.
"""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from shared_model.schema import Federation, parse_federation

from ..scale.work import Size, parsed, sized
from ..scenarios.options import Fixed, ScenarioMarket
from .report import Result

ROWS, PER_ROUND, ROUNDS = 300, 500, 20
"""Two thirds of the rows train, the rest are for judging and not kept."""
FEW, MANY = 100, 10_000
_CATEGORIES, _NUMBERS, _TASKS = 2, 8, 4

_PRIVACY = {"unit": "shopper", "max_records": 4, "epsilon": 8.0, "delta": 1e-6, "clipping_norm": 1.0}


def run() -> list[Result]:
    """Train markets of a hundred and of ten thousand merchants, plain, and of ten thousand, private."""
    few, many, private = measured(FEW), measured(MANY), measured(MANY, private=True)
    flat = 100 * abs(_each(many) / _each(few) - 1)
    return [
        Result(id="scale.seconds", value=seconds(many), unit="s", target=15.0),
        Result(id="scale.private_seconds", value=seconds(private), unit="s", target=45.0),
        Result(
            id="scale.gigabytes",
            value=max(many.measured.peak, private.measured.peak) / 1e9,
            unit="GB, peak of the process",
            target=1.0,
        ),
        Result(
            id="scale.flatness",
            value=flat,
            unit=f"% between {FEW} and {MANY} merchants, seconds per merchant asked",
            target=20.0,
        ),
    ]


def seconds(size: Size) -> float:
    """Return the seconds of all rounds, of processor time; drawing made-up rows is not training."""
    return size.measured.training


def _each(size: Size) -> float:
    return size.measured.per_merchant(size.asked)


def measured(merchants: int, *, private: bool = False) -> Size:
    """Train a market in a process of its own."""
    program = f"from {__name__} import print_size; print_size({merchants}, {private})"
    folder = Path(__file__).resolve().parents[2]
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True
    )
    return parsed(json.loads(finished.stdout.splitlines()[-1]))


def print_size(merchants: int, private: bool) -> None:
    """Train a market here, and print what came of it as one line of JSON."""
    torch.set_num_threads(1)
    market = ScenarioMarket(merchants=merchants, size=Fixed(kind="fixed", rows=ROWS), rows_per_shopper=2.0)
    size = sized(contract(private=private), market, engine="auto", seed=0, judged=20)
    print(json.dumps(asdict(size)))


def contract(*, private: bool) -> Federation:
    """Return the contract of the benchmark."""
    numbers = {f"number_{i}": {"kind": "numeric"} for i in range(_NUMBERS)}
    categories = {
        f"category_{i}": {"kind": "categorical", "buckets": 16, "width": 2} for i in range(_CATEGORIES)
    }
    tables: dict[str, Any] = {
        "federation": {
            "name": "scale",
            "rounds": ROUNDS,
            "merchants_per_round": PER_ROUND,
            "local_steps": 8 if private else 4,
            "expected_batch": 20 if private else 50,
        },
        "local": {"learning_rate": 0.1},
        "features": {**numbers, **categories},
        "tasks": {f"task_{i}": {"kind": "binary"} for i in range(_TASKS)},
        "bottom": {"architecture": "shared_bottom", "hidden": [64, 64]},
        "tiers": {"any": {"shoppers": 100 if private else 0, "weight": 1.0}},
    }
    return parse_federation(tables | ({"privacy": _PRIVACY} if private else {}))
