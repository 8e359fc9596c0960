"""What every training of a comparison works on: one data set under one contract, as merchants' folders."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from torch import Tensor

from client.data.dataset import Dataset
from client.data.examples import Split
from shared_model import files, schema

from .. import partition
from ..federated import Site
from ..market import Market
from .predictions import Place

SPLITS: tuple[Split, ...] = ("validation", "test")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One data set, encoded under one contract.

    Attributes:
        contract: Of the training.
        site: Contract and merchants' files.
        datasets: By merchant.
        groups: Merchant -> group that results are averaged over.
        work: Folder of all this, to be removed afterwards.
    """

    contract: schema.Federation
    site: Site
    datasets: Mapping[str, Dataset]
    groups: Mapping[str, str]
    work: Path


def prepared(market: Market, tables: Mapping[str, Any], *, out: Path, seed: int) -> Bench:
    """Write a market's merchants into a new folder in `out` and encode them under the contract `tables`.

    The folder has a new name every time, since a merchant's folder is opened once in a process.

    Raises:
        FedbazaarError: The data cannot be used.
    """
    out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=out))
    contract = work / "federation.toml"
    files.write(contract, tomli_w.dumps(tables).encode(), durable=False)
    written = partition.write(market, work / "merchants")
    site = Site(contract=contract, merchants=dict(zip(market.merchants, written, strict=True)))
    return Bench(
        contract=schema.load_federation(contract),
        site=site,
        datasets={name: site.merchant(name, seed).dataset for name in market.merchants},
        groups={name: tables.group or tables.tier for name, tables in market.merchants.items()},
        work=work,
    )


def tasks_of(bench: Bench, merchant: str) -> list[str]:
    """Return the common tasks of a merchant."""
    return [task for task in bench.datasets[merchant].tasks if task in bench.contract.tasks]


def places(dataset: Dataset, merchant: str, task: str) -> list[tuple[Place, Tensor]]:
    """Return the splits with labelled rows of one task that are predicted, and the rows' numbers."""
    found = [(Place(split, merchant, task), dataset.rows(split, task=task)) for split in SPLITS]
    return [(place, rows) for place, rows in found if len(rows)]
