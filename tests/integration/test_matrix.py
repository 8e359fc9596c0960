"""From source to target on a tiny market, through the run directory."""

import json

import pytest

from simulations import kept
from simulations.runs import recording
from simulations.runs.asked import Asked
from simulations.transfer.cells import ALL_OTHERS, HEADS, PRIOR
from simulations.transfer.matrix import Matrix

from . import experiments

NAMES = ["synthetic-01", "synthetic-02", "synthetic-03"]


def silent(stage: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Asked, Matrix]:
    folder = tmp_path_factory.mktemp("matrix")
    contract = experiments.private_contract(rounds=1)
    asked = Asked(
        study="matrix",
        file=experiments.write(folder, contract),
        out=folder / "run",
        arguments={"data": None, "by": None, "seeds": None},
    )
    return asked, recording.perform(asked, silent)


@pytest.mark.slow
def test_few_merchants_are_each_a_source_and_a_target(done: tuple[Asked, Matrix]) -> None:
    _, found = done
    assert found.by == "merchant"
    assert {cell.source for cell in found.cells} == {*NAMES, ALL_OTHERS}
    assert {cell.target for cell in found.cells} <= {*NAMES}
    assert {cell.serving for cell in found.cells} == {PRIOR, HEADS}


@pytest.mark.slow
def test_alone_depends_on_the_target_only(done: tuple[Asked, Matrix]) -> None:
    _, found = done
    alone = {(cell.task, cell.target, cell.alone) for cell in found.cells}
    assert len(alone) == len({(task, target) for task, target, _ in alone})


@pytest.mark.slow
def test_a_merchant_at_itself_is_not_judged(done: tuple[Asked, Matrix]) -> None:
    _, found = done
    assert {cell.verdict for cell in found.cells if cell.source == cell.target} == {"cannot tell"}


@pytest.mark.slow
def test_sources_that_are_trained_are_not_trained_again(
    done: tuple[Asked, Matrix], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, found = done
    monkeypatch.setattr(kept, "_write", None)
    assert recording.perform(asked, silent) == found
    assert json.loads((asked.out / "matrix.json").read_bytes())["by"] == "merchant"
