"""Inner products between rows of a unit, by hand."""

import pytest
import torch

from client.private import products
from client.private.products import Products
from client.private.units import Units

OWNERS = Units(torch.tensor([1, 0, 1, 3, 1]), 4)
"""Rows 0, 2 and 4 are of unit 1; unit 2 has none."""


def test_pairs_are_all_rows_of_a_unit_two_by_two() -> None:
    first, second, owner = OWNERS.pairs
    assert sorted(zip(first.tolist(), second.tolist(), owner.tolist(), strict=True)) == [
        (0, 2, 1), (0, 4, 1), (2, 4, 1),
    ]  # fmt: skip


def test_units_of_one_row_have_no_pairs() -> None:
    assert Units(torch.tensor([2, 0]), 3).pairs.owner.tolist() == []


def test_products_are_those_of_rows_with_themselves_and_then_of_pairs() -> None:
    found = Products(OWNERS).of(torch.tensor([[1.0, 2.0], [3.0, 0.0], [0.0, 5.0], [1.0, 1.0], [2.0, 0.0]]))
    assert found[:5].tolist() == pytest.approx([5.0, 9.0, 25.0, 2.0, 4.0])
    assert sorted(found[5:].tolist()) == [0.0, 2.0, 10.0]


def test_norms_are_those_of_the_sums_of_rows() -> None:
    found = Products(OWNERS)
    squares = found.of(torch.tensor([[3.0], [1.0], [-1.0], [2.0], [2.0]]))  # unit 1: 3 - 1 + 2
    assert found.norms(squares).tolist() == pytest.approx([1.0, 4.0, 0.0, 2.0])


def test_vectors_that_lie_in_one_place_are_multiplied_once() -> None:
    found, vectors = Products(OWNERS), torch.ones(5, 2)
    assert found.of(vectors) is found.of(vectors.view(5, 2))


def test_rows_read_the_same_row_of_a_table_or_another() -> None:
    equal = Products(OWNERS).equal(torch.tensor([7, 7, 7, 8, 6]))
    assert (equal[:5].tolist(), sorted(equal[5:].tolist())) == ([1.0] * 5, [0.0, 0.0, 1.0])


def test_many_rows_of_a_unit_are_left_to_other_ways() -> None:
    few, many = (Units(torch.zeros(rows, dtype=torch.int64), 1) for rows in (9, 10))
    assert Products(few).are_few  # 36 pairs for 9 rows
    assert not Products(many).are_few  # 45 for 10


def test_large_batches_are_multiplied_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    whole = Products(OWNERS).of(vectors)
    monkeypatch.setattr(products, "CACHED", 7)  # two rows
    torch.testing.assert_close(Products(OWNERS).of(vectors), whole)
