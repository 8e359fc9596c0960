"""Meta-learning in a local step, by hand on one row that occurs several times."""

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor

from client.meta import adapted, halved
from client.training import train_plain
from shared_model.features import Batch
from shared_model.model import MultiTaskModel, build
from shared_model.parameters import take
from shared_model.schema import Federation, MetaLearning, parse_federation
from tests.shared_model.contracts import batch, contract


class EqualRows:
    """Rows of one feature x = 1 with the label y = 3; remembers which rows were read together."""

    rows_of = {"amount": "table"}  # noqa: RUF012
    own_tasks: frozenset[str] = frozenset()

    def __init__(self, federation: Federation, count: int = 2) -> None:
        self.tasks, self.count = federation.tasks, count
        self.read: list[list[int]] = []

    def rows(self, split: str, *, kind: str | None = None, task: str | None = None) -> Tensor:
        return torch.arange(self.count)

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        self.read.append(rows.tolist())
        return Batch(numeric=torch.ones(len(rows), 1), labels={"amount": torch.full((len(rows),), 3.0)})


def federation(bottom: str = "wide", **local: object) -> Federation:
    return parse_federation(
        {
            "federation": {"name": "tiny", "rounds": 1, "expected_batch": 2, "full_batch": True},
            "local": {"learning_rate": 0.5, **local},
            "features": {"x": {"kind": "numeric"}},
            "tasks": {"amount": {"kind": "regression"}},
            "bottom": {"architecture": bottom},
        }
    )


def trained(agreement: Federation, data: EqualRows | None = None) -> MultiTaskModel:
    model = build(agreement, generator=torch.Generator().manual_seed(3))
    train_plain(model, data or EqualRows(agreement), agreement, torch.Generator().manual_seed(0))
    return model


def prior(model: MultiTaskModel) -> list[float]:
    found = take(model, model.shared_parameters())
    return [found["heads.amount.prior.weight"].item(), found["heads.amount.prior.bias"].item()]


def test_a_step_by_hand() -> None:
    # One support and one query row, B / 2 = 1 for each. (w + b - 3)^2 / 2 has the gradient -3 at 0, for w and
    # for b: the copy moves to .3 and .3. There the gradient is .6 - 3 = -2.4: the start moves by .5 * 2.4.
    meta = {"method": "fomaml", "inner_learning_rate": 0.1}
    assert prior(trained(federation(meta=meta))) == pytest.approx([1.2, 1.2])


def test_two_inner_steps_by_hand() -> None:
    # From .3 and .3 the copy goes on by .24 each: .54. There the gradient is 1.08 - 3 = -1.92.
    meta = {"method": "fomaml", "inner_learning_rate": 0.1, "inner_steps": 2}
    assert prior(trained(federation(meta=meta))) == pytest.approx([0.96, 0.96])


def test_under_a_wide_bottom_anil_is_fomaml() -> None:
    found = [prior(trained(federation(meta={"method": method}))) for method in ("anil", "fomaml")]
    assert found[0] == found[1]


@pytest.mark.parametrize("method", ["anil", "fomaml"])
@pytest.mark.parametrize("bottom", ["wide", "shared_bottom", "mmoe"])
def test_without_inner_steps_it_is_plain_sgd(bottom: str, method: str) -> None:
    # all rows are equal: those of the query alone, over half of B, have the gradient of all of them
    plain = trained(federation(bottom))
    meta = trained(federation(bottom, meta={"method": method, "inner_steps": 0}))
    torch.testing.assert_close(
        take(meta, meta.shared_parameters()), take(plain, plain.shared_parameters()), rtol=1e-5, atol=1e-7
    )


def test_a_merchant_with_a_single_row_takes_a_plain_step_on_it() -> None:
    agreement = federation(meta={"method": "fomaml"})
    assert prior(trained(agreement, EqualRows(agreement, 1))) == pytest.approx([1.5, 1.5])


def test_the_proximal_term_pulls_at_the_start_and_not_at_the_copy() -> None:
    # in the first step the start is where the round began, so nothing pulls, wherever the copy went
    meta = {"method": "fomaml", "inner_learning_rate": 0.1}
    assert prior(trained(federation(meta=meta, proximal=5.0))) == pytest.approx([1.2, 1.2])


def test_support_and_query_have_no_row_in_common() -> None:
    agreement = federation(meta={"method": "fomaml"})
    data = EqualRows(agreement, 9)
    trained(agreement, data)
    support, query = data.read
    assert (len(support), len(query)) == (4, 5)
    assert sorted(support + query) == list(range(9))


def test_every_kind_of_row_is_halved_by_itself() -> None:
    kinds = [torch.arange(6), torch.arange(10, 14)]
    support, _ = halved(kinds, torch.Generator().manual_seed(1))
    assert [int((support < 10).sum()), int((support >= 10).sum())] == [3, 2]


def moved(method: str) -> dict[str, bool]:
    """Which parameters a copy of a network moves."""
    model = build(contract("shared_bottom"), generator=torch.Generator().manual_seed(0))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(1))
    names = [name for name, _ in model.named_parameters()]
    before = take(model, names)

    def loss() -> Tensor:
        return model(batch())["late"].square().sum()

    with adapted(model, names, loss, MetaLearning(method=method)):
        inside = take(model, names)
    assert all(torch.equal(before[n], after) for n, after in take(model, names).items())
    return {name: not torch.equal(before[name], inside[name]) for name in names}


def test_anil_adapts_heads_alone() -> None:
    found = moved("anil")
    assert found["heads.late.prior.weight"]
    assert found["heads.late.own.weight"]
    assert not any(moves for name, moves in found.items() if not name.startswith("heads.late."))


def test_fomaml_adapts_the_bottom_and_the_tables_too() -> None:
    found = moved("fomaml")
    assert found["bottom.tower.layers.0.weight"]
    assert found["encoder.tables.category.weight"]
    assert not found["heads.days.prior.weight"]  # the loss does not read it


def test_the_model_is_back_where_it_was_when_the_block_fails() -> None:
    agreement = federation(meta={"method": "fomaml"})
    model = build(agreement, generator=torch.Generator())

    def loss() -> Tensor:
        return model(Batch(numeric=torch.ones(1, 1)))["amount"].sum()

    names = ["heads.amount.prior.weight"]
    with pytest.raises(KeyError), adapted(model, names, loss, MetaLearning(method="fomaml")):
        raise KeyError
    assert prior(model) == [0.0, 0.0]
