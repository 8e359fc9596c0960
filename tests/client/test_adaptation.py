"""Merchants of two domains train a discriminator that each sees one class of."""

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from client.data.examples import Examples
from client.training import train_plain
from shared_model.errors import ConfigError
from shared_model.features import Batch
from shared_model.model import MultiTaskModel, build
from shared_model.parameters import take
from shared_model.schema import Federation, parse_federation

from . import shops

DOMAINS = {"domains": ["garden", "toys"], "strength": 0.5}


class Rows:
    """Rows of one feature; labels y = 2 x, missing for the last one."""

    rows_of = {"amount": "table"}  # noqa: RUF012
    own_tasks: frozenset[str] = frozenset()

    def __init__(self, federation: Federation, values: list[float]) -> None:
        self.tasks, self.x = federation.tasks, torch.tensor(values)

    def rows(self, split: str, *, kind: str | None = None, task: str | None = None) -> Tensor:
        return torch.arange(len(self.x))

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        labels = (2 * self.x).index_fill(0, torch.tensor([len(self.x) - 1]), torch.nan)
        return Batch(numeric=self.x[rows].unsqueeze(-1), labels={"amount": labels[rows]})


def federation(**terms: object) -> Federation:
    return parse_federation(
        {
            "federation": {"name": "tiny", "rounds": 1, "expected_batch": 4, "full_batch": True, **terms},
            "local": {"learning_rate": 0.1},
            "features": {"x": {"kind": "numeric"}},
            "tasks": {"amount": {"kind": "regression"}},
            "bottom": {"architecture": "shared_bottom", "hidden": [3]},
            "adaptation": DOMAINS,
        }
    )


def made(agreement: Federation, domain: str) -> MultiTaskModel:
    model = build(agreement, generator=torch.Generator().manual_seed(0), domain=domain)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(parameter.numel()))
    return model


def change(agreement: Federation, data: Examples, domain: str) -> dict[str, Tensor]:
    model = made(agreement, domain)
    before = take(model, model.shared_parameters())
    train_plain(model, data, agreement, torch.Generator().manual_seed(0))
    return {n: after - before[n] for n, after in take(model, before).items()}


def pooled_change(agreement: Federation, shops: dict[str, Rows]) -> dict[str, Tensor]:
    """One step on all rows in one place, each with its own domain as label, divided by all rows."""
    model = made(agreement, "toys")
    names = model.shared_parameters()
    before = take(model, names)
    loss = torch.zeros(())
    for domain, data in shops.items():
        batch = data.batch(torch.arange(len(data.x)))
        z = model.represent(batch)
        label = ["garden", "toys"].index(domain)
        assert model.adaptation is not None
        guessed = torch.nn.functional.cross_entropy(
            model.adaptation(z["amount"]), torch.full((len(data.x),), label), reduction="sum"
        )
        error = model.logits(z, batch, ["amount"])["amount"].squeeze(-1) - batch.labels["amount"]
        loss = loss + guessed + 0.5 * error.nan_to_num(0.0).square().sum()
    (loss / (2 * agreement.federation.expected_batch)).backward()
    parameters = dict(model.named_parameters())
    return {n: -0.1 * parameters[n].grad for n in before}  # type: ignore[operator]


def test_with_one_local_step_the_mean_over_merchants_is_the_step_on_all_rows_in_one_place() -> None:
    agreement = federation()
    shops = {"garden": Rows(agreement, [0.5, -1.0, 2.0]), "toys": Rows(agreement, [1.5, 0.2])}
    changes = [change(agreement, data, domain) for domain, data in shops.items()]
    mean = {n: (changes[0][n] + changes[1][n]) / 2 for n in changes[0]}
    torch.testing.assert_close(mean, pooled_change(agreement, shops), rtol=1e-4, atol=1e-7)


def test_with_many_local_steps_a_discriminator_names_its_merchants_domain_whatever_the_row() -> None:
    agreement = federation(local_steps=200)
    moved = change(agreement, Rows(agreement, [0.5, -1.0, 2.0]), "garden")["adaptation.guess.bias"]
    assert moved[0] > 0 > moved[1]


def test_rows_without_a_label_train_the_discriminator_too() -> None:
    agreement = federation()
    moved = change(agreement, Rows(agreement, [1.0]), "garden")
    assert moved["adaptation.guess.bias"].any()
    assert not moved["heads.amount.prior.weight"].any()


def contract() -> dict:
    return {**shops.contract(), "adaptation": DOMAINS}


def test_a_merchant_of_a_domain_trains_and_sends_the_discriminator(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path, agreement=contract(), merchant={"name": "acme", "domain": "garden"})
    start = shops.start(merchant.federation)
    answer = merchant.train(shops.instruction(merchant.federation, start), start)
    name = "adaptation.guess.weight"
    assert (answer.arrays[name] != start[name]).any()


@pytest.mark.parametrize("said", [{}, {"domain": "cars"}])
def test_a_merchant_that_trains_must_say_its_domain(tmp_path: Path, said: dict) -> None:
    with pytest.raises(ConfigError, match=r"merchant\.domain .* garden, toys"):
        shops.merchant(tmp_path, agreement=contract(), merchant={"name": "acme", **said})


def test_a_merchant_that_only_receives_needs_no_domain(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path, agreement=contract(), merchant={"name": "acme", "role": "receive"})
    assert merchant.config.domain is None


def test_a_domain_may_stand_in_the_file_although_the_contract_adapts_to_none(tmp_path: Path) -> None:
    assert shops.merchant(tmp_path, merchant={"name": "acme", "domain": "garden"}).config.domain is None
