"""Who is left out, and what each adds, by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from shared_model.schema import Binary
from simulations.join.contributions import contributions, left_out
from simulations.join.options import Options
from simulations.scores import Key


class Rows:
    """A data set of `len(owners)` test rows of one task."""

    def __init__(self, owners: list[int]) -> None:
        self.unit, self.tasks = np.array(owners), {"late": Binary(kind="binary")}

    def rows(self, split: str, *, task: str) -> torch.Tensor:
        return torch.arange(len(self.unit))


def bench(count: int) -> Any:
    return SimpleNamespace(
        datasets={f"m{n}": Rows(list(range(40))) for n in range(count)},
        federation=SimpleNamespace(tasks={"late": None}),
        experiment=SimpleNamespace(experiment=SimpleNamespace(seeds=(0,))),
        progress=lambda stage, done, total: None,
    )


def names(count: int) -> list[str]:
    return [f"m{n}" for n in range(count)]


def test_a_small_federation_leaves_everybody_out() -> None:
    assert set(left_out(names(12), Options(merchant="m3"), seed=0)) == {*names(12)}


def test_a_large_one_leaves_out_the_merchant_alone() -> None:
    assert left_out(names(13), Options(merchant="m3"), seed=0) == ("m3",)


def test_a_merchant_that_only_receives_is_not_left_out_of_the_training() -> None:
    assert left_out(names(13), Options(merchant="small"), seed=0) == ()
    assert len(left_out(names(13), Options(merchant="small", contributions=2), seed=0)) == 2


def test_so_many_as_asked_are_drawn_and_the_merchant_is_one() -> None:
    drawn = left_out(names(30), Options(merchant="m3", contributions=5), seed=0)
    assert drawn[0] == "m3"
    assert len(set(drawn)) == 5


def test_the_draw_is_the_same_every_time() -> None:
    asked = Options(merchant="m3", contributions=5)
    assert left_out(names(30), asked, seed=0) == left_out(names(30), asked, seed=0)


def scores(of: dict[str, float]) -> dict[str, Any]:
    source = np.random.default_rng(0)
    spread = source.normal(0, 0.01, 40)
    return {"served": {Key(name, "late", "test"): mean + spread for name, mean in of.items()}}


class Trainings:
    """With everybody losses are .5; without m0 others', seed by seed; without m1 as before."""

    bench = bench(3)

    def __init__(self, without_m0: list[float]) -> None:
        self.without_m0 = without_m0

    def runs(self, without: str = "") -> list[dict[str, Any]]:
        if without == "m0":
            return [scores({"m0": 0.9, "m1": loss, "m2": loss - 0.05}) for loss in self.without_m0]
        return [scores({"m0": 0.5, "m1": 0.5, "m2": 0.5}) for _ in self.without_m0]


def test_what_a_merchant_adds_is_by_hand() -> None:
    found, nothing = contributions(Trainings([0.6]), ["m0", "m1"])  # type: ignore[arg-type]
    # others lose .1 and .05 without it, .075 of .575 on average; its own row does not count
    assert (found.merchant, found.others) == ("m0", 2)
    assert found.gain.percent == pytest.approx(100 * 0.075 / 0.575, rel=0.01)
    assert found.gain.verdict == "gains"
    assert (nothing.gain.percent, nothing.gain.verdict) == (0.0, "cannot tell")


def test_seeds_that_disagree_make_it_unsure() -> None:
    (found,) = contributions(Trainings([0.6, 0.45]), ["m0"])  # type: ignore[arg-type]
    # gains of .075 and -.075: the mean is zero, its error .075, on a mean metric without it of .5
    assert found.gain.percent == pytest.approx(0.0, abs=0.1)
    assert found.gain.high == pytest.approx(100 * 1.96 * 0.075 / 0.5, rel=0.05)
