"""What a benchmark found, beside the machine it was found on."""

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.table import Table

from shared_model import files

_PACKAGES = ("torch", "flwr", "numpy", "opacus")


@dataclass(frozen=True, kw_only=True)
class Result:
    """One number.

    Attributes:
        id: `benchmark.number`.
        value: As measured, in `unit`.
        unit: Of value and target.
        target: What the project promises.
        higher_is_better: Whether the target is a floor; otherwise it is a ceiling.
    """

    id: str
    value: float
    unit: str
    target: float
    higher_is_better: bool = False

    @property
    def met(self) -> bool:
        """Whether the promise is kept.

        >>> Result(id="overhead.small_ms", value=0.6, unit="ms", target=1.0).met
        True
        """
        return self.value >= self.target if self.higher_is_better else self.value <= self.target


def environment() -> dict[str, Any]:
    """Return what a reader needs to judge the numbers: processor, versions, threads and how busy it was."""
    import torch

    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{package: _version(package) for package in _PACKAGES},
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
    }


def write(path: Path, results: Iterable[Result]) -> None:
    """Write environment and results to `path` as JSON."""
    lines = [
        {"id": r.id, "value": r.value, "unit": r.unit, "target": r.target, "met": r.met} for r in results
    ]
    content = json.dumps({"environment": environment(), "results": lines}, indent=2)
    files.write(path, f"{content}\n".encode(), durable=False)


def table(name: str, results: Iterable[Result]) -> Table:
    """Return the results of a benchmark, each beside its target, for a terminal."""
    drawn = Table(title=name, title_justify="left")
    for heading in ("figure", "value", "target", "unit", "met"):
        drawn.add_column(heading, justify="right" if heading in ("value", "target") else "left")
    for r in results:
        bound = "at least" if r.higher_is_better else "at most"
        met = "yes" if r.met else "[red]no[/red]"
        drawn.add_row(r.id, f"{r.value:.3g}", f"{bound} {r.target:g}", r.unit, met)
    return drawn


def _cpu() -> str:
    """Return the processor's name as Linux gives it, and otherwise as Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
