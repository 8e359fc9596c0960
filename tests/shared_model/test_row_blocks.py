"""Big tables travel in public blocks of rows, one block in a round."""

import numpy as np
import pytest

from shared_model.errors import ConfigError
from shared_model.model import initial_shared
from shared_model.row_blocks import WHOLE, Schedule, schedule_of, shapes_in, travelling
from shared_model.schema import parse_federation


def contract(blocks, *, bottom="shared_bottom", privacy=None, **features):
    tables = {
        "federation": {"name": "harbour", "rounds": 4, "row_blocks": blocks, "full_batch": True},
        "features": {
            "price": {"kind": "numeric"},
            "category": {"kind": "categorical", "buckets": 2000, "width": 2},
            "colour": {"kind": "categorical", "buckets": 16, "width": 2},
            "shelf": {"kind": "categorical", "buckets": 4000, "width": 2, "scope": "local"},
            "words": {"kind": "text", "buckets": 1024, "width": 2},
            **features,
        },
        "tasks": {"late": {"kind": "binary"}},
        "bottom": {"architecture": bottom, **({"hidden": [4]} if bottom != "wide" else {})},
    }
    if privacy is not None:
        tables["privacy"] = privacy
    return parse_federation(tables)


def test_the_blocks_of_a_table_are_runs_of_rows_one_after_another():
    schedule = Schedule(3, {"table": 10})
    assert [schedule.rows(number)["table"] for number in (1, 2, 3, 4)] == [
        slice(0, 3), slice(3, 6), slice(6, 10), slice(0, 3),
    ]  # fmt: skip


@pytest.mark.parametrize("rows", [1024, 1025, 100_003])
@pytest.mark.parametrize("blocks", [2, 7, 64])
def test_in_as_many_rounds_as_blocks_every_row_travels_once(rows, blocks):
    schedule = Schedule(blocks, {"table": rows})
    turns = np.zeros(rows, int)
    for number in range(1, blocks + 1):
        turns[schedule.rows(number)["table"]] += 1
    assert (turns == 1).all()


def test_only_big_tables_that_travel_are_divided():
    tables = schedule_of(contract(4)).tables
    assert tables == {"encoder.tables.category.weight": 2000, "encoder.tables.words.weight": 1024}


def test_the_divided_tables_are_arrays_of_the_model_with_as_many_rows():
    federation = contract(4)
    shapes = {name: array.shape for name, array in initial_shared(federation, 0).items()}
    assert all(shapes[name][0] == rows for name, rows in schedule_of(federation).tables.items())


def test_without_blocks_everything_travels():
    assert schedule_of(contract(1)) == WHOLE
    assert WHOLE.rows(3) == {}


def test_what_travels_is_a_view_of_the_rows_and_whole_otherwise():
    arrays = {"table": np.arange(10.0).reshape(5, 2), "bias": np.ones(3)}
    found = travelling(arrays, {"table": slice(1, 3)})
    assert found["table"].tolist() == [[2.0, 3.0], [4.0, 5.0]]
    assert found["table"].base is not None
    assert found["bias"] is arrays["bias"]
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes_in(shapes, {"table": slice(1, 3)}) == {n: a.shape for n, a in found.items()}


def test_blocks_without_a_big_table_are_refused():
    with pytest.raises(ConfigError, match="no table that travels has 1,024 rows or more"):
        contract(4, bottom="wide")


def test_blocks_under_a_promise_of_privacy_are_refused_with_the_reason():
    with pytest.raises(ConfigError, match="clipped over all rows that the shop reads"):
        contract(4, privacy={"epsilon": 8.0, "delta": 1e-6})
