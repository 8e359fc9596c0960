"""Heads side by side say and hold what they said and held apart."""

import torch
from torch import Tensor

from shared_model.layers import recording
from simulations.vectorised.heads import WideHead, blocks_of, wide_heads
from simulations.vectorised.stack import Stack

from .made_up import contract
from .test_plain import model_of

M, B, D = 2, 3, 6
Z = torch.randn(M, B, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def stack() -> Stack:
    model, random = model_of(contract()), torch.Generator().manual_seed(0)
    starts = [
        {n: torch.randn(p.shape, dtype=p.dtype, generator=random) for n, p in model.named_parameters()}
        for _ in range(M)
    ]
    return Stack(model, starts, {})


def said(found: Stack, task: str) -> Tensor:
    logits: Tensor = found.model.head(task)(Z)
    return logits


def test_they_say_what_every_head_says() -> None:
    found = stack()
    alone = {task: said(found, task) for task in ("buy", "kind")}
    head = WideHead(found, ["buy", "kind"], own=True)
    torch.testing.assert_close(dict(head.each(head(Z))), alone)


def test_priors_alone_speak_where_own_parts_do_not() -> None:
    found = stack()
    prior = found.model.head("kind").shared(Z)
    head = WideHead(found, ["buy", "kind"], own=False)
    torch.testing.assert_close(dict(head.each(head(Z)))["kind"], prior)


def test_the_model_sees_what_moves_them() -> None:
    found = stack()
    head = WideHead(found, ["buy", "kind"], own=True)
    head.blocks[0].parameter.data.fill_(7.0)
    assert found.of(1, "heads.kind.prior.weight").tolist() == [[7.0] * D] * 3
    assert found.model.get_parameter("heads.buy.prior.weight").unique().tolist() == [7.0]


def test_priors_and_own_parts_leave_a_record_each() -> None:
    head = WideHead(stack(), ["buy", "kind"], own=True)
    with recording() as tape:
        head(Z)
    assert [record.layer for record in tape] == head.layers


def test_only_heads_that_are_alike_lie_side_by_side() -> None:
    alike = {"buy": 1, "kind": 1, "value": 2}
    found = wide_heads(stack(), ["buy", "value", "kind", "units"], alike, own=True)
    assert [head.tasks for head in found] == [("buy", "kind"), ("value",)]


def test_every_parameter_is_in_one_block() -> None:
    found = stack()
    parameters = dict(found.model.named_parameters())
    blocks = blocks_of(parameters, wide_heads(found, ["buy", "kind"], {"buy": 1, "kind": 1}, own=True))
    assert sorted(name for block in blocks for name in block.names) == sorted(parameters)


def test_own_parts_that_no_round_trains_are_in_no_block() -> None:
    found = stack()
    parameters = {n: p for n, p in found.model.named_parameters() if ".own." not in n}
    blocks = blocks_of(parameters, wide_heads(found, ["buy", "kind"], {"buy": 1, "kind": 1}, own=True))
    assert sorted(name for block in blocks for name in block.names) == sorted(parameters)
