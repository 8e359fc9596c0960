"""A made-up shop under a small private contract: for what only a whole merchant can show."""

from datetime import date
from pathlib import Path

from client.merchant import Merchant
from shared_model.protocol import Instruction, SharedArrays, digest
from simulations import partition
from simulations.datasets import SyntheticMarket, read

_CONTRACT = """\
[federation]
name = "made-up"
rounds = 3
expected_batch = 64
full_batch = true

[bottom]
architecture = "wide"

[privacy]
epsilon = 8.0
delta = 1e-6

[tiers]
small = { shoppers = 1, weight = 1.0 }
medium = { shoppers = 1, weight = 1.0 }
large = { shoppers = 1, weight = 1.0 }

[features.promised_days]
kind = "numeric"
transform = "log1p"
center = 2.5

[tasks.delivery_days]
kind = "regression"
library = "delivery_days"
transform = "log1p"
center = 2.0

[tasks.late]
kind = "binary"
library = "late"
"""

_MARKET = SyntheticMarket(
    kind="synthetic",
    merchants=1,
    days=180,
    validation_from=date(2022, 4, 15),
    test_from=date(2022, 5, 20),
    median_orders=80,
    max_orders=120,
    items=12,
)


def opened(folder: Path, *, seed: int | None) -> Merchant:
    """Write the shop's files and its contract to `folder` and return the merchant that works on them.

    Without a seed it is opened as in production.
    """
    [file] = partition.write(read(_MARKET, folder), folder)
    contract = folder / "federation.toml"
    contract.write_text(_CONTRACT, encoding="utf-8")
    return Merchant.open(file, contract, seed=seed)


def asked(shop: Merchant, number: int, arrays: SharedArrays) -> SharedArrays:
    """Return the shop's answer to a round that begins with `arrays`."""
    return shop.train(instruction(shop, "train", number, arrays), arrays).arrays


def instruction(shop: Merchant, kind: str, number: int, arrays: SharedArrays) -> Instruction:
    """Return what a coordinator would send along with `arrays`."""
    return Instruction(
        kind=kind,
        fingerprint=shop.federation.fingerprint,
        lineage="audit",
        round=number,
        digest=digest(arrays),
        merchant=shop.config.name if kind == "train" else "",
    )
