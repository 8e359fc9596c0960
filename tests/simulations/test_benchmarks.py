import io
import json

import pytest
from rich.console import Console

from client.config import load_merchant
from client.data.dataset import prepare
from simulations.benchmarks import (
    BENCHMARKS,
    aggregation,
    audit,
    deployment,
    encoding,
    engines,
    exports,
    ledger,
    overhead,
    private,
    report,
    scale,
)
from simulations.benchmarks.report import Result

FAST = Result(id="overhead.small_ms", value=0.5, unit="ms", target=1.0)


@pytest.mark.parametrize(
    ("value", "higher_is_better", "met"),
    [(0.5, False, True), (1.0, False, True), (1.5, False, False), (0.5, True, False), (1.5, True, True)],
)
def test_a_target_is_a_ceiling_or_a_floor(value, higher_is_better, met):
    assert Result(id="x", value=value, unit="s", target=1.0, higher_is_better=higher_is_better).met is met


def test_a_report_says_what_was_measured_and_where(tmp_path):
    report.write(tmp_path / "overhead.json", [FAST])
    written = json.loads((tmp_path / "overhead.json").read_text())
    assert written["results"] == [
        {"id": "overhead.small_ms", "value": 0.5, "unit": "ms", "target": 1.0, "met": True}
    ]
    assert set(written["environment"]) == {
        "cpu", "cores", "python", "torch", "flwr", "numpy", "opacus", "threads", "load"
    }  # fmt: skip


def test_a_table_shows_the_target_beside_the_value():
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(report.table("overhead", [FAST]))
    assert "at most 1" in console.export_text()


def test_a_round_of_idle_merchants_takes_time():
    assert 0 < overhead.message_milliseconds(merchants=2, parameters=10, rounds=3) < 1000


def test_copying_and_adding_take_processor_time():
    copied, added = aggregation.seconds(1 << 20, 3)
    assert 0 < copied < added


def test_every_benchmark_is_in_the_table():
    assert {
        "overhead": overhead.run, "encoding": encoding.run, "deployment": deployment.run,
        "aggregation": aggregation.run, "ledger": ledger.run, "audit": audit.run,
        "private": private.run, "engines": engines.run,
        "scale": scale.run,
    } == BENCHMARKS  # fmt: skip


def test_a_charge_takes_time_and_every_round_of_the_plan_is_charged():
    took = ledger.charge_milliseconds(1.0, rounds=5)
    assert len(took) == 5
    assert min(took) > 0


@pytest.mark.parametrize(("way", "examples"), [("table", 1000), ("shop", 500)])
def test_a_generated_export_is_one_that_a_merchant_could_use(tmp_path, way, examples):
    exports.write_export(way, tmp_path / way, rows=1000)
    contract = exports.agreement(way)
    made = prepare(load_merchant(tmp_path / way / "merchant.toml", contract), contract)
    assert set(made.tasks) == set(contract.tasks)
    assert (made.kind == 0).sum() == examples  # two lines make one order


@pytest.mark.slow
def test_memory_does_not_grow_with_merchants():
    assert overhead.peak_memory(merchants=100) < 1.1 * overhead.peak_memory(merchants=5)


@pytest.mark.slow
def test_a_model_of_big_tables_is_there_no_more_than_three_times():
    assert aggregation.bottoms(merchants=3) < 3  # 2.3 where it was measured


@pytest.mark.slow
def test_the_memory_of_a_ready_table_does_not_grow_with_its_file():
    small, big = encoding.encode("table", rows=400_000), encoding.encode("table", rows=1_200_000)
    assert big.file > 2.9 * small.file
    assert big.growth < 1.3 * small.growth


@pytest.mark.slow
def test_shop_tables_take_less_memory_than_their_file():
    cost = encoding.encode("shop", rows=1_200_000)
    assert cost.growth < cost.file
