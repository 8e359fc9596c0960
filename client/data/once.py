"""What a training releases once and reads ever after: noised sums, and the file that keeps them.

What was drawn is stored before it is used, so a merchant that starts again reads the same numbers and pays
nothing.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared_model.errors import StateError
from shared_model.files import read_tensors
from shared_model.protocol import Instruction

from .normals import Normals

_GRID = 2.0**-12
"""Noised sums are rounded to this share of the noise, so that their last bits tell nothing."""


def with_noise(exact: NDArray[np.float64], noise_std: float, noise: Normals) -> NDArray[np.float64]:
    """Return sums, of any shape, with Gaussian noise of `noise_std` on each, rounded to a public grid.

    Each call is a release of its own.

    Source: Dwork and Roth (2014), appendix A, for the mechanism.
    """
    drawn = noise.normal_(torch.empty(exact.shape, dtype=torch.float64)).numpy()
    grid = noise_std * _GRID
    told: NDArray[np.float64] = np.round((exact + noise_std * drawn) / grid) * grid
    return told


def file_of(state: Path, what: str, instruction: Instruction) -> Path:
    """Return where `what` one training released lies; lineages come from elsewhere, so hashed."""
    training = hashlib.sha256(f"{instruction.fingerprint}/{instruction.lineage}".encode()).hexdigest()
    return state / what / f"{training[:32]}.safetensors"


def stored(path: Path, version: str) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """Return tensors and metadata of what was stored, or None where nothing was.

    Raises:
        StateError: The file is damaged or of another version.
    """
    try:
        tensors, metadata = read_tensors(path)
    except FileNotFoundError:
        return None
    if metadata.get("version") != version:
        raise StateError(f"{path} has version {metadata.get('version')!r}, this is {version}. Keep it.")
    return tensors, metadata
