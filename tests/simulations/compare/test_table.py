"""Lines of results: means over merchants, gains over the reference, deviations over seeds."""

import numpy as np

from shared_model import schema
from simulations.compare.plan import Claim, Comparison, DataSet, Plan, Training
from simulations.compare.predictions import Place
from simulations.compare.table import Method, _line, judge

PLAN = Plan(
    comparison=Comparison(name="tiny", seeds=(0, 1), reference="mine"),
    dataset=(DataSet(name="shops", experiment="demo.toml"),),
    training=(Training(name="mine", family="alone", where="alone"),),
    claim=(Claim(name="sales", method="mine", tasks={"shops": "days"}),),
)
METHOD = Method(name="ours", family="ours", where="federated", seeds=[])


def line(mine: dict[str, list[float]], theirs: dict[str, list[float]], measure: str = "RMSE"):
    return _line(PLAN, PLAN.dataset[0], "days", measure, True, METHOD, "all", mine, theirs)


def test_every_merchant_counts_once_and_seeds_are_averaged_first() -> None:
    found = line({"acme": [1.0, 3.0], "bolt": [4.0, 4.0]}, {"acme": [3.0], "bolt": [5.0]})
    assert (found.value, found.gain, found.gain_percent) == (3.0, 1.0, 25.0)


def test_a_measure_of_which_more_is_better_gains_upwards() -> None:
    found = line({"acme": [0.9]}, {"acme": [0.8]}, "accuracy")
    assert np.isclose(found.gain, 0.1)


def test_a_loss_of_more_than_two_percent_counts_as_worse() -> None:
    found = line(
        {"acme": [1.03], "bolt": [1.01], "corn": [0.5]}, {"acme": [1.0], "bolt": [1.0], "corn": [1.0]}
    )
    assert np.isclose(found.worse, 1 / 3)
    assert np.isclose(found.better, 1 / 3)


def test_the_deviation_over_seeds_is_that_of_the_mean_over_merchants() -> None:
    found = line({"acme": [1.0, 3.0], "bolt": [1.0, 3.0]}, {"acme": [1.0]})
    assert np.isclose(found.seed_deviation, np.std([1.0, 3.0], ddof=1))


def test_only_test_rows_are_judged_and_the_median_comes_from_training_rows() -> None:
    spec = schema.Regression(kind="regression")
    test, train = Place("test", "acme", "days"), Place("train", "acme", "days")
    labels = {test: np.array([1.0, 4.0], np.float32), train: np.array([2.0, 4.0, 2.0, 4.0], np.float32)}
    found = {test: np.array([7.0, 9.0], np.float32), Place("validation", "acme", "days"): np.zeros(1)}
    cell: dict = {}
    judge({"days": spec}, [found], labels, into=cell)
    assert list(cell) == [("acme", "days")]
    assert cell["acme", "days"]["accuracy (above median)"] == [1.0]
