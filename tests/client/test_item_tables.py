"""The table of items is the solution of a convex problem, with the tower's scores as offset."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from client import item_tables, serving_heads
from shared_model.features import Batch
from shared_model.losses import row_losses
from shared_model.model import MultiTaskModel, build
from shared_model.repeats import PENALTY, Earlier, traits
from shared_model.schema import Federation, parse_federation

ITEMS, ROWS = 5, 40
DRAW = torch.Generator().manual_seed(3)
EARLIER = Earlier(
    items=torch.rand(ROWS, ITEMS, generator=DRAW).argsort(1)[:, :3],
    times=torch.randint(0, 3, (ROWS, 3), generator=DRAW).float(),
    days=60 * torch.rand(ROWS, 3, generator=DRAW),
)
X, CHOSEN = torch.randn(ROWS, 2, generator=DRAW), torch.randint(0, ITEMS, (ROWS,), generator=DRAW).float()


class Shop:
    """Forty rows of two numbers; items have a price."""

    def __init__(self, federation: Federation) -> None:
        self.tasks = federation.tasks

    def rows(self, split: str, *, kind: str | None = None, task: str | None = None) -> Tensor:
        return torch.arange(ROWS)

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        items = Batch(numeric=torch.linspace(-1, 1, ITEMS).unsqueeze(1))
        return Batch(
            numeric=X[rows],
            labels={"next_item": CHOSEN[rows]},
            items={"next_item": items},
            earlier={"next_item": Earlier(*(tensor[rows] for tensor in EARLIER))},
        )


def setting(**options: Any) -> tuple[MultiTaskModel, Shop]:
    federation = parse_federation(
        {
            "federation": {"name": "tiny", "rounds": 1},
            "features": {"age": {"kind": "numeric"}, "price": {"kind": "numeric"}},
            "tasks": {"next_item": {"kind": "retrieval", **options}},
            "bottom": {"architecture": "wide"},
        }
    )
    model = build(federation, generator=torch.Generator(), catalogues={"next_item": ITEMS})
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(parameter.numel()))
    return model, Shop(federation)


def fitted(**options: Any) -> Tensor:
    model, shop = setting(**options)
    head = serving_heads.fit(model, shop, "next_item", penalty=2.0)  # type: ignore[arg-type]
    return torch.cat([head.weight, head.bias.unsqueeze(1)], 1)


def gradient_at(solution: Tensor, **options: Any) -> Tensor:
    """Of the sum of losses and the penalty, by autograd in float64."""
    model, shop = setting(**options)
    batch = shop.batch(torch.arange(ROWS))
    offset = model(batch, own=False)["next_item"].double().detach()
    z = torch.cat([X, torch.ones(ROWS, 1)], 1).double()
    point = solution.double().requires_grad_()
    losses = row_losses(shop.tasks["next_item"], offset + z @ point.T, CHOSEN.double()).value
    (found,) = torch.autograd.grad(losses.sum() + 1.0 * point.square().sum(), [point])
    return found


@pytest.mark.parametrize("content", [[], ["price"]])
def test_at_the_solution_the_penalised_loss_has_no_slope(content: list[str]) -> None:
    solution = fitted(content=content)
    assert float(gradient_at(torch.zeros(ITEMS, 3), content=content).abs().max()) > 1
    assert float(gradient_at(solution, content=content).abs().max()) < 1e-4


def test_the_tower_changes_what_is_left_for_the_table() -> None:
    assert not torch.allclose(fitted(content=["price"]), fitted(), atol=1e-2)


def test_rows_in_many_parts_give_the_same_table(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitted(content=["price"])
    monkeypatch.setattr(item_tables, "CELLS", 3 * ITEMS)
    torch.testing.assert_close(fitted(content=["price"]), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("content", [[], ["price"]])
def test_with_all_items_drawn_the_sampled_problem_is_the_full_one(content: list[str]) -> None:
    sampled = fitted(content=content, max_full=2, negatives=ITEMS)
    torch.testing.assert_close(sampled, fitted(content=content), rtol=1e-4, atol=1e-5)


def test_with_fewer_negatives_it_has_one_answer_near_the_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_tables, "_GROUP", 2)
    first, again = (fitted(max_full=2, negatives=3) for _ in range(2))
    assert torch.equal(first, again)
    assert float((first - fitted()).abs().max()) < 1.0


def test_the_steps_of_large_tables_remember_little(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = fitted()
    monkeypatch.setattr(item_tables, "_REMEMBERED", 0)
    torch.testing.assert_close(fitted(), exact, rtol=1e-3, atol=1e-4)


# --- repeats ------------------------------------------------------------------------------------------


def own_part(*, together: float = 0.0, **options: Any) -> tuple[Tensor, Tensor]:
    model, shop = setting(repeats=True, **options)
    model.get_parameter("heads.next_item.repeats.weight").data.fill_(together)
    head = serving_heads.fit(model, shop, "next_item", penalty=2.0)  # type: ignore[arg-type]
    return torch.cat([head.weight, head.bias.unsqueeze(1)], 1), head.repeats


def slopes(table: Tensor, repeats: Tensor, *, together: float, penalty: float) -> tuple[Tensor, ...]:
    """Of the sum of losses and both penalties, by autograd in float64."""
    z = torch.cat([X, torch.ones(ROWS, 1)], 1).double()
    points = [table.double().requires_grad_(), repeats.double().requires_grad_()]
    worth = traits(EARLIER).double() @ (points[1] + together)
    scores = (z @ points[0].T).scatter_add(1, EARLIER.items, worth)
    loss = F.cross_entropy(scores, CHOSEN.long(), reduction="sum")
    pull = points[0].square().sum() + 0.5 * penalty * points[1].square().sum()
    return torch.autograd.grad(loss + pull, points)


@pytest.mark.parametrize(("together", "penalty"), [(0.0, PENALTY), (0.7, 2.0)])
def test_at_the_solution_there_is_no_slope_in_the_table_and_none_in_the_worth_of_repeats(
    together: float, penalty: float
) -> None:
    table, repeats = own_part(together=together)
    assert float(repeats.abs().min()) > 0.01
    found = slopes(table, repeats, together=together, penalty=penalty)
    assert max(float(slope.abs().max()) for slope in found) < 1e-4


def test_with_all_items_drawn_the_sampled_problem_with_repeats_is_the_full_one() -> None:
    sampled, full = own_part(max_full=2, negatives=ITEMS), own_part()
    torch.testing.assert_close(sampled, full, rtol=1e-4, atol=1e-5)


def test_rows_in_many_parts_give_the_same_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = own_part()
    monkeypatch.setattr(item_tables, "CELLS", 3 * ITEMS)
    torch.testing.assert_close(own_part(), whole, rtol=1e-4, atol=1e-5)


def test_repeats_are_worth_nothing_to_a_task_that_does_not_ask_for_them() -> None:
    model, shop = setting()
    assert not serving_heads.fit(model, shop, "next_item").repeats.any()  # type: ignore[arg-type]


def test_what_is_fitted_of_repeats_is_put_into_the_model() -> None:
    model, shop = setting(repeats=True)
    fitted = serving_heads.fit(model, shop, "next_item")  # type: ignore[arg-type]
    serving_heads.put(model, "next_item", fitted)
    own = dict(model.head("next_item").own.named_parameters())
    torch.testing.assert_close(own["repeats.weight"].detach(), fitted.repeats.unsqueeze(0))
