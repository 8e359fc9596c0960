"""The map of sources and targets, from cells that were made by hand."""

import re
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from server.reporting.wording import NOTHING, signed
from simulations.statistics import Verdict
from simulations.transfer.cells import ALL_OTHERS, HEADS, PRIOR, Cell, Task
from simulations.transfer.matrix import Matrix
from simulations.transfer.matrix_page import counts, draw, negative, sentence, table, write_page

LATE = Task(name="late", metric="log loss", higher_is_better=False, alone_method="linear")


def cell(source: str, target: str, percent: float | None, verdict: Verdict, serving: str = HEADS) -> Cell:
    bound = None if percent is None else percent
    return Cell(
        task="late", source=source, target=target, serving=serving, rows=90, shoppers=70, alone=0.5,
        value=0.4, percent=percent, low=bound, high=bound, verdict=verdict,
    )  # fmt: skip


CELLS = (
    cell("<b>north</b>", "<b>north</b>", 9.0, "cannot tell"),
    cell("<b>north</b>", "south", 5.0, "gains"),
    cell("south", "<b>north</b>", -30.0, "loses"),
    cell("south", "south", 1.0, "cannot tell"),
    cell(ALL_OTHERS, "<b>north</b>", -2.0, "loses"),
    cell(ALL_OTHERS, "south", 4.0, "gains"),
    cell("south", "<b>north</b>", -40.0, "loses", PRIOR),
)
FOUND = Matrix(
    name="town", command="x", environment={}, seeds=(0,), by="group",
    groups={"<b>north</b>": ("a", "b"), "south": ("c",)}, tasks=(LATE,), cells=CELLS,
)  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "matrix.html"
    write_page(FOUND, path)
    return path.read_text()


def test_a_group_at_itself_and_all_others_are_no_pairs() -> None:
    assert counts(CELLS[:6]) == {"gains": 1, "loses": 1, "cannot tell": 0}


def test_a_task_is_told_in_one_sentence() -> None:
    assert sentence(FOUND, "late", HEADS) == (
        "late, with the target's own heads: 1 of 2 pairs are better than alone, 1 worse, of 0 we cannot "
        "tell. "
        "From all others together 1 of 2 targets are better, 1 worse."
    )


def test_negative_transfer_is_what_own_heads_do_not_mend() -> None:
    assert [c.percent for c in negative(FOUND)] == [-30.0, -2.0]


def test_every_number_and_its_mark_stand_in_the_picture() -> None:
    texts = [text.get_text() for axes in draw(FOUND, LATE).axes for text in axes.texts]
    assert "+5 ▲" in texts
    assert f"{signed('-30')} ▼" in texts


def test_a_cell_that_was_not_measured_is_a_dash() -> None:
    few = replace(FOUND, cells=CELLS[:1])
    texts = [text.get_text() for axes in draw(few, LATE).axes for text in axes.texts]
    assert texts.count(NOTHING) == 11


def test_names_are_escaped(page: str) -> None:
    assert "<b>north</b>" not in page


def test_the_page_loads_nothing_and_runs_nothing(page: str) -> None:
    assert re.findall(r'(?:src|href)="(?!#)([^"]+)"', page) == []
    assert "<script" not in page


def test_the_table_counts_per_task_and_way_to_serve() -> None:
    told = StringIO()
    Console(width=200, file=told).print(table(FOUND))
    assert re.search(r"late +│ with the target's own heads +│ +2 +│ +1 +│ +1 +│", told.getvalue())
