"""Probabilities multiply along a chain of tasks."""

from typing import Any

import pytest
import torch
from torch import Tensor

from client.training import trained_parameters
from shared_model.architectures.cascade import both
from shared_model.errors import ConfigError
from shared_model.features import Batch
from shared_model.losses import row_losses
from shared_model.model import MultiTaskModel, build, movers
from shared_model.schema import Federation, LocalTraining, parse_federation

NAN = float("nan")


def tables(**tasks: Any) -> dict[str, Any]:
    funnel = {
        "click": {"kind": "binary", "initial": 0.5},
        "cart": {"kind": "binary", "initial": 0.2},
        "purchase": {"kind": "binary", "initial": 0.1},
        "spend": {"kind": "regression"},
    }
    return {
        "federation": {"name": "funnel", "rounds": 1},
        "features": {"x": {"kind": "numeric"}, "y": {"kind": "numeric"}},
        "bottom": {"architecture": "cascade", "chain": ["click", "cart", "purchase"], "hidden": [3]},
        "tasks": funnel | tasks,
    }


def funnel() -> Federation:
    return parse_federation(tables())


def model(**options: Any) -> MultiTaskModel:
    generator = torch.Generator().manual_seed(0)
    made = build(funnel(), generator=generator, **options)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    return made


BATCH = Batch(
    numeric=torch.tensor([[0.3, -1.0], [1.0, 2.0]]),
    labels={
        "click": torch.tensor([0.0, 1.0]), "cart": torch.tensor([0.0, NAN]),
        "purchase": torch.tensor([0.0, 1.0]), "spend": torch.tensor([NAN, 2.0]),
    },
)  # fmt: skip


def own_says(made: MultiTaskModel, task: str) -> Tensor:
    return made.head(task).own(made.represent(BATCH)[task])


def test_a_later_task_is_the_product_of_the_links() -> None:
    made = model()
    z = made.represent(BATCH)
    links = {t: made.head(t).shared(z[t]).sigmoid() for t in ("click", "cart", "purchase")}
    priors = made(BATCH, own=False)
    torch.testing.assert_close(priors["click"].sigmoid(), links["click"])
    torch.testing.assert_close(priors["cart"].sigmoid(), links["click"] * links["cart"])
    torch.testing.assert_close(
        priors["purchase"].sigmoid(), links["click"] * links["cart"] * links["purchase"]
    )


def test_a_residual_is_added_to_the_logit_of_the_product_and_moves_no_other_task() -> None:
    made = model()
    whole, priors = made(BATCH), made(BATCH, own=False)
    torch.testing.assert_close(whole["purchase"], priors["purchase"] + own_says(made, "purchase"))
    torch.nn.init.zeros_(made.head("click").own.bias)
    torch.testing.assert_close(made(BATCH)["purchase"], whole["purchase"])


def test_the_loss_of_the_last_task_teaches_every_link() -> None:
    made = model()
    logits = made(BATCH, ["purchase"])["purchase"]
    task = funnel().tasks["purchase"]
    row_losses(task, logits, BATCH.labels["purchase"]).value.sum().backward()
    reached = {name for name, p in made.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert {f"bottom.towers.{task}.layers.0.weight" for task in ("click", "cart", "purchase")} < reached
    assert {f"heads.{task}.prior.bias" for task in ("click", "cart", "purchase")} < reached
    assert not any("spend" in name for name in reached)


def test_a_link_counts_for_merchants_of_every_task_that_teaches_it() -> None:
    found = movers(funnel())
    assert found["heads.click.prior.weight"] == {"click", "cart", "purchase"}
    assert found["bottom.towers.click.layers.0.weight"] == {"click", "cart", "purchase"}
    assert found["bottom.towers.purchase.layers.0.weight"] == {"purchase"}


def test_with_the_last_task_alone_all_links_are_trained_and_nothing_else() -> None:
    names = trained_parameters(model(), ["purchase"], LocalTraining())
    assert {name.split(".")[1] for name in names if name.startswith("heads.")} == {
        "click",
        "cart",
        "purchase",
    }
    assert {name.split(".")[2] for name in names if name.startswith("bottom.")} == {
        "click",
        "cart",
        "purchase",
    }


def test_a_merchant_that_is_alone_in_a_link_still_multiplies_the_prior_that_all_share() -> None:
    alone = model(alone=["click"])
    torch.testing.assert_close(alone(BATCH)["purchase"], model()(BATCH)["purchase"])
    torch.testing.assert_close(alone(BATCH)["click"], own_says(alone, "click"))


def test_before_training_every_product_is_the_constant_of_its_task() -> None:
    fresh = build(funnel(), generator=torch.Generator())
    said = {task: logits.sigmoid()[0].item() for task, logits in fresh(BATCH).items() if task != "spend"}
    assert said == pytest.approx({"click": 0.5, "cart": 0.2, "purchase": 0.1})


@pytest.mark.parametrize("a", [-300.0, -20.0, 0.0, 20.0, 300.0])
@pytest.mark.parametrize("b", [-300.0, -20.0, 0.0, 20.0, 300.0])
def test_no_probability_is_lost_near_zero_or_one(a: float, b: float) -> None:
    first, second = torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=True)
    found = both(first, second)
    found.backward()  # type: ignore[no-untyped-call]
    gradients = torch.stack([first.grad, second.grad])  # type: ignore[list-item]
    # d logit / da is the share of the terms with 1/a among 1/a + 1/b + 1/(ab)
    exact = torch.tensor([-a, -b, -a - b], dtype=torch.float64)
    share = exact.softmax(0)
    torch.testing.assert_close(found.double(), -exact.logsumexp(0), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        gradients.double(), torch.stack([share[0] + share[2], share[1] + share[2]]), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"chain": ["click", "spend"]}, "bottom.chain is 'spend'; allowed: binary tasks with a shared prior"),
        ({"chain": ["click", "view"]}, "bottom.chain is 'view'; allowed: binary tasks"),
        ({"chain": ["click", "click"]}, "every task at most once"),
        ({"chain": ["click"]}, "bottom.chain is "),
        (
            {"chain": ["cart", "click"]},
            "tasks.click.initial is 0.5; allowed: less than that of cart, which is 0.2: click implies cart",
        ),
        (
            {"chain": ["ad_click", "late"]},
            "tasks on one kind of row; ad_click and late have no row in common",
        ),
        ({"chain": ["click", "private"]}, "allowed: binary tasks with a shared prior: click,"),
    ],
)
def test_a_chain_that_means_nothing_is_refused(change: dict[str, Any], says: str) -> None:
    given = tables(
        ad_click={"kind": "binary", "library": "ad_click", "initial": 0.2},
        late={"kind": "binary", "library": "late", "initial": 0.1},
        private={"kind": "binary", "initial": 0.1, "head": "local"},
    )
    with pytest.raises(ConfigError) as refused:
        parse_federation(given | {"bottom": given["bottom"] | change})
    assert says in str(refused.value)
