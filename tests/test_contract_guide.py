"""The guide to the contract says of every key what the code says; the guides to data name every key."""

import re
import tomllib
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
import torch

from client import evaluation, merchant_file, wanted_tasks
from shared_model import schema
from shared_model.heads import measure_of
from shared_model.library import TASKS
from shared_model.model import initial_shared
from shared_model.schema import Federation, parse_federation
from simulations import experiment, targets
from simulations.datasets import MarketOptions
from tests.declared_reference import declared_rows, toml_value

DOCS = Path(__file__).resolve().parents[1] / "docs"
_FENCED = r"^```.*?^```"
CONTRACT = (DOCS / "contract.md").read_text(encoding="utf-8")
SECTIONS: dict[type, str] = {
    schema.Federation: "## How a file is read",
    schema.Rounds: "## `[federation]`",
    schema.LocalTraining: "## `[local]`",
    schema.MetaLearning: "### `[local.meta]`",
    schema.ServerOptimizer: "## `[server]`",
    schema.Adaptation: "## `[adaptation]`",
    schema.Tier: "## `[tiers]`",
    schema.Privacy: "## `[privacy]`",
    schema.TaskPrivacy: "### `[privacy.tasks.NAME]`",
    schema.Telemetry: "### `[privacy.telemetry]`",
    schema.MerchantPrivacy: "### `[privacy.merchants]`",
    schema.Numeric: '### `kind = "numeric"`',
    schema.Categorical: '### `kind = "categorical"`',
    schema.Multi: '### `kind = "multi"`',
    schema.Text: '### `kind = "text"`',
    schema.Vector: '### `kind = "vector"`',
    schema.Sequence: '### `kind = "sequence"`',
    schema.TaskDeclaration: "### Keys of every task",
    schema.Binary: '### `kind = "binary"`',
    schema.Multiclass: '### `kind = "multiclass"`',
    schema.Multilabel: '### `kind = "multilabel"`',
    schema.Regression: '### `kind = "regression"`',
    schema.CountTask: '### `kind = "count"`',
    schema.Retrieval: '### `kind = "retrieval"`',
    schema.Wide: '### `architecture = "wide"`',
    schema.SharedBottom: '### `architecture = "shared_bottom"`',
    schema.MMoE: '### `architecture = "mmoe"`',
    schema.PLE: '### `architecture = "ple"`',
    schema.TaskEmbedding: '### `architecture = "task_embedding"`',
    schema.Cascade: '### `architecture = "cascade"`',
    experiment.Experiment: "## Experiment files",
    experiment.Plan: "### `[experiment]`",
    experiment.Baselines: "### `[baselines]`",
    experiment.Target: "### `[[target]]`",
}
"""Where `docs/contract.md` explains the keys of a declared dataclass."""


def declared_in(module: ModuleType) -> set[type]:
    found = [value for value in vars(module).values() if isinstance(value, type) and is_dataclass(value)]
    return {declared for declared in found if f"{declared.__module__}.".startswith(f"{module.__name__}.")}


def section(heading: str) -> str:
    """The lines below a heading, up to the next one."""
    return CONTRACT.split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def key_table(heading: str) -> list[list[str]]:
    """Cells of the rows of a section's table of keys: key, allowed, default, meaning."""
    lines = section(heading).partition("| key | allowed | default | meaning |")[2].strip().split("\n\n")[0]
    return [cells_of(line) for line in lines.splitlines()[1:]]


def test_every_part_of_a_contract_and_of_an_experiment_has_its_section() -> None:
    assert declared_in(schema) | declared_in(experiment) == set(SECTIONS)


@pytest.mark.parametrize("declared", SECTIONS, ids=lambda declared: declared.__name__)
def test_every_key_stands_with_its_range_and_default(declared: type) -> None:
    expected = [list(row) for row in declared_rows(declared)]
    assert [cells[:3] for cells in key_table(SECTIONS[declared])] == expected


@pytest.mark.parametrize("declared", SECTIONS, ids=lambda declared: declared.__name__)
def test_every_key_but_the_obvious_one_has_a_meaning(declared: type) -> None:
    unexplained = [cells[0] for cells in key_table(SECTIONS[declared]) if not cells[3]]
    assert set(unexplained) <= {"`kind`", "`architecture`"}


def test_every_figure_of_a_target_is_explained() -> None:
    explained = re.findall(r"^\| `(\w+)` \|", CONTRACT.split("| figure | what it is |")[1], re.MULTILINE)
    assert explained == list(targets.FIGURES)


def keys_of(declared: type) -> list[tuple[str, str]]:
    return [(declared.__name__, f.name) for f in fields(declared)]


MERCHANT_KEYS = [
    key for declared in (*declared_in(merchant_file), wanted_tasks._CommonTask) for key in keys_of(declared)
]
MARKET_KEYS = [key for declared in get_args(get_args(MarketOptions)[0]) for key in keys_of(declared)]


MARKET_GUIDES = {"ScenarioMarket": "scenarios.md"}
"""Markets with a page of their own."""


def said_in_code(page: Path) -> set[str]:
    """Words that a page writes as code: in backticks or in a fenced block."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(_FENCED, text, re.DOTALL | re.MULTILINE)
    inline = re.findall(r"`([^`\n]+)`", re.sub(_FENCED, "", text, flags=re.DOTALL | re.MULTILINE))
    return set(re.findall(r"\w+", " ".join([*fenced, *inline])))


@pytest.mark.parametrize(("declared", "key"), sorted(set(MERCHANT_KEYS)))
def test_every_key_of_a_merchants_file_is_in_its_guide(declared: str, key: str) -> None:
    assert key in said_in_code(DOCS / "data.md")


@pytest.mark.parametrize(("declared", "key"), sorted(set(MARKET_KEYS)))
def test_every_option_of_a_market_is_in_its_guide(declared: str, key: str) -> None:
    assert key in said_in_code(DOCS / MARKET_GUIDES.get(declared, "datasets.md"))


# --- tasks and models ---------------------------------------------------------------------------------

A_TASK: dict[str, schema.Task] = {
    "binary": schema.Binary(kind="binary"),
    "multiclass": schema.Multiclass(kind="multiclass", classes=("a", "b")),
    "multilabel": schema.Multilabel(kind="multilabel", labels=("a", "b")),
    "regression": schema.Regression(kind="regression"),
    "count": schema.CountTask(kind="count"),
    "retrieval": schema.Retrieval(kind="retrieval"),
}
LOGITS, LABELS = torch.zeros(10, 1), torch.tensor([0.0, 1.0] * 5)


def task_row(kind: str) -> list[str]:
    """What `docs/contract.md` says of a kind of task: kind, predicts, loss, first measure, further ones."""
    return cells_of(re.findall(rf"^\| `{kind}` \|.*$", CONTRACT, re.MULTILINE)[0])


def further_measures(kind: str) -> str:
    logits = LOGITS.expand(-1, 2) if kind in {"retrieval", "multiclass", "multilabel"} else LOGITS
    labels = LABELS.unsqueeze(-1).expand(-1, 2) if kind == "multilabel" else LABELS
    return ", ".join(evaluation.further(A_TASK[kind], logits, labels)) or "-"


@pytest.mark.parametrize("kind", A_TASK)
def test_every_kind_of_task_names_the_measures_that_are_computed(kind: str) -> None:
    assert task_row(kind)[3:] == [measure_of(A_TASK[kind]).name, further_measures(kind)]


def test_horizons_are_read_by_the_tasks_that_the_contract_names() -> None:
    looks_ahead = [name for name, task in TASKS.items() if "horizon_days" in task.meaning]
    row = next(cells for cells in key_table("### Keys of every task") if cells[0] == "`horizon_days`")
    assert re.findall(r"`(\w+)`", row[3]) == looks_ahead


def example() -> Federation:
    return parse_federation(tomllib.loads(re.findall(r"```toml\n(.*?)```", CONTRACT, re.DOTALL)[0]))


def test_the_example_says_what_travels_under_it() -> None:
    listed = re.findall(r"^\| `([\w.]+)` \| ([\d, ]+) \|", section("## A complete contract"), re.MULTILINE)
    travels = {name: array.shape for name, array in initial_shared(example(), 0).items()}
    assert {name: tuple(map(int, shape.split(","))) for name, shape in listed} == travels


def test_the_fingerprint_of_the_example_is_the_one_that_is_printed() -> None:
    assert f"`{example().fingerprint}`" in CONTRACT


def test_values_are_written_as_toml_writes_them() -> None:
    assert tomllib.loads(f"x = {toml_value([1.5, True, 'a', float('-inf')])}") == {
        "x": [1.5, True, "a", float("-inf")]
    }
