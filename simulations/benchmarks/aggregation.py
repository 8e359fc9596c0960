"""How fast replies are added up, and how much memory a model with big tables takes in this process.

What `aggregation.bandwidth` counts. Adding a float32 reply of n numbers has to read the reply (4n bytes) and
the start of the round (4n), and to read and write the float64 sums (8n each): 24n bytes. Copying n float32
numbers reads 4n bytes and writes 4n. The figure is bytes moved a second in the one over bytes moved a second
in the other, in turns, on arrays far larger than the caches, one thread, in processor time.
`aggregation.replies` is plainer: bytes of replies added a second over bytes copied a second; by the same
count it can never be above 8n / 24n.

`aggregation.bottoms` is the growth of the peak of a process that trains merchants one after another, over the
bytes of the model in float32. The process has trained a small model before, so that what it imports is not
counted, and gives back every freed MB at once (`MALLOC_MMAP_THRESHOLD_`), so that what glibc keeps for later
is not either. What the sums of touched rows take is counted.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np
import polars as pl
import tomli_w
import torch

from server import aggregation
from server.aggregation import Update, WeightedSum
from shared_model.precision import PRECISIONS
from simulations import federated
from simulations.federated import Site

from .memory import forget_peak, peak_bytes, resident_bytes
from .report import Result

_NUMBERS = 20_000_000
"""Of 4 bytes each: 80 MB."""

_TURNS = 9

_TABLES, _ROWS, _WIDTH = 26, 100_000, 16
"""166 MB in float32."""

_MERCHANTS, _EXAMPLES = 20, 200


def run() -> list[Result]:
    """Return the share of the memory's bandwidth that adding reaches, and the peak memory of a training."""
    copied, added = seconds(_NUMBERS, _TURNS)
    unit = f"of memory copies, {8 * _NUMBERS / copied / 1e9:.1f} GB/s moved"
    return [
        Result(
            id="aggregation.bandwidth",
            value=(24 / added) / (8 / copied),
            unit=unit,
            target=0.5,
            higher_is_better=True,
        ),
        Result(
            id="aggregation.replies",
            value=copied / added,
            unit="of bytes copied, at most a third",
            target=0.15,
            higher_is_better=True,
        ),
        Result(
            id="aggregation.bottoms",
            value=bottoms(),
            unit=f"peak over a model of {4 * _TABLES * _ROWS * _WIDTH / 1e6:.0f} MB, {_MERCHANTS} merchants",
            target=3.0,
        ),
    ]


def seconds(numbers: int, turns: int) -> tuple[float, float]:
    """Return the median processor seconds of copying float32 numbers, and of adding a reply of them."""
    generator = np.random.default_rng(0)
    start = {"w": generator.standard_normal(numbers, np.float32)}
    reply = {"w": start["w"] + np.float32(0.01)}
    target, total = np.zeros_like(start["w"]), WeightedSum()
    update = Update(reply, start, PRECISIONS["float32"])
    total = aggregation.add(total, update, weight=1.0, names=["w"])  # so that all memory is there
    copying, adding = [], []
    for _ in range(turns):
        began = process_time()
        np.copyto(target, reply["w"])
        between = process_time()
        total = aggregation.add(total, update, weight=1.5, names=["w"])
        adding.append(process_time() - between)
        copying.append(between - began)
    return median(copying), median(adding)


def bottoms(merchants: int = _MERCHANTS) -> float:
    """Return the growth of the peak of a fresh process that trains two rounds, in models of float32."""
    program = f"from {__name__} import print_growth; print_growth({merchants})"
    folder = Path(__file__).resolve().parents[2]
    settings = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True, env=settings
    )
    return int(finished.stdout.splitlines()[-1]) / (4 * _TABLES * _ROWS * _WIDTH)


def print_growth(merchants: int) -> None:
    """Train two rounds of merchants with big tables; print the growth of the peak in bytes."""
    torch.set_num_threads(1)
    _train(2, rows=1_000)
    forget_peak()
    before = resident_bytes()
    _train(merchants, rows=_ROWS)
    sys.stdout.write(f"{peak_bytes() - before}\n")


def _train(merchants: int, *, rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = _site(Path(folder), merchants, rows)
        federated.train(site, directory=Path(folder) / "run", lineage="benchmark", seed=0)


def _site(folder: Path, count: int, rows: int) -> Site:
    """Write small merchants whose rows name values of big tables."""
    contract = folder / "federation.toml"
    contract.write_text(tomli_w.dumps(_contract(rows)), encoding="utf-8")
    merchants = {}
    for number in range(count):
        name = f"merchant-{number:02d}"
        merchants[name] = folder / name / "merchant.toml"
        merchants[name].parent.mkdir()
        _examples(number).write_parquet(merchants[name].parent / "examples.parquet")
        merchants[name].write_text(tomli_w.dumps(_merchant(name)), encoding="utf-8")
    return Site(contract=contract, merchants=merchants)


def _contract(rows: int) -> dict[str, object]:
    table = {"kind": "categorical", "buckets": rows, "width": _WIDTH}
    return {
        "federation": {"name": "big-tables", "rounds": 2, "local_steps": 2, "expected_batch": 64},
        "features": {"x": {"kind": "numeric"}, **{f"c{i}": table for i in range(_TABLES)}},
        "tasks": {"bought": {"kind": "binary"}},
        "bottom": {"architecture": "shared_bottom", "hidden": [16]},
    }


def _merchant(name: str) -> dict[str, object]:
    return {
        "schema": "shop-v1",
        "merchant": {"name": name},
        "table": {
            "source": "examples.parquet",
            "time": "day",
            "unit": "who",
            "labels": {"bought": "bought"},
        },
        "split": {"validation_days": 10, "test_days": 10},
    }


def _examples(seed: int) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    last = pl.date(2024, 1, 1) + pl.duration(days=_EXAMPLES - 1)
    return pl.DataFrame(
        {
            "day": pl.date_range(pl.date(2024, 1, 1), last, eager=True),
            "who": [f"shopper-{i}" for i in range(_EXAMPLES)],
            "x": draw.normal(size=_EXAMPLES),
            **{f"c{i}": draw.integers(0, _ROWS, _EXAMPLES).astype(str) for i in range(_TABLES)},
            "bought": draw.integers(0, 2, _EXAMPLES),
        }
    )
