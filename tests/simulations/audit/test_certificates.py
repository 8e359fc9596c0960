from dataclasses import replace

import pytest
import torch

from client.private.noise import SeededNoise
from simulations.audit.certificates import CERTIFICATES
from simulations.audit.certificates.charging import charging
from simulations.audit.certificates.claim import claim
from simulations.audit.certificates.coupling import coupling
from simulations.audit.certificates.divisor import divisor
from simulations.audit.certificates.heads import noised_state
from simulations.audit.certificates.merchants import merchants
from simulations.audit.certificates.noise import noise_law
from simulations.audit.certificates.nonfinite import nonfinite
from simulations.audit.certificates.owed import owed_noise
from simulations.audit.certificates.own_model import own_model
from simulations.audit.certificates.sampler import sampler_law
from simulations.audit.certificates.sensitivity import HOSTILE, distance, sensitivity
from simulations.audit.certificates.statistics import statistics
from simulations.audit.certificates.telemetry import telemetry
from simulations.audit.findings import refuted
from simulations.audit.mutants import MUTANTS
from tests.simulations.audit.subjects import ITEMS, full_batches, sampled

EVERY = [*CERTIFICATES.values()]


def names(findings):
    return {finding.name for finding in refuted(findings)}


@pytest.mark.parametrize("certificate", EVERY, ids=list(CERTIFICATES))
def test_the_honest_mechanism_holds_under_full_batches(certificate):
    assert names(certificate(full_batches())) == set()


@pytest.mark.parametrize("certificate", [noise_law, owed_noise, sampler_law, sensitivity, nonfinite, divisor])
def test_the_honest_mechanism_holds_where_steps_are_sampled(certificate):
    assert names(certificate(sampled())) == set()


@pytest.mark.parametrize("certificate", [sensitivity, nonfinite, noise_law])
def test_the_honest_mechanism_holds_with_rows_that_belong_to_items(certificate):
    assert names(certificate(full_batches(tasks=ITEMS))) == set()


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=list(HOSTILE))
def test_no_hostile_shopper_moves_a_step_by_more_than_was_claimed(hostile):
    assert distance(full_batches(), hostile) <= 1 + 1e-6


def test_findings_repeat_bit_for_bit():
    assert noise_law(full_batches()) == noise_law(full_batches())


def test_a_claim_with_less_noise_than_its_groups_need_is_refuted():

    subject = full_batches()
    quiet = tuple(replace(g, noise_multiplier=0.9 * g.noise_multiplier) for g in subject.plan.groups)
    found = claim(replace(subject, plan=replace(subject.plan, groups=quiet)))
    assert "claim.epsilon" in names(found)


def test_a_missing_loss_axis_is_seen():

    broken = replace(full_batches(), mechanism=MUTANTS["[B, 1] loss broadcast"]())
    assert "coupling.losses" in names(coupling(broken))


def test_heads_that_train_without_noise_are_counted():

    broken = replace(full_batches(), mechanism=MUTANTS["heads without noise"]())
    assert "heads.without_noise" in names(noised_state(broken))


def test_a_contract_with_every_kind_of_feature_and_task_keeps_to_its_clip():
    features = {
        "price": {"kind": "numeric", "hinges": [0.0]},
        "brand": {"kind": "categorical", "buckets": 50, "width": 4},
        "tags": {"kind": "multi", "buckets": 30, "width": 4},
        "image": {"kind": "vector", "length": 6, "width": 3},
        "seen": {"kind": "sequence", "of": ["brand"]},
    }
    tasks = {
        "late": {"kind": "binary"},
        "days": {"kind": "regression"},
        "visits": {"kind": "count"},
        "colour": {"kind": "multiclass", "classes": ["red", "green", "blue"]},
        "tastes": {"kind": "multilabel", "labels": ["sweet", "sour"], "head": "local"},
    }
    subject = full_batches(features=features, tasks=tasks, bottom={"architecture": "mmoe", "experts": 3})
    assert names(own_model(subject)) == set()


def test_torch_is_left_as_it_was():
    before = torch.get_rng_state()
    noise_law(full_batches())
    assert torch.equal(torch.get_rng_state(), before)


PRIVACY = {"epsilon": 8.0, "delta": 1e-5, "telemetry": {}, "statistics": 0.1}
ACROSS = {"price": {"kind": "numeric"}, "trailing_delivery_days": {"kind": "numeric"}}


@pytest.mark.parametrize("certificate", [telemetry, statistics, claim])
def test_what_is_told_besides_the_sums_holds(certificate):
    found = certificate(full_batches(privacy=PRIVACY, features=ACROSS))
    assert found
    assert names(found) == set()


def test_the_second_layer_holds():
    layer = {"epsilon": 20.0, "delta": 1e-5, "clipping_norm": 0.5}
    found = merchants(full_batches(privacy={**PRIVACY, "merchants": layer}, features=ACROSS))
    assert found
    assert names(found) == set()


def test_weight_decay_is_no_noise():
    assert names(owed_noise(full_batches(local={"weight_decay": 0.5}))) == set()


def test_noise_that_unread_rows_are_owed_and_never_get_is_missed():
    broken = replace(sampled(), mechanism=MUTANTS["owed noise forgotten"]())
    assert {"round.scale", "round.coordinates"} <= names(owed_noise(broken))


def test_what_a_contract_does_not_have_cannot_be_refuted():
    assert telemetry(full_batches()) == statistics(full_batches()) == merchants(full_batches()) == ()


def test_a_round_that_is_charged_afterwards_is_seen_before_anything_is_charged():
    broken = replace(full_batches(), mechanism=MUTANTS["charged after the release"]())
    assert {"charging.before", "charging.stops"} <= names(charging(broken))


def test_half_the_noise_on_statistics_is_seen():
    subject = full_batches(privacy=PRIVACY, features=ACROSS)
    louder = replace(subject.mechanism, noise=Halved)
    assert "statistics.scale" in names(statistics(replace(subject, mechanism=louder)))


class Halved(SeededNoise):
    """Half of the noise that was asked for."""

    def normal_(self, out):
        return super().normal_(out).mul_(0.5)
