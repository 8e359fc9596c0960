"""Three layers, two forms, one record: per-unit gradients follow from records alone."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from shared_model.layers import Bank, Embedding, Linear, reading, recording, side_by_side

M, B = 3, 5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cohort(layers: list[torch.nn.Module]) -> torch.nn.Module:
    """The first layer with the parameters of all stacked along a leading merchant axis."""
    first = layers[0]
    for name, _ in list(first.named_parameters()):
        stacked = torch.stack([dict(layer.named_parameters())[name].detach() for layer in layers])
        setattr(first, name, torch.nn.Parameter(stacked))
    return first


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (lambda s: Linear(4, 2, generator=seeded(s)), torch.randn(M, B, 4, generator=seeded())),
        (lambda s: Linear(4, 2, generator=seeded(s), bias=False), torch.randn(M, B, 4, generator=seeded())),
        (
            lambda s: Bank(6, 4, 2, shared_input=True, generator=seeded(s)),
            torch.randn(M, B, 4, generator=seeded()),
        ),
        (
            lambda s: Bank(6, 4, 2, shared_input=False, generator=seeded(s)),
            torch.randn(M, 6, B, 4, generator=seeded()),
        ),
        (lambda s: Embedding(7, 2, generator=seeded(s)), torch.randint(0, 7, (M, B), generator=seeded())),
        (lambda s: Embedding(7, 2, generator=seeded(s)), torch.randint(0, 7, (M, B, 3), generator=seeded())),
    ],
    ids=[
        "linear",
        "linear without bias",
        "bank, one input",
        "bank, own inputs",
        "embedding",
        "embedding of bags",
    ],
)
def test_a_cohort_computes_what_its_merchants_compute(make: object, inputs: Tensor) -> None:
    alone = torch.stack([make(m)(x) for m, x in enumerate(inputs)])  # type: ignore[operator]
    together = cohort([make(m) for m in range(M)])(inputs)  # type: ignore[operator]
    torch.testing.assert_close(together, alone)


def test_the_missing_category_is_the_zero_vector_and_is_never_trained() -> None:
    table = Embedding(4, 2, generator=seeded())
    found = table(torch.tensor([0, 2]))
    found.sum().backward()
    assert found[0].tolist() == [0.0, 0.0]
    assert table.weight.grad is not None
    assert table.weight.grad[0].tolist() == [0.0, 0.0]
    assert table.weight.grad[2].tolist() == [1.0, 1.0]


def test_the_gradient_of_every_row_follows_from_the_record_of_a_linear_layer() -> None:
    layer, x = Linear(4, 2, generator=seeded()), torch.randn(B, 4, generator=seeded(1))
    with recording() as tape:
        loss = layer(x).tanh().sum(-1)
    (backward,) = torch.autograd.grad(loss.sum(), [tape[0].output])
    from_record = torch.einsum("bo,bi->boi", backward, tape[0].input)
    one_by_one = [torch.autograd.grad(layer(row).tanh().sum(), [layer.weight])[0] for row in x]
    torch.testing.assert_close(from_record, torch.stack(one_by_one))


def test_an_embedding_leaves_its_ids_and_a_differentiable_output() -> None:
    table, ids = Embedding(4, 2, generator=seeded()), torch.tensor([1, 1, 3])
    with recording() as tape:
        loss = table(ids).square().sum()
    (backward,) = torch.autograd.grad(loss, [tape[0].output], retain_graph=True)
    summed = torch.zeros_like(table.weight).index_add(0, tape[0].input, backward)
    torch.testing.assert_close(summed, torch.autograd.grad(loss, [table.weight])[0])


def test_outputs_can_be_differentiated_where_no_parameter_can() -> None:
    layer = Linear(2, 1, generator=seeded())
    layer.requires_grad_(False)
    with recording() as tape:
        loss = layer(torch.ones(3, 2)).sum()
    (backward,) = torch.autograd.grad(loss, [tape[0].output])
    assert backward.tolist() == [[1.0], [1.0], [1.0]]


def test_nothing_is_recorded_outside_the_block() -> None:
    layer = Linear(2, 1, generator=seeded())
    with recording() as tape:
        layer(torch.ones(1, 2))
    layer(torch.ones(1, 2))
    assert len(tape) == 1


def test_the_same_generator_makes_the_same_layer() -> None:
    a, b = Linear(3, 2, generator=seeded(7)), Linear(3, 2, generator=seeded(7))
    assert torch.equal(a.weight, b.weight)


def test_tables_side_by_side_are_their_lookups_one_after_the_other() -> None:
    tables = [Embedding(4, 2, generator=seeded()), Embedding(5, 3, generator=seeded(1))]
    ids = [torch.tensor([1, 0]), torch.tensor([4, 2])]
    together = side_by_side(tables, ids)
    assert torch.equal(together, torch.cat([tables[0](ids[0]), tables[1](ids[1])], -1))


def test_a_reader_answers_every_lookup_inside_the_block_and_none_after_it() -> None:
    table, ids = Embedding(4, 2, generator=seeded()), torch.tensor([1, 3])
    asked: list[int] = []

    def reader(tables: Sequence[Embedding], ids: Sequence[Tensor]) -> Tensor:
        asked.append(len(tables))
        return torch.zeros(2, 7)

    with reading(reader):
        assert table(ids).shape == (2, 7)
        assert side_by_side([table, table], [ids, ids]).shape == (2, 7)
    assert table(ids).shape == (2, 2)
    assert asked == [1, 2]
