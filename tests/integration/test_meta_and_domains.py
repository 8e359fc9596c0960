"""Meta-learning and domain adaptation through the whole of a simulated federation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.data.dataset import Dataset
from server import onboarding
from shared_model.model import initial_shared
from shared_model.protocol import SharedArrays
from shared_model.schema import load_federation
from simulations import federated
from simulations.federated import Site

from . import experiments

NETWORK: dict[str, Any] = {"architecture": "shared_bottom", "hidden": [4]}
DOMAINS = {"domains": ["small", "medium", "large"], "strength": 0.5}


def released(folder: Path, *, rounds: int = 1, **changes: Any) -> tuple[Site, SharedArrays]:
    agreement = experiments.contract(federation={"rounds": rounds, "local_steps": 2}, **changes)
    site = experiments.site(folder, agreement | {"bottom": changes.get("bottom", NETWORK)})
    return site, federated.train(site, directory=folder / "run", lineage="spring", seed=0)


def datasets(site: Site) -> dict[str, Dataset]:
    return {name: site.merchant(name, 0).dataset for name in site.merchants}


@pytest.mark.parametrize("method", ["fomaml", "anil"])
def test_a_federation_trains_with_meta_learning_steps(tmp_path: Path, method: str) -> None:
    site, arrays = released(tmp_path, local={"meta": {"method": method}}, server={"optimizer": "reptile"})
    start = initial_shared(load_federation(site.contract), 0)
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert (arrays["bottom.tower.layers.0.weight"] != start["bottom.tower.layers.0.weight"]).any()


def test_a_federation_trains_its_discriminator_and_serves_without_it(tmp_path: Path) -> None:
    site, arrays = released(tmp_path, adaptation=DOMAINS)
    start = initial_shared(load_federation(site.contract), 0)
    assert (arrays["adaptation.guess.weight"] != start["adaptation.guess.weight"]).any()
    name = next(iter(site.merchants))
    scores = federated.served_scores({name: site.merchant(name, 0)}, arrays, "spring")
    assert all(np.isfinite(values).all() for values in scores.values())


def test_a_training_goes_on_under_a_contract_with_a_feature_more(tmp_path: Path) -> None:
    site, arrays = released(tmp_path)
    more = experiments.contract(features={"lately": {"kind": "numeric", "column": "trailing_orders_28d"}})
    later = experiments.site(tmp_path / "later", more | {"bottom": NETWORK})
    old, new = load_federation(site.contract), load_federation(later.contract)
    carried = onboarding.carry(arrays, old, new, seed=0)
    before = federated.validation_losses(old, datasets(site), arrays)
    assert federated.validation_losses(new, datasets(later), carried.arrays) == pytest.approx(
        before, rel=1e-5
    )
