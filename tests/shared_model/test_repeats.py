"""Earlier purchases raise scores by three learned numbers, in the full and in the sampled softmax alike."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from shared_model import retrieval
from shared_model.features import Batch, Contest
from shared_model.model import MultiTaskModel, build
from shared_model.repeats import PENALTY, Earlier, traits_of
from shared_model.retrieval import RetrievalHead
from shared_model.schema import parse_federation

from .contracts import CATALOGUE, batch, tables

CHOSEN = torch.tensor([1, 4, 0])
EARLIER = Earlier(
    items=torch.tensor([[1, 3], [2, 0], [0, 0]]),
    times=torch.tensor([[1.0, 3.0], [1.0, 0.0], [0.0, 0.0]]).double(),
    days=torch.tensor([[30.0, 0.0], [90.0, 0.0], [0.0, 0.0]]).double(),
)
"""The first shopper bought item 1 once, a month ago, and item 3 thrice, just now; the last one nothing."""


def agreed(**options: Any) -> dict[str, Any]:
    found = tables()
    found["tasks"]["next_item"] |= options
    return found


def made(*, repeats: bool = True) -> MultiTaskModel:
    generator = torch.Generator().manual_seed(0)
    contract = parse_federation(agreed(repeats=repeats))
    found = build(contract, generator=generator, catalogues={"next_item": CATALOGUE})
    for parameter in found.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return found.double()


def head_of(model: MultiTaskModel) -> RetrievalHead:
    found = model.head("next_item")
    assert isinstance(found, RetrievalHead)
    return found


def worth(model: MultiTaskModel, *numbers: float) -> None:
    """Half of it is learnt together and half of it is the merchant's own."""
    for repeats in (head_of(model).repeats, head_of(model).own_repeats):
        assert repeats is not None
        repeats.weight.data.copy_(torch.tensor([numbers]) / 2)


def rows(contest: Contest | None = None) -> Batch:
    contests = {} if contest is None else {"next_item": contest}
    return replace(batch(torch.float64), earlier={"next_item": EARLIER}, contests=contests)


def by_softmax(model: MultiTaskModel) -> Tensor:
    return F.cross_entropy(model(rows(), ["next_item"])["next_item"], CHOSEN, reduction="none")


def by_contest(model: MultiTaskModel, drawn: Tensor | None) -> Tensor:
    logits = model(rows(Contest(CHOSEN, drawn)), ["next_item"])["next_item"]
    return F.cross_entropy(logits, torch.zeros(3, dtype=torch.long), reduction="none")


def gradients(model: MultiTaskModel, losses: Tensor) -> dict[str, Tensor]:
    parameters = dict(model.named_parameters())
    found = torch.autograd.grad(losses.sum(), list(parameters.values()), allow_unused=True)
    return {n: torch.zeros(()) if g is None else g for n, g in zip(parameters, found, strict=True)}


def gains(model: MultiTaskModel) -> Tensor:
    """What earlier purchases add to the scores, shape (3, 5)."""
    with_them, without = (model(r, ["next_item"])["next_item"] for r in (rows(), batch(torch.float64)))
    return with_them - without


def test_an_item_gains_for_having_been_bought_for_how_often_and_for_how_lately() -> None:
    model = made()
    expected = torch.zeros(3, 5).double()
    worth(model, 1.0, 0.0, 0.0)
    expected[0, [1, 3]] = expected[1, 2] = 1.0
    torch.testing.assert_close(gains(model), expected)
    worth(model, 0.0, 1.0, 0.0)
    expected[0, [1, 3]] = torch.tensor([2.0, 4.0]).double().log()
    expected[1, 2] = torch.tensor(2.0).double().log()
    torch.testing.assert_close(gains(model), expected)
    worth(model, 0.0, 0.0, 1.0)
    expected[0, [1, 3]] = torch.tensor([1 / 2, 1.0]).double()
    expected[1, 2] = 1 / 4
    torch.testing.assert_close(gains(model), expected)


def test_before_training_repeats_are_worth_nothing() -> None:
    fresh = build(parse_federation(agreed(repeats=True)), generator=torch.Generator())
    names = ("heads.next_item.repeats.weight", "heads.next_item.own.repeats.weight")
    assert not any(dict(fresh.named_parameters())[name].any() for name in names)


def test_with_a_worth_of_zero_the_head_is_what_it_was() -> None:
    model, before = made(), made(repeats=False)
    before.load_state_dict(model.state_dict(), strict=False)
    worth(model, 0.0, 0.0, 0.0)
    torch.testing.assert_close(by_softmax(model), by_softmax(before), rtol=0, atol=0)


def test_a_head_that_learns_nothing_of_repeats_does_not_look_at_them() -> None:
    assert not gains(made(repeats=False)).any()


def test_without_the_own_part_what_was_learnt_together_remains() -> None:
    model = made()
    worth(model, 2.0, 0.0, 0.0)
    found = model(rows(), ["next_item"], own=False)["next_item"]
    expected = torch.zeros(3, 5).double()
    expected[0, [1, 3]] = expected[1, 2] = 1.0
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("cells", [1, 1 << 20])
@pytest.mark.parametrize("drawn", [None, torch.tensor([3, 0, 4, 1, 2])])
def test_a_contest_against_all_or_all_drawn_is_the_softmax(
    drawn: Tensor | None, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = made()
    monkeypatch.setattr(retrieval, "CELLS", cells)  # one row at a time, all
    torch.testing.assert_close(by_contest(model, drawn), by_softmax(model))
    expected = gradients(model, by_softmax(model))
    assert expected["heads.next_item.own.repeats.weight"].abs().min() > 0
    torch.testing.assert_close(gradients(model, by_contest(model, drawn)), expected)


def test_what_a_shopper_bought_before_is_never_left_to_the_draw() -> None:
    model = made()
    scores = model(rows(), ["next_item"])["next_item"][0].detach()
    # of the first row 1 and 3 are exact, and 0 stands for 0, 2 and 4
    others = scores[3].exp() + 3 * scores[0].exp()
    expected = (scores[1].exp() + others).log() - scores[1]
    torch.testing.assert_close(by_contest(model, torch.tensor([0, 3]))[0].detach(), expected)


def test_what_is_known_of_one_item_is_zero_where_it_was_not_bought() -> None:
    found = traits_of(torch.tensor([3, 0, 0]), EARLIER)
    torch.testing.assert_close(found[0], torch.tensor([1.0, 1.3863, 1.0]).double(), atol=1e-4, rtol=0)
    assert not found[1:].any()


def test_three_numbers_travel_and_the_residual_stays() -> None:
    with_them, without = made(), made(repeats=False)
    more = {*with_them.shared_parameters()} - {*without.shared_parameters()}
    assert more == {"heads.next_item.repeats.weight"}
    assert "heads.next_item.own.repeats.weight" in with_them.local_parameters()


def test_rounds_move_what_travels_and_not_the_residual() -> None:
    model = made()
    assert model.moved_by("heads.next_item.repeats.weight") == {"next_item"}
    assert not model.moved_by("heads.next_item.own.repeats.weight")


def test_a_residual_is_pulled_like_the_table_once_something_was_learnt_together() -> None:
    model = made()
    assert head_of(model).pull_of_repeats(300.0) == 300.0
    worth(model, 0.0, 0.0, 0.0)
    assert head_of(model).pull_of_repeats(300.0) == PENALTY


def test_under_privacy_nothing_of_repeats_travels() -> None:
    found = tables("wide") | {"privacy": {"epsilon": 1.0, "delta": 1e-6}}
    found["features"] = {"price": {"kind": "numeric"}}
    found["federation"]["expected_batch"] = 8
    found["tasks"] = {n: found["tasks"][n] for n in ("late", "next_item")}
    found["tiers"] = {"all": {"shoppers": 0, "weight": 1.0, "sampling_rate": 0.1}}
    found["tasks"]["next_item"]["repeats"] = True
    model = build(parse_federation(found), generator=torch.Generator())
    assert model.shared_parameters() == ("heads.late.prior.bias", "heads.late.prior.weight")
