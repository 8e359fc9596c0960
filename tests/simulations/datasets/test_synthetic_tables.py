"""Made-up ready tables: what the options say is what the tables hold."""

from typing import Any

import numpy as np
import pytest

from shared_model import declared
from shared_model.errors import ConfigError
from simulations.datasets import SyntheticTablesMarket
from simulations.datasets.synthetic_tables import generate

COLUMNS: dict[str, Any] = {
    "income": {"kind": "number", "form": "exp", "center": 10.0, "spread": 0.5, "per": "unit"},
    "share": {"kind": "number", "form": "share"},
    "alike": {"kind": "match", "of": ["home", "place"]},
    "home": {"kind": "category", "values": ["north", "south"], "per": "unit"},
    "place": {"kind": "category", "values": ["north", "south"]},
}
LABELS: dict[str, Any] = {
    "granted": {"kind": "binary", "rate": 0.3, "shift": 0.0, "effects": {}},
    "late": {
        "kind": "binary",
        "rate": 0.5,
        "effects": {"income": -1.0, "home": 0.5},
        "known_where": "granted",
    },
    "score": {"kind": "number", "center": 5.0, "spread": 10.0, "low": 0.0, "effects": {"alike": 1.0}},
}


def market(**changes: Any) -> SyntheticTablesMarket:
    tables = {
        "kind": "synthetic_tables",
        "merchant": "bank",
        "merchants": 2,
        "columns": COLUMNS,
        "labels": LABELS,
    }
    return declared.parse(SyntheticTablesMarket, tables | changes, file="market.toml")


def table(**changes: Any) -> Any:
    return generate(market(sigma_rows=0.0, **changes)).merchants["synthetic-bank-01"].table


def test_every_name_says_that_it_is_synthetic() -> None:
    made = generate(market())
    assert list(made.merchants) == ["synthetic-bank-01", "synthetic-bank-02"]
    assert made.name == "synthetic banks"


def test_a_merchant_does_not_depend_on_how_many_there_are() -> None:
    few, many = generate(market()), generate(market(merchants=4))
    assert few.merchants["synthetic-bank-02"].table.equals(many.merchants["synthetic-bank-02"].table)  # type: ignore[union-attr, arg-type]


def test_what_belongs_to_a_person_is_the_same_on_all_its_rows() -> None:
    rows = table(rows_per_unit=5.0)
    assert 60 < rows["person"].n_unique() < 100
    assert (
        rows.group_by("person").agg(n=rows["income"].unique().len())["n"].len() == rows["person"].n_unique()
    )
    assert rows.select("person", "income", "home").unique().height == rows["person"].n_unique()


def test_a_match_is_one_where_two_categories_agree() -> None:
    rows = table()
    assert (rows["alike"] == (rows["home"] == rows["place"])).all()


def test_a_hidden_match_moves_labels_and_is_in_no_table() -> None:
    hidden = table(columns=COLUMNS | {"alike": {**COLUMNS["alike"], "hidden": True}})
    assert "alike" not in hidden.columns
    assert hidden["score"].equals(table()["score"])


def test_forms_keep_numbers_in_their_range() -> None:
    rows = table()
    assert rows["income"].min() > 0
    assert 0 <= rows["share"].min() < rows["share"].max() <= 1


def test_a_label_is_known_where_it_is_said_to_be() -> None:
    rows = table()
    assert rows.filter(rows["granted"] == 1)["late"].null_count() == 0
    assert rows.filter(rows["granted"] == 0)["late"].drop_nulls().is_empty()


def test_what_needs_another_label_is_0_without_it() -> None:
    rows = table(
        labels={
            "granted": LABELS["granted"],
            "late": LABELS["late"] | {"known_where": "", "only_where": "granted"},
        }
    )
    assert rows["late"].null_count() == 0
    assert rows.filter(rows["granted"] == 0)["late"].sum() == 0
    assert rows.filter(rows["granted"] == 1)["late"].sum() > 0


def test_without_effects_a_label_comes_true_at_its_rate() -> None:
    # 20,000 rows: standard error 0.0032; four of them is a false alarm in 16,000 seeds, and the seed is fixed
    assert table(median_rows=20_000)["granted"].mean() == pytest.approx(0.3, abs=0.013)


def test_an_effect_has_its_size() -> None:
    told = {
        "score": {"kind": "number", "center": 5.0, "spread": 10.0, "noise": 0.0, "effects": {"alike": 2.0}}
    }
    rows = table(labels=told, relatedness=1.0).sort("alike")
    levels = rows["score"].unique().sort().to_numpy()
    assert np.diff(levels).tolist() == pytest.approx([20.0])  # spread 10 x effect 2


def test_numbers_are_cut_to_their_bounds() -> None:
    assert table()["score"].min() == 0.0


@pytest.mark.parametrize(("relatedness", "spread"), [(1.0, 0.0), (0.0, 1.0)])
def test_relatedness_decides_how_much_coefficients_differ(relatedness: float, spread: float) -> None:
    truth: Any = generate(
        market(merchants=200, relatedness=relatedness, median_rows=60, sigma_rows=0.0)
    ).truth
    found = [merchant["late"]["income"] for merchant in truth["merchants"].values()]
    # 200 draws of Normal(0, 1): standard error of their deviation 0.05; five of them, seed fixed
    assert np.std(found) == pytest.approx(spread, abs=0.25)
    assert np.mean(np.square(found)) == pytest.approx(1.0, abs=0.5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"columns": {"x": {"kind": "match", "of": ["home", "away"]}}}, "two of the categories"),
        (
            {"labels": {"y": {"kind": "binary", "rate": 0.5, "effects": {"wage": 1.0}}}},
            "columns only, not wage",
        ),
        (
            {"labels": {"y": {"kind": "binary", "rate": 0.5, "effects": {}, "known_where": "y"}}},
            "a binary label that stands before it",
        ),
        ({"labels": {"home": {"kind": "binary", "rate": 0.5, "effects": {}}}}, "a name that no column has"),
        ({"min_rows": 100, "max_rows": 50}, "min_rows 100 at most max_rows 50"),
        ({"days": 100}, "validation_days \\+ test_days below days, which is 100"),
    ],
)
def test_options_that_contradict_one_another_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        market(**change)
