"""Units sold per item and week, told once with noise: what rows of items are made from under `noised` labels.

One shopper moves many rows of items. Here the sales themselves are released, each shopper in a bounded number
of places, and labels and columns of all rows follow from what was released, so training on them costs nothing
more. One release a training, with its own share of the budget; what was drawn is stored before it is used, so
a merchant that starts again reads the same numbers and pays nothing.

Which items there are is public: the merchant's assortment, from its items table, and never from order lines.

Notation: I items, W weeks; week w is the seven days that end w weeks before validation begins, a public date.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from shared_model.files import write_tensors
from shared_model.privacy.plan import CountsPlan
from shared_model.protocol import Instruction

from . import once
from .normals import Normals

VERSION = "1"
WEEKS = 104
"""W: what was sold before does not count."""
WEEK = np.timedelta64(7, "D")
ROW_WEEKS = range(2, WEEKS - 12, 2)
"""Weeks before validation at whose ends items have rows: before each lie as many as a column asks for."""
LISTED_WEEKS = 26
MOST_ITEMS = 150
"""So many items are listed at a date, of those sold in `LISTED_WEEKS` before, as in `rows/item_window.py`."""
_DETECTED = 2.0
"""Standard deviations of its noise that an item's sales must exceed to be listed."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Units sold.

    Attributes:
        items: Ids of the assortment.
        sold: Shape (I, W).
        noise_std: Of the noise on every number; 0 for the exact sums, which never leave this machine.
    """

    items: tuple[str, ...]
    sold: NDArray[np.float64]
    noise_std: float = 0.0

    def between(
        self, item: NDArray[np.int64], first: NDArray[np.int64], weeks: NDArray[np.int64] | int
    ) -> NDArray[np.float64]:
        """Return the units of items in `weeks` weeks, of which `first` is the latest one, shape (N,).

        Not a number where some of the weeks lie outside.

        Args:
            item: Positions of items, shape (N,).
            first: Weeks, shape (N,).
            weeks: How many, for all or for each, shape (N,).
        """
        total = np.concatenate([np.zeros((len(self.items), 1)), self.sold.cumsum(1)], 1)
        inside = (first >= 0) & (first + weeks <= WEEKS)
        start = np.where(inside, first, 0)
        found: NDArray[np.float64] = total[item, np.where(inside, first + weeks, 0)] - total[item, start]
        return np.where(inside, found, np.nan)

    def listed(self, item: NDArray[np.int64], week: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which rows are listed: item x at the end of week w, shape (N,).

        At a date at most `MOST_ITEMS` items are, those with most units in the weeks before, and of them only
        items whose sales stand out from the noise. This reads nothing but what was told.
        """
        weeks = np.minimum(LISTED_WEEKS, WEEKS - week)
        lately = self.between(item, week, weeks)
        standing_out = lately > _DETECTED * self.noise_std * np.sqrt(weeks)
        rank = pl.DataFrame({"week": week, "lately": lately}).select(
            pl.col("lately").rank("ordinal", descending=True).over("week")
        )
        most: NDArray[np.bool_] = rank.to_series().to_numpy() <= MOST_ITEMS
        return standing_out & most


def exact_counts(lines: pl.DataFrame, items: pl.DataFrame, until: datetime, plan: CountsPlan) -> Counts:
    """Return the bounded sums of a merchant without noise.

    Of a unit the latest `plan.lines` pairs of item and week count, with at most `plan.quantity` units each;
    which ones is decided among its own lines.

    Args:
        lines: `Shop.lines`.
        items: Canonical items, one row each.
        until: Where validation begins.
        plan: Bounds.
    """
    assortment = items.select(pl.col("item_id").cast(pl.String), item=pl.int_range(pl.len()))
    places = (
        lines.select("unit", pl.col("item_id").cast(pl.String), "quantity", week=_week(until))
        .filter(pl.col("week").is_between(0, WEEKS - 1) & pl.col("quantity").is_finite())
        .join(assortment, on="item_id", how="inner")
        .group_by("unit", "item", "week")
        .agg(pl.col("quantity").sum().clip(0.0, plan.quantity))
        .sort("unit", "week", "item")
        .group_by("unit", maintain_order=True)
        .head(plan.lines)
    )
    sold = np.zeros((len(items), WEEKS))
    np.add.at(sold, (places["item"].to_numpy(), places["week"].to_numpy()), places["quantity"].to_numpy())
    return Counts(items=tuple(assortment["item_id"]), sold=sold)


def noised_counts(exact: Counts, plan: CountsPlan, noise: Normals) -> Counts:
    """Return the sums with Gaussian noise on every number; each call is a release of its own.

    Guarantee: without one unit the exact sums move by at most `plan.sensitivity` in L2 norm, so the release
    is one Gaussian mechanism of the plan's noise multiplier (`tests/client/data/test_neighbours.py`).

    Raises:
        ValueError: There is noise already.
    """
    if exact.noise_std:
        raise ValueError(f"Expected exact sums, got sums with noise of {exact.noise_std}.")
    told = once.with_noise(exact.sold, plan.noise_std, noise)
    return Counts(items=exact.items, sold=told, noise_std=plan.noise_std)


def _week(until: datetime) -> pl.Expr:
    """The week that each line lies in; below 0 from `until` on."""
    before = pl.lit(until).cast(pl.Datetime("us", "UTC")) - pl.col("order_ts")
    micros = before.dt.total_microseconds() - 1  # a line exactly one week before lies in week 0
    return micros // (7 * 86_400_000_000)


# --- beside the state ---------------------------------------------------------------------------------


def counts_file(state: Path, instruction: Instruction) -> Path:
    """Return where the noised counts of one training lie."""
    return once.file_of(state, "counts", instruction)


def save_counts(path: Path, counts: Counts, *, durable: bool = True) -> None:
    """Write noised counts, wholly or not at all.

    Raises:
        OSError: The disk is full or not writable.
    """
    metadata = {
        "version": VERSION,
        "noise_std": repr(counts.noise_std),
        "items": json.dumps(counts.items),
    }
    write_tensors(path, {"sold": torch.from_numpy(counts.sold)}, metadata, durable=durable)


def load_counts(path: Path) -> Counts | None:
    """Return what was stored, or None where nothing was.

    Raises:
        StateError: The file is damaged or of another version.
    """
    found = once.stored(path, VERSION)
    if found is None:
        return None
    tensors, metadata = found
    return Counts(
        items=tuple(json.loads(metadata["items"])),
        sold=tensors["sold"].numpy(),
        noise_std=float(metadata["noise_std"]),
    )
