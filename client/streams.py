"""Named streams of random numbers, one for each purpose of a merchant."""

import hashlib
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray


def stream(seed: int | None, merchant: str, purpose: str, number: int) -> torch.Generator:
    """Return the generator of one purpose of one merchant under a seed; without a seed a fresh one.

    It depends on nothing else, so what one merchant draws changes nothing for the others.
    """
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        name = f"{seed}/{merchant}/{purpose}/{number}"
        generator.manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big"))
    return generator


def uniform(source: Callable[[], torch.Generator]) -> Callable[[int], NDArray[np.float32]]:
    """Return what draws so many independent numbers from U[0, 1) (`shared_model.precision.Uniform`).

    Args:
        source: Makes the generator; called before the first number is drawn, if any is.
    """
    made = cache(source)
    return lambda size: torch.rand(size, generator=made()).numpy()
