"""Which items a choice is trained against: all of them, or publicly drawn ones."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor

from client.contests import drawn, with_contests
from client.training import train_plain
from shared_model.features import Batch
from shared_model.model import MultiTaskModel, build
from shared_model.schema import Federation, Retrieval, parse_federation

NAN = float("nan")
ITEMS = 6


def choosing(**options: Any) -> Retrieval:
    return Retrieval(kind="retrieval", **options)


class Shop:
    """Four rows of one feature that chose among six items; the last row chose none of them."""

    rows_of = {"next_item": "table"}  # noqa: RUF012

    def __init__(self, federation: Federation) -> None:
        self.tasks = federation.tasks

    def rows(self, split: str, *, kind: str | None = None, task: str | None = None) -> Tensor:
        return torch.arange(4)

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        items = Batch(numeric=torch.arange(float(ITEMS)).unsqueeze(1) / ITEMS)
        return Batch(
            numeric=torch.tensor([[1.0], [2.0], [-1.0], [0.5]])[rows],
            labels={"next_item": torch.tensor([3.0, 0.0, 5.0, NAN])[rows]},
            items={"next_item": items},
        )


def federation(**options: Any) -> Federation:
    return parse_federation(
        {
            "federation": {
                "name": "tiny",
                "rounds": 1,
                "local_steps": 3,
                "full_batch": True,
                "expected_batch": 4,
            },
            "local": {"learning_rate": 0.5},
            "features": {"price": {"kind": "numeric"}},
            "tasks": {"next_item": {"kind": "retrieval", "content": ["price"], **options}},
            "bottom": {"architecture": "shared_bottom", "hidden": [3]},
        }
    )


def made(agreement: Federation) -> MultiTaskModel:
    return build(agreement, generator=torch.Generator().manual_seed(0), catalogues={"next_item": ITEMS})


def trained(public: str = "spring/1", **options: Any) -> dict[str, Tensor]:
    agreement = federation(**options)
    model = made(agreement)
    train_plain(model, Shop(agreement), agreement, torch.Generator().manual_seed(0), public=public)
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def test_a_choice_stands_first_in_its_contest_and_a_missing_label_stays_missing() -> None:
    agreement = federation()
    shop = Shop(agreement)
    seen = with_contests(made(agreement), shop.batch(torch.arange(4)), agreement.tasks, "spring/1/0")
    assert seen.contests["next_item"].chosen.tolist() == [3, 0, 5, 0]
    assert seen.labels["next_item"].tolist()[:3] == [0.0, 0.0, 0.0]
    assert seen.labels["next_item"].isnan().tolist() == [False, False, False, True]


def test_up_to_the_largest_full_catalogue_nothing_is_drawn() -> None:
    assert drawn(choosing(max_full=6), 6, "spring/1/0/next_item") is None
    assert drawn(choosing(max_full=5), 6, "spring/1/0/next_item") is not None


def test_the_draw_follows_from_the_name_of_the_step_alone() -> None:
    spec = choosing(max_full=10, negatives=5)
    first, again, other = (drawn(spec, 1000, name) for name in ("a/1/0", "a/1/0", "a/1/1"))
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.tolist() == again.tolist()
    assert sorted(first.tolist()) != sorted(other.tolist())
    assert len(set(first.tolist())) == 5


def test_the_draw_is_what_it_was_in_the_first_version() -> None:
    # golden: another draw at the same step would be another training
    found = drawn(choosing(max_full=2, negatives=3), 10, "spring/1/0/next_item")
    assert found is not None
    assert found.tolist() == [9, 5, 3]


def test_every_item_is_drawn_as_often_as_another() -> None:
    # 2000 draws of 2 of 10 items: 400 each, with sd 17.9; four of them are exceeded once in 1600 seeds
    spec = choosing(max_full=2, negatives=2)
    draws = [found for step in range(2000) if (found := drawn(spec, 10, f"spring/1/{step}")) is not None]
    counts = torch.bincount(torch.cat(draws), minlength=10)
    assert counts.min() > 400 - 72
    assert counts.max() < 400 + 72


def test_training_with_all_items_drawn_is_training_with_the_whole_softmax() -> None:
    torch.testing.assert_close(trained(max_full=2, negatives=ITEMS), trained())


def test_with_fewer_negatives_the_name_of_the_round_decides_what_is_learnt() -> None:
    once, again, other = (trained(n, max_full=2, negatives=2) for n in ("spring/1", "spring/1", "spring/2"))
    torch.testing.assert_close(once, again, rtol=0, atol=0)
    assert not torch.equal(once["heads.next_item.own.bias"], other["heads.next_item.own.bias"])


def test_the_table_of_items_and_the_tower_learn_together_in_rounds() -> None:
    after = trained()
    assert after["heads.next_item.own.weight"].any()
    assert after["heads.next_item.prior.match.weight"].any()


@pytest.mark.parametrize("name", ["heads.next_item.own.bias", "heads.next_item.prior.match.weight"])
def test_an_unlabelled_row_teaches_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained()[name]
    monkeypatch.setattr(Shop, "rows", lambda *_, **__: torch.arange(3))
    torch.testing.assert_close(trained()[name], whole)
