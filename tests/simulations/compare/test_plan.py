"""A comparison file says what it means, or is refused with the name of what is wrong."""

from pathlib import Path

import pytest
import tomli_w

from shared_model.errors import ConfigError
from simulations.compare.plan import changed, contract_tables, experiment_of, load_plan

COMPARISON = {"name": "tiny", "seeds": [0], "reference": "mine alone"}
DATASET = {"name": "shops", "experiment": "demo.toml"}
TRAINING = {"name": "mine", "family": "ours", "where": ["alone"]}
EXPERIMENTS = Path("simulations/experiments")


def written(folder: Path, **changes: object) -> Path:
    tables = {"comparison": COMPARISON, "dataset": [DATASET], "training": [TRAINING]}
    path = folder / "tiny.toml"
    path.write_text(tomli_w.dumps(tables | changes))
    return path


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"training": [{**TRAINING, "datasets": ["shop"]}]},
            "training.mine alone.datasets is 'shop'; allowed: one of ['shops']",
        ),
        ({"comparison": {**COMPARISON, "reference": "yours"}}, "comparison.reference is 'yours'"),
        ({"dataset": [DATASET, DATASET]}, "dataset.name is 'shops'; allowed: a name of its own"),
        ({"training": [{**TRAINING, "where": ["federated"], "single": True}]}, "single = true only where"),
    ],
    ids=["data set", "reference", "twice", "single and federated"],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path, changes: dict, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_plan(written(tmp_path, **changes))
    assert says in str(refused.value)


def test_a_training_without_a_list_runs_on_every_data_set(tmp_path: Path) -> None:
    second = {**TRAINING, "name": "yours", "datasets": ["others"]}
    plan = load_plan(
        written(tmp_path, dataset=[DATASET, {**DATASET, "name": "others"}], training=[TRAINING, second])
    )
    assert [t.name for t in plan.trainings_on("shops")] == ["mine alone"]
    assert [t.name for t in plan.trainings_on("others")] == ["mine alone", "yours alone"]


def test_one_declaration_stands_for_a_training_in_every_place(tmp_path: Path) -> None:
    everywhere = {**TRAINING, "where": ["alone", "federated", "pooled"], "served": ["heads", "prior"]}
    trainings = load_plan(written(tmp_path, training=[everywhere])).training
    assert [(t.name, t.where) for t in trainings] == [
        ("mine alone", "alone"),
        ("mine", "federated"),
        ("mine pooled", "pooled"),
    ]
    assert [t.served for t in trainings] == [("heads",), ("heads", "prior"), ("heads",)]


def test_folds_stand_for_a_data_set_each_with_files_of_its_own(tmp_path: Path) -> None:
    plan = load_plan(written(tmp_path, dataset=[{**DATASET, "folds": 3}]))
    assert [(d.name, d.key) for d in plan.dataset] == [
        ("shops", "shops-fold1"),
        ("shops", "shops-fold2"),
        ("shops", "shops-fold3"),
    ]


def test_another_architecture_takes_nothing_over_from_the_old_one() -> None:
    old = {"bottom": {"architecture": "mmoe", "experts": 4}}
    assert changed(old, {"bottom": {"architecture": "wide"}}) == {"bottom": {"architecture": "wide"}}


def test_a_contract_is_the_base_without_some_tables_and_with_some_keys_changed() -> None:
    plan_of_data = load_plan(EXPERIMENTS / "compare.toml").dataset
    synthetic = next(d for d in plan_of_data if d.experiment == "demo.toml")
    experiment = experiment_of(synthetic, EXPERIMENTS, None)
    tables = contract_tables(synthetic, EXPERIMENTS, experiment, {"local": {"learning_rate": 0.5}})
    assert "privacy" not in tables
    assert tables["local"]["learning_rate"] == 0.5


def test_a_change_that_makes_no_contract_names_the_file_it_started_from() -> None:
    synthetic = next(
        d for d in load_plan(EXPERIMENTS / "compare.toml").dataset if d.experiment == "demo.toml"
    )
    experiment = experiment_of(synthetic, EXPERIMENTS, None)
    with pytest.raises(ConfigError, match=r"demo\.federation\.toml, changed by the comparison"):
        contract_tables(synthetic, EXPERIMENTS, experiment, {"local": {"learning_rate": -1.0}})


@pytest.mark.parametrize(("study", "least"), [("compare.toml", 3 * 30), ("recommendation.toml", 7)])
def test_every_training_of_a_study_has_a_contract_on_every_data_set(
    tmp_path: Path, study: str, least: int
) -> None:
    plan = load_plan(EXPERIMENTS / study)
    made = [
        contract_tables(d, EXPERIMENTS, experiment_of(d, EXPERIMENTS, tmp_path), d.pooled, t.contract, point)
        for d in plan.dataset
        for t in plan.trainings_on(d.name)
        for point in t.grid
    ]
    assert len(made) >= least
