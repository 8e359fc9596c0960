"""Items are scored by what they are and by a private table; a contest of two is the softmax over all."""

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from shared_model import model as models
from shared_model import retrieval
from shared_model.errors import ConfigError
from shared_model.features import Batch, Contest
from shared_model.model import MultiTaskModel, build
from shared_model.negatives import exactly, standing
from shared_model.repeats import none_earlier
from shared_model.retrieval import RetrievalHead
from shared_model.schema import parse_federation

from .contracts import CATALOGUE, batch, tables

NAN = float("nan")
CONTENT = ["category", "picture", "price", "title"]
ITEMS = Batch(
    numeric=torch.tensor([[0.1], [0.7], [NAN], [2.0], [0.3]]),
    ids={
        "category": torch.tensor([1, 2, 3, 0, 1]),
        "title": torch.tensor([[5, 6, 7], [1, 0, 0], [0, 0, 0], [2, 2, 3], [4, 1, 0]]),
    },
    vectors={"picture": torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1], [0, 2, 0]])},
)
CHOSEN = Contest(torch.tensor([0, 4, 0]), None)


def agreed(architecture: str = "shared_bottom", **options: Any) -> dict[str, Any]:
    found = tables(architecture)
    found["tasks"]["next_item"] |= {"content": CONTENT, **options}
    return found


def made(seed: int = 0) -> MultiTaskModel:
    generator = torch.Generator().manual_seed(seed)
    found = build(parse_federation(agreed()), generator=generator, catalogues={"next_item": CATALOGUE})
    for parameter in found.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return found.double()


def shop(contest: Contest | None = None) -> Batch:
    whole = batch(torch.float64)
    contests = {} if contest is None else {"next_item": contest}
    return Batch(
        numeric=whole.numeric,
        ids=whole.ids,
        vectors=whole.vectors,
        labels=whole.labels,
        items={"next_item": ITEMS.to("cpu", torch.float64)},
        contests=contests,
    )


def head_of(model: MultiTaskModel) -> RetrievalHead:
    found = model.head("next_item")
    assert isinstance(found, RetrievalHead)
    return found


def gradients(model: MultiTaskModel, losses: Tensor) -> dict[str, Tensor]:
    parameters = dict(model.named_parameters())
    found = torch.autograd.grad(losses.sum(), list(parameters.values()), allow_unused=True)
    return {n: torch.zeros(()) if g is None else g for n, g in zip(parameters, found, strict=True)}


def by_softmax(model: MultiTaskModel) -> Tensor:
    return F.cross_entropy(model(shop(), ["next_item"])["next_item"], CHOSEN.chosen, reduction="none")


def by_contest(model: MultiTaskModel, drawn: Tensor | None) -> Tensor:
    logits = model(shop(Contest(CHOSEN.chosen, drawn)), ["next_item"])["next_item"]
    return F.cross_entropy(logits, torch.zeros(3, dtype=torch.long), reduction="none")


# --- the score ----------------------------------------------------------------------------------------


def test_the_score_is_how_well_content_matches_plus_a_row_of_the_private_table() -> None:
    model = made()
    head, z = head_of(model), model.represent(shop())["next_item"]
    content = model.encoder.described(ITEMS.to("cpu", torch.float64), CONTENT)
    vectors = content @ head.prior.tower.weight.T + head.prior.tower.bias  # type: ignore[union-attr]
    matched = z @ head.prior.match.weight.T @ vectors.T  # type: ignore[union-attr]
    expected = matched + z @ head.own.weight.T + head.own.bias
    torch.testing.assert_close(model(shop(), ["next_item"])["next_item"], expected)
    torch.testing.assert_close(model(shop(), ["next_item"], own=False)["next_item"], matched)


def test_content_is_the_features_in_the_order_in_which_rows_have_them() -> None:
    model = made()
    content = model.encoder.described(ITEMS.to("cpu", torch.float64), CONTENT)
    # price with hinge, step and flag (4), category (2), title (2), picture (2)
    assert content.shape == (5, 10)
    torch.testing.assert_close(content[1, :4], torch.tensor([0.7, 0.2, 0.0, 0.0]).double())
    torch.testing.assert_close(content[1, 4:6], model.encoder.tables["category"].weight[2])


def test_before_training_all_items_score_alike() -> None:
    fresh = build(parse_federation(agreed()), generator=torch.Generator(), catalogues={"next_item": 5})
    scores = fresh(Batch(**{**vars(batch()), "items": {"next_item": ITEMS}}))["next_item"]
    assert not scores.any()


def test_the_tower_travels_and_the_table_of_items_stays() -> None:
    model = made()
    mine = [name for name in model.shared_parameters() if name.startswith("heads.next_item.")]
    assert mine == [f"heads.next_item.prior.{p}" for p in ("match.weight", "tower.bias", "tower.weight")]
    assert {"heads.next_item.own.weight", "heads.next_item.own.bias"} <= set(model.local_parameters())


def test_what_travels_does_not_depend_on_the_catalogue() -> None:
    federation = parse_federation(agreed())
    small, large = (
        build(federation, generator=torch.Generator(), catalogues={"next_item": items}) for items in (2, 99)
    )
    shapes = [{n: dict(m.named_parameters())[n].shape for n in m.shared_parameters()} for m in (small, large)]
    assert shapes[0] == shapes[1]


def test_an_item_that_was_never_sold_is_scored_by_its_content() -> None:
    model = made()
    twin = ITEMS.select(torch.tensor([0, 1, 2, 3, 0]))  # the last one looks like the first one
    whole = Batch(**{**vars(shop()), "items": {"next_item": twin.to("cpu", torch.float64)}})
    scores = model(whole, ["next_item"], own=False)["next_item"]
    torch.testing.assert_close(scores[:, 0], scores[:, 4])


def test_a_catalogue_encoded_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made()
    whole, expected = by_softmax(model), gradients(model, by_softmax(model))
    monkeypatch.setattr(models, "_ITEMS", 2)
    torch.testing.assert_close(by_softmax(model), whole)
    torch.testing.assert_close(gradients(model, by_softmax(model)), expected)


def test_a_batch_without_the_catalogue_is_refused() -> None:
    with pytest.raises(ValueError, match="the items of the catalogue in the batch"):
        made()(batch(torch.float64), ["next_item"])


# --- the contest of a training step -------------------------------------------------------------------


@pytest.mark.parametrize("cells", [1, 10, 1 << 20])
def test_a_contest_against_all_others_is_the_softmax(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = made()
    monkeypatch.setattr(retrieval, "CELLS", cells)  # one row at a time, two, all
    torch.testing.assert_close(by_contest(model, None), by_softmax(model))
    torch.testing.assert_close(gradients(model, by_contest(model, None)), gradients(model, by_softmax(model)))


@pytest.mark.parametrize("cells", [1, 1 << 20])
def test_the_sampled_loss_is_the_full_one_when_all_items_are_drawn(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, drawn = made(), torch.tensor([3, 0, 4, 1, 2])
    monkeypatch.setattr(retrieval, "CELLS", cells)
    torch.testing.assert_close(by_contest(model, drawn), by_softmax(model))
    torch.testing.assert_close(
        gradients(model, by_contest(model, drawn)), gradients(model, by_softmax(model))
    )


def test_over_all_samples_the_others_are_estimated_without_bias() -> None:
    scores, chosen = torch.tensor([[0.3, -1.0, 0.8, 2.0]]).double(), torch.tensor([0])
    samples = [torch.tensor(s) for s in itertools.combinations(range(4), 2)]
    estimates = [
        standing(scores[:, s], exactly(chosen, none_earlier(1, scores)), s, 4).exp().sum() for s in samples
    ]
    # given whether the chosen one was drawn, every sample of the three others is as likely as another
    without = torch.stack([e for e, s in zip(estimates, samples, strict=True) if 0 not in s]).mean()
    among = torch.stack([e for e, s in zip(estimates, samples, strict=True) if 0 in s]).mean()
    torch.testing.assert_close(torch.stack([without, among]), scores[:, 1:].exp().sum().expand(2))


def test_a_sample_of_the_chosen_item_alone_teaches_nothing() -> None:
    found = by_contest(made(), torch.tensor([4]))
    assert float(found[1].detach()) == 0.0


# --- what a contract may ask for ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "allowed"),
    [
        (["colour"], "features of shared scope, no sequence: category, color, picture, price, tags, title"),
        (["history"], "features of shared scope, no sequence"),
        (["shelf"], "features of shared scope, no sequence"),
        (["price", "price"], "every feature at most once"),
    ],
)
def test_only_what_describes_an_item_everywhere_may_be_content(content: list[str], allowed: str) -> None:
    with pytest.raises(ConfigError, match=f"tasks.next_item.content.*{allowed}"):
        parse_federation(agreed(content=content))


def test_a_wide_bottom_knows_numbers_only() -> None:
    with pytest.raises(ConfigError, match="numeric features, as the bottom is wide: price"):
        parse_federation(agreed("wide"))


def test_a_tower_is_refused_under_privacy_with_the_reason() -> None:
    private = agreed() | {"privacy": {"epsilon": 1.0, "delta": 1e-6}}
    with pytest.raises(ConfigError, match=r"a catalogue that all shoppers made.*learnt at home"):
        parse_federation(private)
