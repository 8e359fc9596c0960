"""A deployment releases what a simulation of the same contract, files, seed and lineage releases."""

from pathlib import Path

from tests.deployment.town import TOLERANCE, accepted, difference, town_of
from tests.integration import experiments

MINIBATCH = {"rounds": 2, "full_batch": False, "expected_batch": 8, "local_steps": 2}
"""Rows are drawn, so that the same numbers mean the same draws."""


def test_a_deployment_and_a_simulation_release_the_same_model(tmp_path: Path) -> None:
    town = town_of(tmp_path, experiments.contract(federation=MINIBATCH), merchants=2)
    with town.deployment as deployment:
        deployment.begin(town.site.contract, proxy="embedded")
        town.invite()
        town.open()
        said = town.ended(town.run())
        everybody = list(town.names)
        assert accepted(town.journal) == {1: everybody, 2: everybody}
        assert difference(town.released, town.simulated()) <= TOLERANCE
        experiments.forget(town.site)
        assert difference(town.released, town.simulated(engine="vectorised")) <= 10 * TOLERANCE  # float32
        assert "released: 2 adopted" in said
        processes = [shop.process(name) for shop in town.shops for name in ("agent", "bridge", "node")]
    assert not any(process.is_running() for process in processes)
