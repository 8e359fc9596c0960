"""A contract with every kind of feature and of label that a scenario draws in memory."""

from pathlib import Path

import pytest

from shared_model import schema
from shared_model.schema import Federation

CONTRACT = """
[federation]
name = "everything"
rounds = 1
[bottom]
architecture = "shared_bottom"
[tasks.late]
kind = "binary"
initial = 0.2
[tasks.days]
kind = "regression"
transform = "log1p"
center = 2.0
scale = 0.5
low = 0.0
[tasks.units]
kind = "count"
initial = 2.0
[tasks.sort]
kind = "multiclass"
classes = ["a", "b", "c"]
[tasks.tags]
kind = "multilabel"
labels = ["x", "y"]
initial = 0.3
[features.price]
kind = "numeric"
transform = "log1p"
center = 3.5
[features.views]
kind = "numeric"
transform = "log1p"
[features.delta]
kind = "numeric"
transform = "signed_log1p"
[features.plain]
kind = "numeric"
center = 5.0
scale = 3.0
[features.season_sin]
kind = "numeric"
[features.category]
kind = "categorical"
buckets = 64
width = 4
[features.title]
kind = "text"
buckets = 256
width = 4
[features.words]
kind = "multi"
buckets = 64
width = 4
[features.picture]
kind = "vector"
length = 6
width = 3
[features.history]
kind = "sequence"
of = ["category"]
max_length = 4
"""

PRIVACY = """
[privacy]
unit = "shopper"
max_records = 2
epsilon = 8.0
delta = 1e-5
[tiers.any]
shoppers = 0
weight = 1.0
sampling_rate = 0.5
"""


@pytest.fixture
def contract_file(tmp_path: Path) -> Path:
    """The contract as a file."""
    file = tmp_path / "federation.toml"
    file.write_text(CONTRACT)
    return file


@pytest.fixture
def contract(contract_file: Path) -> Federation:
    """The contract."""
    return schema.load_federation(contract_file)
