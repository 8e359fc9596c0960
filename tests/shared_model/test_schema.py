"""The contract refuses what it does not know, and means the same in every spelling."""

import copy
from pathlib import Path

import pytest

from shared_model.errors import ConfigError
from shared_model.schema import Numeric, load_federation, parse_federation

CONTRACT = """
[federation]
name = "harbour"
rounds = 3
[features.price]
kind = "numeric"
transform = "log1p"
hinges = [1, 2.5]
[features.category]
kind = "categorical"
buckets = 16
width = 4
[features.history]
kind = "sequence"
of = ["category"]
[tasks.late]
kind = "binary"
library = "late"
[bottom]
architecture = "mmoe"
"""


def contract() -> dict:
    return {
        "federation": {"name": "harbour", "rounds": 3},
        "features": {
            "price": {"kind": "numeric", "transform": "log1p", "hinges": [1, 2.5]},
            "category": {"kind": "categorical", "buckets": 16, "width": 4},
            "history": {"kind": "sequence", "of": ["category"]},
        },
        "tasks": {"late": {"kind": "binary", "library": "late"}},
        "bottom": {"architecture": "mmoe"},
    }


def changed(path: str, value: object) -> dict:
    tables = contract()
    *parents, last = path.split(".")
    here = tables
    for key in parents:
        here = here.setdefault(key, {})
    here[last] = value
    return tables


def test_the_file_and_the_tables_mean_the_same(tmp_path: Path) -> None:
    path = tmp_path / "federation.toml"
    path.write_text(CONTRACT)
    assert load_federation(path) == parse_federation(contract())


def test_the_fingerprint_ignores_order_comments_and_number_formats(tmp_path: Path) -> None:
    path = tmp_path / "federation.toml"
    path.write_text("# a comment\n" + CONTRACT.replace("hinges = [1, 2.5]", "hinges = [1.0, 2.50]"))
    assert load_federation(path).fingerprint == parse_federation(contract()).fingerprint


def test_a_default_written_out_is_the_same_contract() -> None:
    spelled_out = changed("federation.quorum", 0.5)
    assert parse_federation(spelled_out).fingerprint == parse_federation(contract()).fingerprint


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("federation.rounds", 4),
        ("features.price.center", 0.1),
        ("tasks.late.initial", 0.2),
        ("bottom.experts", 5),
    ],
)
def test_any_other_value_is_another_contract(path: str, value: object) -> None:
    assert parse_federation(changed(path, value)).fingerprint != parse_federation(contract()).fingerprint


def test_files_that_list_their_features_in_another_order_make_the_same_columns() -> None:
    listed = contract()["features"]
    backwards = contract() | {"features": dict(reversed(listed.items()))}
    assert tuple(parse_federation(contract()).features) == ("category", "history", "price")
    assert tuple(parse_federation(backwards).features) == ("category", "history", "price")


def test_the_fingerprint_of_a_contract_never_changes() -> None:
    # Golden: merchants pin it. If it changes, raise protocol.VERSION and say so in the changelog.
    fingerprint = parse_federation(contract()).fingerprint
    assert fingerprint == "89ec2c192ef810702a8087539daf82595731a512adb038be1a3a6a26c82f79bd"


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("federation.rouns", 3, "federation.rouns is 3; allowed: one of the keys name, rounds,"),
        ("federation.rouns", 3, "(did you mean rounds?)"),
        ("federation.rounds", "3", "federation.rounds is '3'; allowed: a valid integer"),
        ("federation.rounds", 0, "federation.rounds is 0; allowed: greater than or equal to 1"),
        ("federation.quorum", 1.5, "federation.quorum is 1.5; allowed: less than or equal to 1"),
        ("federation.name", "Harbour Market", "federation.name is 'Harbour Market'"),
        ("features.price.kind", "number", "features.price.kind is 'number'; allowed: one of 'categorical'"),
        ("features.price.scale", 0.0, "features.price.scale is 0.0; allowed: greater than 0"),
        ("features.category.width", 0, "features.category.width is 0"),
        ("features.history.of", ["price"], "allowed: names of categorical features: category"),
        ("features.history.of", ["category", "category"], "every feature at most once"),
        ("features.Price", {"kind": "numeric"}, "features.Price is 'Price'"),
        ("tasks.late.library", "lateness", "tasks.late.library is 'lateness'; allowed: a library task"),
        ("tasks.late.kind", "count", "tasks.late.kind is 'count'; allowed: binary, which is what late is"),
        (
            "tasks.days",
            {"kind": "regression", "low": float("nan")},
            "tasks.days.low is nan; allowed: less than high",
        ),
        ("tasks.late.initial", 1.0, "tasks.late.initial is 1.0; allowed: less than 1"),
        ("bottom.expert", 3, "bottom.expert is 3; allowed: one of the keys architecture, experts, hidden"),
        (
            "bottom.architecture",
            "transformer",
            "bottom.architecture is 'transformer'; allowed: one of 'wide'",
        ),
        ("privacy.epsilon", 8.0, "privacy.delta is missing"),
        (
            "tiers.small",
            {"shoppers": 0, "weight": 1.0, "answer_seconds": 600.0},
            "less than federation.deadline_seconds, which is 600",
        ),
        ("tiers.small", {"shoppers": -1, "weight": 1.0}, "tiers.small.shoppers is -1"),
        (
            "features.title",
            {"kind": "text", "buckets": 8, "width": 2, "characters": [4, 3]},
            "shortest <= longest",
        ),
    ],
)
def test_a_wrong_value_is_refused_by_name(path: str, value: object, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_federation(changed(path, value), file="federation.toml")
    assert str(refused.value).startswith("federation.toml: ")
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ({"bottom": {"architecture": "wide"}, "local": {"weighting": "gradnorm"}}, "dwa with a wide bottom"),
        ({"bottom": {"architecture": "wide"}, "local": {"conflict": "pcgrad"}}, "none with a wide bottom"),
        (
            {"local": {"conflict": "pcgrad"}, "adaptation": {"domains": ["garden", "toys"]}},
            r"none with \[adaptation\]",
        ),
        ({"local": {"weighting": "dwa", "meta": {"method": "anil"}}}, r"uncertainty with \[local.meta\]"),
    ],
)
def test_gradients_are_settled_only_where_that_makes_sense(tables: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_federation(contract() | tables)


def test_a_missing_key_is_named() -> None:
    tables = copy.deepcopy(contract())
    del tables["federation"]["rounds"]
    with pytest.raises(ConfigError, match=r"federation\.rounds is missing"):
        parse_federation(tables)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[federation\n", "valid TOML"),
        (b"name = '\xff'", "UTF-8"),
        (b"[features.price]\nkind = 'numeric'\n[features.price]\nkind = 'numeric'", "valid TOML"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "federation.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=says) as refused:
        load_federation(path)
    assert str(path) in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="an existing TOML file"):
        load_federation(tmp_path / "federation.toml")


def test_a_numeric_feature_takes_one_column_more_per_knot_and_flag() -> None:
    assert Numeric(kind="numeric", hinges=(0.0, 1.0), steps=(2.0,), flag_missing=True).width == 5


def test_reptile_with_tiers_of_different_weights_is_refused() -> None:
    tiers = {"small": {"shoppers": 0, "weight": 1.0}, "large": {"shoppers": 400, "weight": 2.0}}
    tables = {**contract(), "server": {"optimizer": "reptile"}, "tiers": tiers}
    with pytest.raises(ConfigError, match="fedavg where tiers have different weights"):
        parse_federation(tables)
