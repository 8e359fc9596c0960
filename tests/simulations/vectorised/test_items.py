"""Merchants that choose among their own items train together as they do one by one."""

from typing import Any

import pytest

from shared_model.schema import Federation

from .made_up import contract
from .test_plain import furthest, in_turn, run, together

TOWER = {"content": ["price", "city", "item"]}
REPEATS = {"repeats": True}


def choosing(
    architecture: str = "shared_bottom", options: dict[str, Any] | None = None, **changes: Any
) -> Federation:
    return contract(architecture, tasks={"next": {"kind": "retrieval", **(options or {})}}, **changes)


@pytest.mark.parametrize(
    "options", [{}, TOWER, REPEATS, TOWER | REPEATS], ids=["table", "tower", "repeats", "all"]
)
def test_catalogues_of_different_sizes_end_where_the_loop_ends(options: dict[str, Any]) -> None:
    federation = choosing(options=options)
    assert furthest(run(in_turn, federation, 4), run(together, federation, 4)) < 1e-9


@pytest.mark.parametrize("bottom", ["wide", "mmoe", "ple"])
def test_every_bottom_can_choose_items(bottom: str) -> None:
    federation = choosing(bottom, {"content": ["price"]} | REPEATS)
    assert furthest(run(in_turn, federation, 2), run(together, federation, 2)) < 1e-9


@pytest.mark.parametrize(
    "local",
    [
        {"optimizer": "adam", "learning_rate": 0.01},
        {"proximal": 0.5, "weight_decay": 0.1},
        {"weighting": "uncertainty"},
        {"train_residuals": True},
    ],
    ids=lambda local: " and ".join(local),
)
def test_other_optimisers_move_items_as_the_loop_does(local: dict[str, Any]) -> None:
    federation = choosing(options=TOWER | REPEATS, local={"learning_rate": 0.1, **local})
    assert furthest(run(in_turn, federation, 3), run(together, federation, 3)) < 1e-9
