"""A small comparison from its file to its page; stopped half-way it goes on."""

import re

import pytest
import tomli_w

from simulations.compare import running, table
from simulations.compare.page import page
from simulations.compare.running import Asked

ADOPTED = ("prior", "fine_tuned", "ditto", "mixture", "chosen")
CONTRACT = {
    "federation": {"name": "tiny", "rounds": 2, "local_steps": 2, "expected_batch": 16},
    "local": {"optimizer": "adam", "learning_rate": 0.01},
    "features": {
        "price": {"kind": "numeric"},
        "category": {"kind": "categorical", "buckets": 16, "width": 2},
    },
    "tasks": {
        "delivery_days": {"kind": "regression", "library": "delivery_days", "transform": "log1p"},
        "next_item": {"kind": "retrieval", "library": "next_item", "max_items": 20},
    },
    "bottom": {"architecture": "shared_bottom", "hidden": [4]},
    "tiers": {name: {"shoppers": 0, "weight": 1.0} for name in ("small", "medium", "large")},
}
EXPERIMENT = {
    "experiment": {"name": "tiny", "contract": "federation.toml"},
    "market": {"kind": "synthetic", "merchants": 2, "max_orders": 120},
}
PLAN = {
    "comparison": {"name": "tiny", "seeds": [0, 1], "reference": "single alone", "resamples": 100},
    "dataset": [{"name": "shops", "experiment": "tiny.toml"}],
    "training": [
        {"name": "single", "family": "alone", "where": ["alone"], "single": True},
        {
            "name": "shared",
            "family": "architecture",
            "where": ["federated", "pooled"],
            "served": ["heads", *ADOPTED],
            "grid": [{"local": {"learning_rate": 0.01}}, {"local": {"learning_rate": 1e-6}}],
        },
    ],
    "claim": [
        {
            "name": "delivery",
            "method": "shared: chosen",
            "tasks": {"shops": "delivery_days"},
            "points": {"accuracy (above median)": 6.0},
        }
    ],
}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    folder = tmp_path_factory.mktemp("compare")
    for name, tables in (("federation", CONTRACT), ("tiny", EXPERIMENT), ("plan", PLAN)):
        (folder / f"{name}.toml").write_text(tomli_w.dumps(tables))
    asked = Asked(file=folder / "plan.toml", data=None, out=folder / "out")
    plan = running.plan_of(asked)
    for training in (running._NO_TRAINING, *plan.training):
        running.complete(asked, plan.dataset[0], training, plan.comparison.seeds)
    return asked


def test_every_method_has_a_line_for_every_task_that_it_answers(asked: Asked) -> None:
    lines = [line for line in table.results(asked, "again").lines if line.first and line.group == "all"]
    answered = {(line.method, line.task) for line in lines}
    methods = ("single alone", "shared", "shared pooled")
    methods += tuple(f"shared: {adoption}" for adoption in ADOPTED)
    numbers = {m for m, task in answered if task == "delivery_days"}
    assert numbers == {*methods, "constant", "linear"}
    rankings = {"popularity", "bought before"}
    assert {m for m, task in answered if task == "next_item"} == {*methods, *rankings} - {
        "shared: prior",
        "shared: mixture",
    }


def test_the_point_of_the_grid_that_learns_is_chosen(asked: Asked) -> None:
    found = table.results(asked, "again")
    assert found.chosen["shops"]["shared"] == {"local": {"learning_rate": 0.01}}


def test_what_is_there_is_not_made_again_and_what_is_missing_comes_back_the_same(asked: Asked) -> None:
    plan = running.plan_of(asked)
    training = plan.training[1]
    file = running.job_of(asked, plan.dataset[0], training, 0, (0, 1)).file(1)
    before, kept = file.read_bytes(), running.job_of(asked, plan.dataset[0], training, 0, (0,)).file(0)
    stamp = kept.stat().st_mtime_ns
    file.unlink()
    running.complete(asked, plan.dataset[0], training, plan.comparison.seeds)
    assert table.predictions.load(file).keys() >= {"heads", *ADOPTED}
    assert file.read_bytes() == before
    assert kept.stat().st_mtime_ns == stamp


def test_the_page_holds_tables_claims_and_what_was_tuned(asked: Asked) -> None:
    plan = running.plan_of(asked)
    text = page(plan, table.results(asked, "fedbazaar-sim compare plan.toml"))
    assert "Made by `fedbazaar-sim compare plan.toml`" in text
    assert "| delivery | shops, delivery_days | shared: chosen | accuracy (above median) |" in text
    assert "local.learning_rate 0.01; local.learning_rate 1e-06" in text
    assert "### All merchants (2)" in text
    assert "| shops | shared | do no harm |" in text
    assert re.search(r"\| shared \| 2 rounds, [\d,]+ \+ [\d,]+ \|", text)
