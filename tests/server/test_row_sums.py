"""Sums of rows that some reply changed are those of the whole table, in less memory."""

import numpy as np

from server.row_sums import RowSums


def test_rows_that_several_replies_change_are_added_up_and_others_are_zero():
    sums = RowSums(5, 2)
    sums.add(np.array([3, 1]), np.array([[1.0, 2.0], [10.0, 20.0]]))
    sums.add(np.array([1, 4]), np.array([[0.5, 0.5], [7.0, 8.0]]))
    assert sums.whole().tolist() == [[0, 0], [10.5, 20.5], [0, 0], [1, 2], [7, 8]]


def test_nothing_added_is_zero_everywhere():
    sums = RowSums(3, 1)
    sums.add(np.empty(0, int), np.empty((0, 1)))
    assert sums.whole().tolist() == [[0.0], [0.0], [0.0]]


def test_memory_follows_the_rows_that_were_changed():
    sums = RowSums(100_000, 16)
    sums.add(np.arange(0, 100_000, 1000), np.ones((100, 16)))
    assert sums._sums.nbytes < 200 * 16 * 8
