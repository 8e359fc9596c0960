"""One merchant's question, from files to the page; and a study that was stopped goes on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from shared_model.errors import ConfigError
from simulations import kept
from simulations.join import costs, running
from simulations.join.options import Options
from simulations.join.report import Joined
from simulations.runner import Request
from simulations.runs import recording
from simulations.runs.asked import Asked

from . import experiments

NAME = "synthetic-02"
OPTIONS = Options(merchant=NAME, epsilons=(1.0,), shares=(0.5, 1.0))


def silent(stage: str, done: int, total: int) -> None:
    pass


def request(folder: Path) -> Request:
    contract = experiments.private_contract(rounds=2)
    return Request(experiment=experiments.write(folder, contract), data=None, out=folder / "run")


def test_a_merchant_that_is_not_there_is_refused_before_anything_trains(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="synthetic-01, synthetic-02, synthetic-03"):
        running.join(request(tmp_path), Options(merchant="acme"), silent)
    assert not list(tmp_path.glob("run/*/seed-0"))


def test_a_contract_without_privacy_is_not_tried_at_an_epsilon(tmp_path: Path) -> None:
    asked = Request(
        experiment=experiments.write(tmp_path, experiments.contract()), data=None, out=tmp_path / "run"
    )
    with pytest.raises(ConfigError, match=r"privacy is missing.*whose epsilon --epsilon varies"):
        running.join(asked, OPTIONS, silent)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Request, Joined]:
    asked = request(tmp_path_factory.mktemp("join"))
    return asked, running.join(asked, OPTIONS, silent)


@pytest.mark.slow
def test_every_level_is_measured_the_contracts_own_first(done: tuple[Request, Joined]) -> None:
    _, found = done
    assert found.agreed == "epsilon 8"
    assert [cost.level for cost in found.costs] == ["epsilon 8", "epsilon 1", "no privacy"]
    assert {line.level for line in found.lines} == {"epsilon 8", "epsilon 1", "no privacy"}


@pytest.mark.slow
def test_alone_is_the_same_at_every_level(done: tuple[Request, Joined]) -> None:
    _, found = done
    alone = {(line.task, line.alone) for line in found.lines}
    assert len(alone) == len({task for task, _ in alone})


@pytest.mark.slow
def test_the_ledger_says_what_each_level_spends(done: tuple[Request, Joined]) -> None:
    _, found = done
    spent = {cost.level: cost.epsilon for cost in found.costs}
    assert spent["epsilon 8"] == pytest.approx(8.0, rel=1e-3)
    assert spent["epsilon 1"] == pytest.approx(1.0, rel=1e-3)
    assert spent["no privacy"] is None


@pytest.mark.slow
def test_bytes_are_those_of_every_round_and_the_release(done: tuple[Request, Joined]) -> None:
    _, found = done
    cost = found.costs[0]
    assert cost.rounds == 2
    assert cost.bytes_up == cost.bytes_down > 0
    assert cost.bytes_in_all == 2 * (cost.bytes_up + cost.bytes_down) + cost.bytes_down


@pytest.mark.slow
def test_with_all_its_orders_the_curve_ends_at_alone(done: tuple[Request, Joined]) -> None:
    _, found = done
    alone = {line.task: line.alone for line in found.lines}
    ends = {point.task: point.alone for point in found.curve if point.share == 1}
    assert ends
    assert ends == pytest.approx({task: alone[task] for task in ends})


@pytest.mark.slow
def test_of_a_small_federation_everybodys_contribution_is_measured(done: tuple[Request, Joined]) -> None:
    _, found = done
    assert found.left_out == 3
    assert {one.merchant for one in found.contributions} == {f"synthetic-0{n}" for n in (1, 2, 3)}
    assert {one.others for one in found.contributions} == {2}


@pytest.mark.slow
def test_what_was_measured_is_not_measured_again(
    done: tuple[Request, Joined], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, found = done
    monkeypatch.setattr(kept, "_write", None)
    monkeypatch.setattr(costs, "_worked", lambda trainings, name: found.costs[0].seconds)
    same = tuple(replace(cost, seconds=found.costs[0].seconds) for cost in found.costs)
    assert running.join(asked, OPTIONS, silent) == replace(found, costs=same)


@pytest.mark.slow
def test_the_timed_copy_of_the_merchant_is_gone(done: tuple[Request, Joined]) -> None:
    asked, _ = done
    assert not list(asked.out.glob("*/timed"))


@pytest.mark.slow
def test_without_a_privacy_table_there_is_one_level(tmp_path: Path) -> None:
    contract = experiments.contract(federation={"rounds": 1, "local_steps": 1}) | {
        "bottom": {"architecture": "wide"}
    }
    asked = Asked(
        study="join",
        file=experiments.write(tmp_path, contract),
        out=tmp_path / "run",
        arguments={
            "data": None,
            "merchant": NAME,
            "epsilons": None,
            "contributions": 1,
            "seeds": None,
        },
    )
    found = recording.perform(asked, silent)
    written = json.loads((asked.out / "join.json").read_bytes())
    assert [cost.level for cost in found.costs] == ["no privacy"]
    assert written["costs"][0]["epsilon"] is None
    assert found.left_out == 1
    assert "should synthetic-02 join?" in (asked.out / "join.html").read_text()
