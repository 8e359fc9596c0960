"""A discriminator that travels, behind a reversal of the gradient."""

from typing import Any

import pytest
import torch

from shared_model import schema
from shared_model.adaptation import Discriminator, reverse
from shared_model.architectures import ARCHITECTURES
from shared_model.errors import ConfigError
from shared_model.layers import recording
from shared_model.model import MultiTaskModel, build, initial_shared
from shared_model.schema import Federation, parse_federation

from .contracts import CATALOGUE, batch, tables

NETWORKS = sorted(set(ARCHITECTURES) - {"wide"})
DOMAINS = ["garden", "toys"]


def adapting(architecture: str, **changes: Any) -> Federation:
    return parse_federation({**tables(architecture), "adaptation": {"domains": DOMAINS, **changes}})


def model(federation: Federation, domain: str | None = "toys") -> MultiTaskModel:
    made = build(
        federation,
        generator=torch.Generator().manual_seed(0),
        catalogues={"next_item": CATALOGUE},
        domain=domain,
    )
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(parameter.numel()))
    return made


def gradients(made: MultiTaskModel, *, of_domains: bool) -> dict[str, torch.Tensor]:
    """Of the sum of some task's logits, and of the losses of being recognised where they are asked for."""
    found = made.represent(batch())
    loss = made.logits(found, batch(), ["late"])["late"].sum()
    recognised = made.domain_losses(found, ["late", "days"])
    assert recognised is not None
    (loss + recognised.sum() if of_domains else loss).backward()
    return {n: p.grad for n, p in made.named_parameters() if p.grad is not None}


def test_the_reversal_changes_nothing_forward_and_the_sign_backward() -> None:
    # d(3 y)/dx = 3 without it, 3 * -0.5 with it
    x = torch.tensor([2.0, -1.0], requires_grad=True)
    y = reverse(x, 0.5)
    (3 * y).sum().backward()
    assert y.tolist() == [2.0, -1.0]
    assert x.grad is not None
    assert x.grad.tolist() == [-1.5, -1.5]


def test_a_step_by_hand() -> None:
    # Logits (z, -z) of the two domains at z = 0: the loss is log 2, the gradient of the logits of a row whose
    # domain is the first (-1/2, 1/2). To the weights z times that, 0; to the biases that; to z before the
    # reversal -1/2 * 1 + 1/2 * -1 = -1, behind it 0.25.
    spec = schema.Adaptation(domains=("garden", "toys"), strength=0.25)
    made = Discriminator(spec, 1, domain="garden", generator=torch.Generator())
    assert made.guess.bias is not None
    with torch.no_grad():
        made.guess.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        made.guess.bias.zero_()
    z = torch.zeros(1, 1, requires_grad=True)
    loss = made.row_losses([z])
    loss.sum().backward()
    assert loss.tolist() == pytest.approx([0.693147])
    assert made.guess.bias.grad is not None
    assert made.guess.bias.grad.tolist() == [-0.5, 0.5]
    assert z.grad is not None
    assert z.grad.tolist() == [[0.25]]


@pytest.mark.parametrize("architecture", NETWORKS)
def test_with_strength_0_the_bottom_learns_as_without(architecture: str) -> None:
    federation = adapting(architecture, strength=0.0)
    without = gradients(model(federation), of_domains=False)
    beside = gradients(model(federation), of_domains=True)
    watching = {name for name in beside if name.startswith("adaptation.")}
    assert watching == {"adaptation.guess.weight", "adaptation.guess.bias"}
    torch.testing.assert_close({n: g for n, g in beside.items() if n in without}, without)
    assert all(not beside[n].any() for n in set(beside) - set(without) - watching)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_with_strength_the_bottom_learns_against_the_discriminator(architecture: str) -> None:
    weak, strong = (gradients(model(adapting(architecture, strength=s)), of_domains=True) for s in (0.0, 1.0))
    torch.testing.assert_close(strong["adaptation.guess.weight"], weak["adaptation.guess.weight"])
    assert any(not torch.equal(strong[n], weak[n]) for n in strong if n.startswith("bottom."))


@pytest.mark.parametrize("architecture", NETWORKS)
def test_the_discriminator_travels(architecture: str) -> None:
    shapes = {n: a.shape for n, a in initial_shared(adapting(architecture, hidden=5), 0).items()}
    assert shapes["adaptation.tower.layers.0.weight"][0] == 5
    assert shapes["adaptation.guess.weight"] == (2, 5)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_without_the_table_everything_else_is_as_with_it(architecture: str) -> None:
    plain = initial_shared(parse_federation(tables(architecture)), 0)
    rich = initial_shared(adapting(architecture), 0)
    assert set(rich) - set(plain) == {"adaptation.guess.weight", "adaptation.guess.bias"}
    assert all((plain[name] == rich[name]).all() for name in plain)


def test_predictions_do_not_read_it() -> None:
    made = model(adapting("mmoe"))
    with recording() as tape:
        made(batch())
    assert made.adaptation is not None
    assert not any(record.layer is made.adaptation.guess for record in tape)


def test_one_representation_for_all_tasks_counts_once() -> None:
    made = model(adapting("shared_bottom"))
    found = made.represent(batch())
    one, many = made.domain_losses(found, ["late"]), made.domain_losses(found, ["late", "days", "mood"])
    assert one is not None
    assert torch.equal(one, many)


def test_a_merchant_without_a_domain_is_not_recognised() -> None:
    made = model(adapting("shared_bottom"), domain=None)
    assert made.domain_losses(made.represent(batch()), ["late"]) is None


@pytest.mark.parametrize(
    ("architecture", "domains", "says"),
    [
        ("wide", DOMAINS, "no representation that could adapt"),
        ("mmoe", ["toys", "toys"], "every domain at most once"),
        ("mmoe", ["toys"], "adaptation.domains"),
    ],
)
def test_what_makes_no_sense_is_refused(architecture: str, domains: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        adapting(architecture, domains=domains)
