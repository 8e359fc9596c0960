"""What encoding a big export costs in memory: the growth of a fresh process's peak, per byte of the file.

Both exports are wide, as exports are: most of their columns are no feature and no label. The process first
encodes a small export, so that what is loaded once is not counted. Inside the growth: what Python, NumPy and
Polars allocate, and pages of the file and of the encoded arrays while they are mapped.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from client.config import load_merchant
from client.data.dataset import prepare

from .exports import agreement, write_export
from .memory import peak_bytes, resident_bytes
from .report import Result

_ROWS, _FEW = 1_200_000, 1_000


class Cost(NamedTuple):
    """Of encoding one export: bytes of the file, growth of the peak in bytes, seconds."""

    file: int
    growth: int
    seconds: float


def run() -> list[Result]:
    """Return the memory of both ways in, relative to the size of the export."""
    return [
        _result("encoding.table_memory", encode("table", rows=_ROWS), target=0.5),
        _result("encoding.shop_memory", encode("shop", rows=_ROWS), target=1.0),
    ]


def encode(way: str, *, rows: int) -> Cost:
    """Generate an export of `rows` rows and encode it in a fresh process.

    Args:
        way: `table` or `shop`.
        rows: Of the ready table, or order lines.
    """
    with tempfile.TemporaryDirectory() as folder:
        big, small = Path(folder) / "big", Path(folder) / "small"
        write_export(way, small, rows=_FEW)
        file = write_export(way, big, rows=rows)
        program = f"from {__name__} import print_growth; print_growth({way!r}, {str(small)!r}, {str(big)!r})"
        finished = subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True, check=True,
        )  # fmt: skip
        growth, seconds = finished.stdout.split()[-2:]
        return Cost(file=file.stat().st_size, growth=int(growth), seconds=float(seconds))


def print_growth(way: str, small: str, big: str) -> None:
    """Encode a small export and then a big one; print the growth of the peak in bytes, and the seconds."""
    federation = agreement(way)
    for folder in (small, big):
        before, started = resident_bytes(), perf_counter()
        prepare(load_merchant(Path(folder) / "merchant.toml", federation), federation)
    sys.stdout.write(f"{peak_bytes() - before} {perf_counter() - started:.1f}\n")


def _result(name: str, cost: Cost, *, target: float) -> Result:
    unit = f"growth of the peak / bytes of the file ({cost.growth >> 20} of {cost.file >> 20} MiB"
    return Result(
        id=name, value=cost.growth / cost.file, unit=f"{unit}, {cost.seconds:.0f} s)", target=target
    )
