import io
import json

import pytest
from rich.console import Console

from simulations.benchmarks import BENCHMARKS, overhead, report
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


def test_overhead_is_in_the_table():
    assert BENCHMARKS["overhead"] is overhead.run


@pytest.mark.slow
def test_memory_does_not_grow_with_merchants():
    assert overhead.peak_memory(merchants=100) < 1.1 * overhead.peak_memory(merchants=5)
