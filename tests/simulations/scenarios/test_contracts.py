"""A scenario can be drawn over any contract."""

from pathlib import Path

import numpy as np
import pytest

from shared_model import schema
from simulations import partition
from simulations.experiment import EXPERIMENTS
from simulations.federated import Site
from simulations.scenarios import ScenarioMarket, generate
from simulations.scenarios.drawing import draw
from simulations.scenarios.options import Fixed
from simulations.scenarios.oracle import truths
from simulations.scenarios.world import World

CONTRACTS = sorted(EXPERIMENTS.glob("*.federation.toml"))
ONE = ScenarioMarket(merchants=1, size=Fixed(kind="fixed", rows=120))


@pytest.mark.parametrize("file", CONTRACTS, ids=lambda file: file.name.removesuffix(".federation.toml"))
def test_a_client_reads_a_merchant_of_every_example_contract(file: Path, tmp_path: Path) -> None:
    contract = schema.load_federation(file)
    market = generate(ONE, contract)
    written = partition.write(market, tmp_path)
    site = Site(contract=file, merchants=dict(zip(market.merchants, written, strict=True)))
    dataset = site.merchant("synthetic-shop-01", 0).dataset
    assert set(dataset.tasks) == set(contract.tasks)
    assert len(dataset) == 120


def test_a_link_of_a_chain_comes_true_only_where_the_one_before_did() -> None:
    world = World(ONE, schema.load_federation(EXPERIMENTS / "funnel.federation.toml"))
    labels = draw(world, 0).labels
    assert np.all(labels["purchase"] <= labels["click"])
    assert labels["purchase"].sum() > 0


def test_a_later_link_of_a_chain_has_no_answer() -> None:
    world = World(ONE, schema.load_federation(EXPERIMENTS / "funnel.federation.toml"))
    assert set(truths(world)["synthetic-shop-01"]) == {"click"}
