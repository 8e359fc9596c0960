"""What computed a run: versions, this program, and the machine as far as it decides about bits."""

import hashlib
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from platform import machine, platform, processor, python_version

import torch

PACKAGES = ("fedbazaar", "flwr", "torch", "opacus", "numpy", "scipy", "polars")
ROOT = Path(__file__).parents[2]
_OURS = ("client", "server", "shared_model", "simulations")
_CPU = Path("/proc/cpuinfo")


def environment() -> dict[str, str]:
    """Return everything that a run's bits depend on besides its inputs, by name.

    `instructions` is the vector unit that torch's kernels use, `sources` a hash of this program's own files
    and `commit` the one it was checked out at, where it was; a commit with changes of one's own ends in `+`.
    """
    found = {"python": python_version(), "platform": platform()}
    found |= {name: version(name) for name in PACKAGES}
    found |= {"cpu": _cpu(), "instructions": torch.backends.cpu.get_cpu_capability()}
    found |= {"threads": str(torch.get_num_threads()), "sources": _sources()}
    commit = _commit(ROOT)
    return {**found, "commit": commit} if commit else found


def _cpu() -> str:
    lines = _CPU.read_text().splitlines() if _CPU.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else processor() or 'unknown'} ({machine()})"


@cache
def _sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(path for package in _OURS for path in (ROOT / package).rglob("*.py")):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _commit(folder: Path) -> str:
    """Return the commit that a folder stands at; empty where it is no checkout, or git is not there."""
    if not (folder / ".git").exists():
        return ""
    try:
        head, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain", "-uno")
    except (OSError, subprocess.SubprocessError):
        return ""
    return head + ("+" if changes else "")


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True, timeout=10).stdout.strip()
