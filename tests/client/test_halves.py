"""Validation rows of one shopper stand in one half, whole."""

from pathlib import Path

from client.halves import choosing, judging

from . import shops


def test_the_halves_share_no_row_and_no_shopper(tmp_path: Path) -> None:
    dataset = shops.merchant(tmp_path).dataset
    first, second = choosing(dataset, "amount"), judging(dataset, "amount")
    all_rows = dataset.rows("validation", task="amount")
    assert sorted([*first.rows.tolist(), *second.rows.tolist()]) == all_rows.tolist()
    assert not set(dataset.unit[first.rows.numpy()]) & set(dataset.unit[second.rows.numpy()])


def test_shoppers_are_counted_once(tmp_path: Path) -> None:
    dataset = shops.merchant(tmp_path, split={"validation_days": 50, "test_days": 5}).dataset
    both = choosing(dataset, "amount").shoppers + judging(dataset, "amount").shoppers
    assert both == 30  # each of them came twice
