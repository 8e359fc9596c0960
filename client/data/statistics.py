"""Noised statistics across shoppers: what private training reads in the place of the trailing columns.

One release a training, with its own share of the budget. What was drawn is stored before it is used, so a
merchant that starts again reads the same numbers and pays nothing.

Notation: T blocks, B moments.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from client.config import MerchantConfig
from shared_model.files import write_tensors
from shared_model.protocol import Instruction
from shared_model.schema import Federation

from . import once
from .blocks import SENSITIVITY, SERIES, block_of
from .normals import Normals
from .private_build import read_block_sums
from .rows.trailing import DELIVERY_STRENGTH, REVIEW_STRENGTH, USUAL_BAD_SHARE, USUAL_LOG_DAYS

VERSION = "1"


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Sums over blocks (`blocks.block_sums`), shape (T,) each.

    Attributes:
        orders: Number of orders that were placed.
        deliveries: Deviations of the arrivals' log-days.
        reviews: Deviations of bad reviews from the usual share.
        noise_std: Of the noise on every number; 0 for the exact sums, which never leave this machine.
    """

    orders: NDArray[np.float64]
    deliveries: NDArray[np.float64]
    reviews: NDArray[np.float64]
    noise_std: float = 0.0

    def columns_at(self, times: NDArray[np.datetime64]) -> Mapping[str, NDArray[np.float64]]:
        """Return the trailing columns of `library.ACROSS_SHOPPERS` at moments, shape (B,) each.

        They mean what the exact ones mean (`rows.trailing.with_trailing`), seen through whole blocks: only
        blocks that were over are read. The number of outcomes is estimated by the orders of one block
        earlier. The history of a shop counts against the usual shop's the less the more noise there is.

        Args:
            times: UTC.

        The lags and strengths are those with which the private default contract was measured on Olist.
        """
        block = block_of(times)
        deliveries = _window(self.orders, block, lag=1, length=3).clip(0)
        reviews = _window(self.orders, block, lag=1, length=6).clip(0)
        slow = _window(self.deliveries, block, lag=0, length=3)
        bad = _window(self.reviews, block, lag=0, length=6)
        strength = 2 * self.noise_std
        return {
            "trailing_delivery_days": USUAL_LOG_DAYS + slow / (deliveries + DELIVERY_STRENGTH + strength),
            "trailing_deliveries": deliveries,
            "trailing_bad_reviews": USUAL_BAD_SHARE + bad / (reviews + REVIEW_STRENGTH + strength),
            "trailing_orders_28d": _window(self.orders, block, lag=0, length=2).clip(0) * 28 / 30,
        }


def exact_statistics(config: MerchantConfig, federation: Federation) -> Statistics:
    """Return the sums of a merchant without noise; a ready table has none.

    Raises:
        DataError: The data cannot be read or used.
    """
    sums = read_block_sums(config, federation)
    return Statistics(orders=sums["orders"], deliveries=sums["deliveries"], reviews=sums["reviews"])


def noised(exact: Statistics, noise_multiplier: float, noise: Normals) -> Statistics:
    """Return the sums with Gaussian noise on every number; each call is a release of its own.

    Guarantee: without one shopper the exact sums move by at most `SENSITIVITY` in L2 norm, so the release is
    one Gaussian mechanism of this noise multiplier (`tests/client/data/test_neighbours.py`).

    Args:
        exact: Without noise.
        noise_multiplier: sd of the noise / `SENSITIVITY`.
        noise: Source of the noise.

    Raises:
        ValueError: The multiplier is not above 0, or there is noise already.
    """
    if noise_multiplier <= 0 or exact.noise_std:
        raise ValueError(f"Expected exact sums and noise, got {noise_multiplier=} and {exact.noise_std=}.")
    std = noise_multiplier * SENSITIVITY
    sums = np.stack([getattr(exact, name) for name in SERIES])
    orders, deliveries, reviews = once.with_noise(sums, std, noise)
    return Statistics(orders=orders, deliveries=deliveries, reviews=reviews, noise_std=std)


def _window(
    sums: NDArray[np.float64], block: NDArray[np.int64], *, lag: int, length: int
) -> NDArray[np.float64]:
    """Sum of the `length` blocks that end `lag` blocks before each of `block`, which itself is left out."""
    before = np.concatenate([[0.0], np.cumsum(sums)])
    end = np.clip(block - lag, 0, len(sums))
    start = np.clip(block - lag - length, 0, len(sums))
    found: NDArray[np.float64] = before[end] - before[start]
    return found


# --- beside the state ---------------------------------------------------------------------------------


def statistics_file(state: Path, instruction: Instruction) -> Path:
    """Return where the noised statistics of one training lie."""
    return once.file_of(state, "statistics", instruction)


def save_statistics(path: Path, statistics: Statistics, *, durable: bool = True) -> None:
    """Write noised statistics, wholly or not at all.

    Raises:
        OSError: The disk is full or not writable.
    """
    tensors = {name: torch.from_numpy(getattr(statistics, name)) for name in SERIES}
    metadata = {"version": VERSION, "noise_std": repr(statistics.noise_std)}
    write_tensors(path, tensors, metadata, durable=durable)


def load_statistics(path: Path) -> Statistics | None:
    """Return what was stored, or None where nothing was.

    Raises:
        StateError: The file is damaged or of another version.
    """
    found = once.stored(path, VERSION)
    if found is None:
        return None
    tensors, metadata = found
    orders, deliveries, reviews = (tensors[name].numpy() for name in SERIES)
    std = float(metadata["noise_std"])
    return Statistics(orders=orders, deliveries=deliveries, reviews=reviews, noise_std=std)
