from dataclasses import replace

import pytest
import torch

import client.training
from client.private import training
from client.private.sampling import poisson
from simulations.audit.certificates.noise import nobody
from simulations.audit.mechanism import HONEST, release
from simulations.audit.silence import silent
from simulations.audit.workload import Laboratory
from tests.simulations.audit.subjects import full_batches


def nobody_at_all(units, rate, noise):
    return torch.zeros(0, dtype=torch.long)


def test_the_honest_parts_are_those_that_merchants_run():
    assert HONEST.poisson is training.poisson is poisson
    assert HONEST.engine is training.engine
    assert HONEST.to_grid is training.to_grid
    assert HONEST.row_losses is client.training.row_losses
    assert HONEST.clip_groups is training.clip_groups


def test_a_part_is_replaced_inside_and_the_real_one_is_back_afterwards():
    with replace(HONEST, poisson=nobody_at_all).in_place():
        assert training.poisson is nobody_at_all
    assert training.poisson is poisson


def test_the_real_part_is_back_after_an_error_too():
    with pytest.raises(RuntimeError), replace(HONEST, poisson=nobody_at_all).in_place():
        raise RuntimeError
    assert training.poisson is poisson


def test_without_rows_and_noise_nothing_is_released():
    subject = full_batches()
    model = Laboratory(subject.groups, 3)
    parts = replace(HONEST, noise=silent)
    sums = release(
        parts, model, nobody(subject.groups), subject.federation, subject.step, subject.generator("x")
    )
    assert all(not value.any() for value in sums.values())


def test_the_same_generator_releases_the_same_numbers():
    subject = full_batches()
    model, rows = Laboratory(subject.groups, 3), nobody(subject.groups)
    first, second = (
        release(HONEST, model, rows, subject.federation, subject.step, subject.generator("x"))
        for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
