"""One model, every bottom: what travels, what stays, and that cohorts compute what merchants compute."""

import copy

import pytest
import torch

from shared_model import schema
from shared_model.features import Batch
from shared_model.layers import recording
from shared_model.losses import row_losses
from shared_model.model import MultiTaskModel, build, initial_shared, movers
from shared_model.parameters import from_arrays, load, take, to_arrays

from .contracts import ARCHITECTURES, CATALOGUE, batch, contract, rows, tables

M = 3
UPSELL = schema.Binary(kind="binary", head="local")


def model(architecture: str, seed: int = 0, **options: object) -> MultiTaskModel:
    generator = torch.Generator().manual_seed(seed)
    made = build(contract(architecture), generator=generator, catalogues={"next_item": CATALOGUE}, **options)  # type: ignore[arg-type]
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return made


def stacked(batches: list[Batch]) -> Batch:
    return Batch(
        numeric=torch.stack([b.numeric for b in batches]),
        ids={n: torch.stack([b.ids[n] for b in batches]) for n in batches[0].ids},
        vectors={n: torch.stack([b.vectors[n] for b in batches]) for n in batches[0].vectors},
        labels={n: torch.stack([b.labels[n] for b in batches]) for n in batches[0].labels},
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_task_gets_its_logits(architecture: str) -> None:
    logits = model(architecture)(batch())
    assert {task: tuple(z.shape) for task, z in logits.items()} == {
        "late": (3, 1), "refunded": (3, 1), "days": (3, 1), "units": (3, 1), "mood": (3, 3),
        "interests": (3, 2), "next_item": (3, CATALOGUE),
    }  # fmt: skip


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_bottom_says_whether_all_tasks_read_the_same(architecture: str) -> None:
    made = model(architecture)
    representations = made.represent(batch())
    assert made.bottom.parts.alike == (len({id(z) for z in representations.values()}) == 1)


def test_heads_of_a_chain_do_not_speak_alone_and_others_do() -> None:
    made = model("cascade")
    chain = made.priors(made.represent(batch()), made.heads)
    assert {task for task in chain if not made.speaks_alone(task)} == {"late", "refunded"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_private_part_is_ever_shared(architecture: str) -> None:
    own = {"upsell": UPSELL}
    shared = model(architecture, own_tasks=own).shared_parameters()
    private = ("own", "gate", "gates", "shared_gate", "shelf", "habit", "upsell")
    assert [name for name in shared if any(part in name.split(".") for part in private)] == []
    assert [name for name in shared if name.startswith("heads.next_item")] == []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_parameter_either_travels_or_stays(architecture: str) -> None:
    made = model(architecture)
    shared, local = set(made.shared_parameters()), set(made.local_parameters())
    assert shared | local == {name for name, _ in made.named_parameters()}
    assert not shared & local


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_travels_does_not_depend_on_the_merchant(architecture: str) -> None:
    plain = to_arrays(model(architecture), model(architecture).shared_parameters())
    rich = model(architecture, own_tasks={"upsell": UPSELL}, alone=["late"])
    assert {n: a.shape for n, a in plain.items()} == {
        n: a.shape for n, a in to_arrays(rich, rich.shared_parameters()).items()
    }
    assert plain.keys() == initial_shared(contract(architecture), 0).keys()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_file_that_lists_its_tables_backwards_makes_the_same_model(architecture: str) -> None:
    given = tables(architecture)
    turned = schema.parse_federation(
        given | {key: dict(reversed(given[key].items())) for key in ("features", "tasks")}
    )
    first, second = (
        build(c, generator=torch.Generator().manual_seed(0)) for c in (contract(architecture), turned)
    )
    names = first.local_parameters() + first.shared_parameters()
    load(second, take(first, names))
    torch.testing.assert_close(first(batch()), second(batch()))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_own_task_changes_nothing_for_the_common_ones(architecture: str) -> None:
    plain, rich = model(architecture), model(architecture, own_tasks={"upsell": UPSELL})
    named = dict(plain.named_parameters())
    load(rich, {n: named[n] for n, p in rich.named_parameters() if n in named and p.shape == named[n].shape})
    if architecture == "mmoe":  # one layer holds all gates
        for made in (plain, rich):
            torch.nn.init.zeros_(made.bottom.gate.weight)  # type: ignore[arg-type]
            torch.nn.init.zeros_(made.bottom.gate.bias)  # type: ignore[arg-type]
    torch.testing.assert_close(rich(batch(), plain.heads), plain(batch()))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_feature_or_a_task_may_be_called_what_torch_calls_its_own(architecture: str) -> None:
    given = tables(architecture)
    given["features"] |= {
        "type": {"kind": "categorical", "buckets": 8, "width": 2},
        "float": {"kind": "vector", "length": 3, "width": 2},
        "values": {"kind": "sequence", "of": ["type"]},
    }
    given["tasks"]["items"] = {"kind": "count"}
    made = build(schema.parse_federation(given), generator=torch.Generator(), own_tasks={"keys": UPSELL})
    plain = batch()
    rich = Batch(
        numeric=plain.numeric,
        ids={**plain.ids, "type": torch.tensor([1, 2, 0]), "values.type": torch.tensor([[1], [2], [0]])},
        vectors={**plain.vectors, "float": torch.zeros(3, 3)},
    )
    logits = copy.deepcopy(made)(rich)
    assert logits["items"].shape == logits["keys"].shape == (3, 1)
    assert "heads.items.prior.weight" in made.shared_parameters()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_task_alone_gets_the_logits_that_it_gets_among_all(architecture: str) -> None:
    made = model(architecture)
    together = made(batch())
    alone = {task: made(batch(), [task])[task] for task in together}
    torch.testing.assert_close(alone, together)


@pytest.mark.parametrize("architecture", ["mmoe", "ple"])
def test_before_training_all_experts_count_the_same_at_every_merchant(architecture: str) -> None:
    first, second = (
        build(contract(architecture), generator=torch.Generator().manual_seed(s)) for s in (0, 1)
    )
    load(second, take(first, first.shared_parameters()))
    zero = {
        name: torch.zeros_like(dict(first.named_parameters())[name])
        for name in first.local_parameters()
        if name.startswith("encoder.")
    }
    load(first, zero)
    load(second, zero)
    torch.testing.assert_close(first.represent(batch())["late"], second.represent(batch())["late"])


def test_an_array_of_another_shape_is_never_stretched_to_fit() -> None:
    made = model("wide")
    with pytest.raises(RuntimeError, match=r"heads.late.prior.weight of shape \(1, 4\), got \(1, 1\)"):
        load(made, {"heads.late.prior.weight": torch.ones(1, 1)})


def test_the_wide_bottom_shares_priors_only() -> None:
    assert set(initial_shared(contract("wide"), 0)) == {
        f"heads.{task}.prior.{part}"
        for task in ("late", "refunded", "days", "units", "mood", "interests")
        for part in ("weight", "bias")
    }


def test_priors_belong_to_their_task_and_the_bottom_to_all() -> None:
    found = movers(contract("shared_bottom"))
    assert found["heads.late.prior.weight"] == {"late"}
    assert not any(name.startswith(("bottom", "encoder")) for name in found)


@pytest.mark.parametrize("alone", [(), ("late",), ("refunded",)])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_is_known_which_losses_move_a_parameter(architecture: str, alone: tuple[str, ...]) -> None:
    made = model(architecture, own_tasks={"upsell": UPSELL}, alone=alone)
    parameters = dict(made.named_parameters())
    reached: dict[str, set[str]] = {name: set() for name in parameters}
    for task, logits in made(batch()).items():
        found = torch.autograd.grad(
            logits.sum(), list(parameters.values()), retain_graph=True, allow_unused=True
        )
        for name, gradient in zip(parameters, found, strict=True):
            reached[name] |= set() if gradient is None else {task}
    expected = {name: set(made.moved_by(name)) for name in parameters}
    assert reached == expected


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_before_training_every_task_is_its_public_constant(architecture: str) -> None:
    fresh = build(contract(architecture), generator=torch.Generator(), catalogues={"next_item": CATALOGUE})
    assert fresh(batch())["late"].sigmoid().flatten().tolist() == pytest.approx([0.2] * 3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_cohort_computes_what_its_merchants_compute(architecture: str) -> None:
    merchants = [model(architecture, seed).double() for seed in range(M)]
    batches = [rows(batch(torch.float64), torch.tensor(order)) for order in ([0, 1, 2], [2, 1, 0], [1, 1, 0])]
    alone = [m(b) for m, b in zip(merchants, batches, strict=True)]
    cohort = copy.deepcopy(merchants[0])
    for name, _ in list(cohort.named_parameters()):
        layer = cohort.get_submodule(name.rpartition(".")[0])
        together = torch.stack([dict(m.named_parameters())[name].detach() for m in merchants])
        setattr(layer, name.rpartition(".")[2], torch.nn.Parameter(together))
    logits = cohort(stacked(batches))
    for task, found in logits.items():
        torch.testing.assert_close(found, torch.stack([a[task] for a in alone]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_gradient_of_a_sum_is_the_sum_of_the_rows_gradients(architecture: str) -> None:
    made, whole = model(architecture).double(), batch(torch.float64)

    def gradient(part: Batch) -> dict[str, torch.Tensor]:
        made.zero_grad()
        logits = made(part)
        sum(
            row_losses(t, logits[n], part.labels[n]).value.sum() for n, t in contract().tasks.items()
        ).backward()  # type: ignore[union-attr]
        return {
            n: p.grad.clone() if p.grad is not None else torch.zeros_like(p)
            for n, p in made.named_parameters()
        }

    one_by_one = [gradient(rows(whole, torch.tensor([i]))) for i in range(3)]
    for name, together in gradient(whole).items():
        torch.testing.assert_close(together, sum(g[name] for g in one_by_one), rtol=1e-10, atol=1e-12)  # type: ignore[arg-type]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_parameter_with_a_gradient_is_on_the_tape(architecture: str) -> None:
    made, whole = model(architecture), batch()
    with recording() as tape:
        logits = made(whole)
    sum(z.sum() for z in logits.values()).backward()  # type: ignore[union-attr]
    taped = {id(p) for record in tape for p in record.layer.parameters()}
    assert {n for n, p in made.named_parameters() if p.grad is not None and id(p) not in taped} == set()


def test_a_task_of_its_own_head_moves_nothing_shared_under_the_wide_bottom() -> None:
    wide, deep = model("wide", alone=["late"]), model("shared_bottom", alone=["late"])
    assert not wide.learns_in_rounds("late")
    assert not wide.learns_in_rounds("next_item")
    assert wide.learns_in_rounds("days")
    assert deep.learns_in_rounds("late")


def test_shared_arrays_survive_the_way_into_another_model() -> None:
    source, target = model("mmoe", seed=1), model("mmoe", seed=2)
    kept = take(target, target.local_parameters())
    from_arrays(target, to_arrays(source, source.shared_parameters()))
    for name in source.shared_parameters():
        assert torch.equal(dict(source.named_parameters())[name], dict(target.named_parameters())[name])
    for name, before in kept.items():
        assert torch.equal(dict(target.named_parameters())[name], before)
