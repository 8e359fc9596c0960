"""The guide to a merchant's data names everything that there is."""

from pathlib import Path

import pytest

from client.data.canonical import TABLES
from client.data.presets import PRESETS
from shared_model.library import ROW_KINDS, TASKS, LibraryTask

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
COLUMNS = {(name, meaning.meaning) for table in TABLES.values() for name, meaning in table.items()}
OFFERED = {column for kind in ROW_KINDS.values() for column in kind.columns}


@pytest.mark.parametrize(("name", "meaning"), sorted(COLUMNS))
def test_every_column_is_explained_as_in_the_code(name: str, meaning: str) -> None:
    assert f"`{name}`" in GUIDE
    assert meaning in GUIDE


@pytest.mark.parametrize("name", sorted({*TASKS, *ROW_KINDS, *OFFERED, *PRESETS}))
def test_every_task_row_kind_feature_column_and_preset_is_named(name: str) -> None:
    assert f"`{name}`" in GUIDE


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_every_library_task_is_explained_as_in_the_code(task: LibraryTask) -> None:
    assert task.meaning in GUIDE
