"""No charge that was acknowledged is forgotten when the process dies with the power."""

import random

import pytest

from simulations.benchmarks.power_cuts import cut_power


def test_a_few_kills_lose_nothing(tmp_path):
    outcome = cut_power(tmp_path / "ledger.jsonl", kills=10, rng=random.Random(7))
    assert outcome.acknowledged > 0
    assert outcome.lost == 0


def test_the_model_finds_what_a_ledger_that_does_not_wait_for_the_disk_loses(tmp_path):
    outcome = cut_power(tmp_path / "ledger.jsonl", kills=5, rng=random.Random(7), durable=False)
    assert outcome.lost == outcome.acknowledged > 0


@pytest.mark.chaos
def test_two_hundred_kills_at_random_instants_lose_nothing(tmp_path):
    outcome = cut_power(tmp_path / "ledger.jsonl", kills=200, rng=random.Random(1))
    assert outcome.lost == 0
    assert outcome.torn > 20
