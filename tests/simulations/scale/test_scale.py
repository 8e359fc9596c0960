"""Markets of two sizes from a file to a page; what a clock shows is kept apart from the results."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch

from shared_model.errors import ConfigError
from shared_model.schema import Federation, parse_federation
from simulations.benchmarks import scale as benchmark
from simulations.runs import results
from simulations.scale import page, plan, work
from simulations.scale.page import Results
from simulations.scale.work import Measured, Size
from simulations.scenarios import ScenarioMarket, Shops

CONTRACT: dict[str, Any] = {
    "federation": {
        "name": "tiny",
        "rounds": 2,
        "local_steps": 2,
        "expected_batch": 16,
        "merchants_per_round": 4,
    },
    "features": {"price": {"kind": "numeric"}, "weight": {"kind": "numeric"}},
    "tasks": {"late": {"kind": "binary"}},
    "bottom": {"architecture": "shared_bottom", "hidden": [4]},
}
SIZES = (3, 6)


def write(folder: Path, **market: Any) -> Path:
    tables = {
        "scale": {"contract": "federation.toml", "merchants": list(SIZES), "judged": 5},
        "market": {"size": {"kind": "fixed", "rows": 60}, **market},
    }
    (folder / "federation.toml").write_text(tomli_w.dumps(CONTRACT))
    (folder / "scale.toml").write_text(tomli_w.dumps(tables))
    return folder / "scale.toml"


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("scale")
    file = write(folder)
    places = {merchants: folder / f"{merchants}.json" for merchants in SIZES}
    for merchants, place in places.items():
        work.run(file, merchants, place)
    return places


def found(sizes: dict[int, Path]) -> Results:
    return Results(
        name="scale",
        command="again",
        environment={},
        seed=0,
        rounds=2,
        judged=3,
        sizes=tuple(work.read(place) for place in sizes.values()),
    )


def test_every_size_says_what_was_asked_trained_and_learnt(sizes: dict[int, Path]) -> None:
    few, many = found(sizes).sizes
    assert (few.merchants, few.asked, many.merchants, many.asked) == (3, 3, 6, 4)
    assert len(many.measured.rounds) == 2
    assert many.losses.keys() == {"late"}
    assert many.rows > few.rows


def test_what_is_done_is_not_done_again(sizes: dict[int, Path]) -> None:
    stamp = sizes[3].stat().st_mtime_ns
    work.run(sizes[3].with_name("scale.toml"), 3, sizes[3])
    assert sizes[3].stat().st_mtime_ns == stamp


def test_clocks_and_meters_are_no_results(sizes: dict[int, Path]) -> None:
    assert "measured" in json.loads(sizes[3].read_text())
    assert "measured" not in results.content(sizes[3])
    assert "losses" in results.content(sizes[3])


def test_the_same_size_gives_the_same_results(sizes: dict[int, Path], tmp_path: Path) -> None:
    work.run(sizes[3].with_name("scale.toml"), 3, tmp_path / "again.json")
    assert results.content(tmp_path / "again.json") == results.content(sizes[3])


def test_only_training_rows_are_kept_in_the_order_of_their_owners() -> None:
    federation = parse_federation(CONTRACT)
    shop = Shops(ScenarioMarket(merchants=1), federation)["synthetic-shop-01"]
    kept = work.training_rows(shop, federation)
    assert len(kept.unit) == len(shop.rows("train")) < len(shop)
    assert torch.equal(kept.unit, kept.unit.sort().values)
    assert kept.units == int(kept.unit.max()) + 1
    np.testing.assert_allclose(
        kept.encoded.numeric.sum(0), shop.batch(shop.rows("train")).numeric.sum(0), rtol=1e-4
    )


def test_table_page_and_answer_show_how_it_grows(sizes: dict[int, Path], tmp_path: Path) -> None:
    shown = found(sizes)
    page.write_page(shown, tmp_path / "scale.html")
    text = (tmp_path / "scale.html").read_text()
    assert page.answer(shown) in text
    assert "From 3 to 6 merchants, one round of one" in page.answer(shown)
    assert len(page.columns(shown)) == len(page.cells(shown.sizes[0]))
    assert page.table(shown).row_count == 2


def test_the_number_of_merchants_is_said_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"market.merchants is 5; allowed: scale.merchants"):
        plan.load(write(tmp_path, merchants=5))


def measured(asked: int, each: float, peak: int) -> Size:
    clock = Measured(drawing=1.0, rounds=(9.0, *[each * asked] * 3), passed=9.0, peak=peak, before=0)
    return Size(merchants=asked, asked=asked, rows=0, losses={}, trained=(), measured=clock)


def test_the_benchmark_compares_a_merchants_round_and_takes_the_larger_peak(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fake(merchants: int, *, private: bool = False) -> Size:
        if private:
            return measured(500, 0.004, 8 * 10**8)
        return measured(100, 0.001, 5 * 10**8) if merchants == 100 else measured(500, 0.0011, 6 * 10**8)

    monkeypatch.setattr(benchmark, "measured", fake)
    values = {result.id: result.value for result in benchmark.run()}
    assert values == pytest.approx(
        {
            "scale.seconds": 9.0 + 3 * 0.55,
            "scale.private_seconds": 9.0 + 3 * 2.0,
            "scale.gigabytes": 0.8,
            "scale.flatness": 10.0,
        }
    )


def test_the_private_contract_of_the_benchmark_samples_twenty_shoppers_of_a_hundred() -> None:
    federation: Federation = benchmark.contract(private=True)
    tier = federation.tiers["any"]
    assert federation.federation.expected_batch / tier.shoppers == 0.2
    assert replace(federation.federation, rounds=1).merchants_per_round == 500
