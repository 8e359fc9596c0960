"""Merchants are left out, join with their first orders, and a stopped run goes on."""

import json
from pathlib import Path

import pytest

from simulations.runner import Request
from simulations.transfer import leaving_out
from simulations.transfer.curves import ALL_ORDERS, HEADS, PRIOR, Transfer

from . import experiments

OPTIONS = leaving_out.Options(folds=2, counts=(0, 10))


def silent(stage: str, done: int, total: int) -> None:
    pass


def request(folder: Path) -> Request:
    contract = experiments.contract(federation={"rounds": 1, "local_steps": 1}) | {
        "bottom": {"architecture": "wide"}
    }
    return Request(experiment=experiments.write(folder, contract), data=None, out=folder / "run")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Request, Transfer]:
    asked = request(tmp_path_factory.mktemp("transfer"))
    return asked, leaving_out.transfer(asked, OPTIONS, silent)


@pytest.mark.slow
def test_every_merchant_is_left_out_once(done: tuple[Request, Transfer]) -> None:
    asked, found = done
    paths = [asked.out / "seed-0" / f"fold-{n}" / "measured.json" for n in (0, 1)]
    left_out = [json.loads(path.read_bytes())["asked"]["left_out"] for path in paths]
    assert [len(names) for names in left_out] == [2, 1]
    assert (found.merchants, found.folds) == (3, 2)
    assert {p.orders for p in found.points} == {0, 10, ALL_ORDERS}


@pytest.mark.slow
def test_a_finished_fold_is_not_measured_again(
    done: tuple[Request, Transfer], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, found = done
    monkeypatch.setattr(leaving_out, "_merchant", None)
    assert leaving_out.transfer(asked, OPTIONS, silent) == found


@pytest.mark.slow
def test_a_merchant_that_is_left_out_does_not_train(done: tuple[Request, Transfer]) -> None:
    asked, _ = done
    lines = (asked.out / "seed-0" / "fold-0" / "journal.jsonl").read_text().splitlines()
    opened = [line for line in map(json.loads, lines) if line["event"] == "round_opened"]
    assert {name for line in opened for name in line["asked"]} == {"synthetic-02"}


@pytest.mark.slow
def test_with_no_orders_a_merchant_is_served_the_prior(done: tuple[Request, Transfer]) -> None:
    _, found = done
    means = {(p.task, p.method): p.mean for p in found.points if (p.orders, p.group) == (0, "all")}
    heads = {task: mean for (task, method), mean in means.items() if method == HEADS}
    assert heads
    assert heads == {task: means[task, PRIOR] for task in heads}


@pytest.mark.slow
def test_three_seeds_that_were_stopped_in_the_second_end_as_if_they_had_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = experiments.contract(federation={"rounds": 1, "local_steps": 1}) | {
        "bottom": {"architecture": "wide"}
    }
    whole, stopped = (
        Request(
            experiment=experiments.write(tmp_path / name, contract, seeds=[0, 1, 2]),
            data=None,
            out=tmp_path / name / "run",
        )
        for name in ("whole", "stopped")
    )
    options = leaving_out.Options(folds=2, counts=(0,), seeds=3)
    measured = leaving_out._merchant

    def killed(*asked: object) -> object:
        if asked[2:4] == (1, "synthetic-02"):
            raise KeyboardInterrupt
        return measured(*asked)  # type: ignore[arg-type]

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(leaving_out, "_merchant", killed)
        leaving_out.transfer(stopped, options, silent)
    kept = {path.parent.parent.name for path in stopped.out.glob("seed-*/fold-*/measured.json")}
    found = leaving_out.transfer(stopped, options, silent)
    assert kept == {"seed-0", "seed-1"}
    assert found.seeds == (0, 1, 2)
    assert found.points == leaving_out.transfer(whole, options, silent).points
