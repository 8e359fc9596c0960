"""Credit risk, a content feed and a funnel: other trades from the same engine, with nothing but TOML."""

import tomllib
from typing import Any

import pytest
import tomli_w

from server.reporting import results
from shared_model.schema import load_federation
from simulations import runner
from simulations.experiment import EXPERIMENTS
from simulations.runner import Request

TRADES = ("credit", "content_feed", "funnel")


def tables(name: str) -> dict[str, Any]:
    return tomllib.loads((EXPERIMENTS / f"{name}.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=TRADES)
def cut_short(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> results.Result:
    """The example with three merchants, two rounds and no networks beside it."""
    folder, given = tmp_path_factory.mktemp(request.param), tables(request.param)
    contract = tomllib.loads((EXPERIMENTS / given["experiment"]["contract"]).read_text(encoding="utf-8"))
    contract["federation"]["rounds"] = 2
    (folder / given["experiment"]["contract"]).write_text(tomli_w.dumps(contract))
    given["market"] |= {"merchants": 3, "median_rows": 150, "sigma_rows": 0.0}
    given["baselines"] = {"networks": False, "epochs": 1, "hidden": [4]}
    (folder / "short.toml").write_text(tomli_w.dumps(given))
    asked = Request(experiment=folder / "short.toml", data=None, out=folder / "out")
    return runner.run(asked, lambda stage, done, total: None)


def test_it_runs_from_its_file_to_its_report(cut_short: results.Result) -> None:
    compared = {(cell.merchant, cell.task) for cell in cut_short.cells}
    assert len(compared) == 3 * len(cut_short.tasks)
    assert all(cell.federated is not None for cell in cut_short.cells)


def test_every_merchant_says_that_it_is_synthetic(cut_short: results.Result) -> None:
    assert all(merchant.name.startswith("synthetic-") for merchant in cut_short.merchants)


@pytest.mark.parametrize("name", TRADES)
def test_the_contract_reads_every_column_and_learns_every_label(name: str) -> None:
    given = tables(name)
    contract = load_federation(EXPERIMENTS / given["experiment"]["contract"])
    hidden = {name for name, column in given["market"]["columns"].items() if column.get("hidden")}
    assert set(contract.features) == set(given["market"]["columns"]) - hidden
    assert set(contract.tasks) == set(given["market"]["labels"])
