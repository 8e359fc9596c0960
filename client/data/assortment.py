"""What a shop says of the items of a catalogue, encoded as rows are: an item tower reads it.

Files, with I items in the order of the catalogue and only the features that describe items:
`items.<task>.numeric` (I, N), `items.<task>.ids.<feature>` (I,) or (I, L), `items.<task>.vectors.<feature>`
(I, length).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import torch

from shared_model import schema
from shared_model.features import Batch
from shared_model.schema import Federation

from .arrays import load, save
from .canonical_tables import vector_column, written_out
from .encoding import encode_features
from .rows.shop import Shop
from .shop import read_as


def assortment(shop: Shop) -> pl.DataFrame:
    """Return one row per item, in words: `item_id`, its facts, and `price`.

    The price is the list price; where the export has none, that of the item's last sale to train on.
    """
    training = shop.lines.filter(pl.col("order_ts") < shop.bounds.validation_from)
    sold = training.group_by("item_id").agg(pl.col("unit_price").last())
    known = shop.facts.join(sold, on="item_id", how="full", coalesce=True)
    priced = written_out(known).with_columns(price=pl.coalesce("list_price", "unit_price"))
    return priced.join(shop.vectors, on="item_id", how="left", maintain_order="left")


def described(
    items: Sequence[str], known: pl.DataFrame | None, content: Mapping[str, schema.Feature]
) -> pl.DataFrame:
    """Return a row per item with a column per feature that describes it; what is not known is missing.

    Args:
        items: Ids.
        known: What `assortment` returned; None where a merchant has no such table.
        content: The features.
    """
    wanted = pl.DataFrame({"item_id": pl.Series(items, dtype=pl.String)})
    if known is None:
        return wanted.select()
    rows = wanted.join(known.unique("item_id", keep="first"), on="item_id", how="left", maintain_order="left")
    slots = {
        name: column
        for name, feature in content.items()
        if (read := _read_from(name, feature)) in rows.columns
        and (column := read_as(feature, read, rows.schema[read])) is not None
    }
    return rows.select(**slots)


def _read_from(name: str, feature: schema.Feature) -> str:
    return vector_column(name) if isinstance(feature, schema.Vector) else feature.column or name


def write_items(
    folder: Path,
    task: str,
    items: Sequence[str],
    known: pl.DataFrame | None,
    federation: Federation,
    content: Sequence[str],
) -> None:
    """Write the encoded items of a task's catalogue."""
    features = {name: feature for name, feature in federation.features.items() if name in content}
    frame = described(items, known, features)
    if not frame.width:
        frame = pl.DataFrame({"no_fact": pl.repeat(None, len(items), eager=True)})
    arrays = encode_features(frame, replace(federation, features=features))
    save(folder, {f"items.{task}.{name}": array for name, array in arrays.items()})


def read_items(folder: Path, task: str) -> Batch:
    """Return what `write_items` wrote."""
    prefix = f"items.{task}."
    names = [path.stem.removeprefix(prefix) for path in folder.glob(f"{prefix}*.npy")]
    arrays = {name: torch.from_numpy(np.array(load(folder, prefix + name))) for name in sorted(names)}
    return Batch(
        numeric=arrays["numeric"],
        ids={n.removeprefix("ids."): t for n, t in arrays.items() if n.startswith("ids.")},
        vectors={n.removeprefix("vectors."): t for n, t in arrays.items() if n.startswith("vectors.")},
    )
