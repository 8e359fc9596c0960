"""The guides name what the tables inside a scenario or a table market may say."""

from dataclasses import fields
from pathlib import Path

import pytest

from simulations.datasets.table import Partition
from simulations.scenarios.options import Fixed, Listed, LogNormal, Pareto, TaskKnobs, Uniform

DOCS = Path(__file__).resolve().parents[3] / "docs"
DECLARED = {
    "scenarios.md": (TaskKnobs, Fixed, LogNormal, Uniform, Pareto, Listed),
    "datasets.md": (Partition,),
}


@pytest.mark.parametrize(
    ("page", "key"),
    [
        (page, f.name)
        for page, every in DECLARED.items()
        for declared in every
        for f in fields(declared)
        if f.name != "kind"
    ],
)
def test_every_key_is_in_the_guide(page: str, key: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert f"`{key}`" in text or f"partition.{key}" in text
