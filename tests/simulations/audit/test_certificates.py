from dataclasses import replace
from importlib import import_module

import pytest
import torch

from client.data.counts import exact_counts
from client.private.jacobian import private_jacobian
from client.private.noise import SecureNoise, SeededNoise
from client.private.rounds import PrivateRounds
from simulations.audit.certificates import CERTIFICATES
from simulations.audit.certificates.charging import charging
from simulations.audit.certificates.claim import claim
from simulations.audit.certificates.conflict import conflict
from simulations.audit.certificates.counts import counts
from simulations.audit.certificates.coupling import coupling
from simulations.audit.certificates.divisor import divisor
from simulations.audit.certificates.heads import noised_state
from simulations.audit.certificates.merchants import merchants
from simulations.audit.certificates.noise import noise_law
from simulations.audit.certificates.nonfinite import nonfinite
from simulations.audit.certificates.own_model import own_model
from simulations.audit.certificates.sampler import sampler_law
from simulations.audit.certificates.sensitivity import HOSTILE, distance, sensitivity
from simulations.audit.certificates.source import source
from simulations.audit.certificates.statistics import statistics
from simulations.audit.certificates.telemetry import telemetry
from simulations.audit.certificates.whole_rounds import several, whole_rounds
from simulations.audit.findings import refuted
from simulations.audit.mutants import MUTANTS
from simulations.audit.reference import reference
from tests.simulations.audit.subjects import ITEMS, full_batches, sampled

EVERY = [*CERTIFICATES.values()]


def names(findings):
    return {finding.name for finding in refuted(findings)}


@pytest.mark.parametrize("certificate", EVERY, ids=list(CERTIFICATES))
def test_the_honest_mechanism_holds_under_full_batches(certificate):
    assert names(certificate(full_batches())) == set()


@pytest.mark.parametrize(
    "certificate", [noise_law, sampler_law, whole_rounds, sensitivity, nonfinite, divisor]
)
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


def test_noise_that_unread_rows_are_owed_and_never_get_is_missed():
    broken = replace(sampled(), mechanism=MUTANTS["owed noise forgotten"]())
    assert {"round.scale", "round.coordinates"} <= names(whole_rounds(broken))


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


BETWEEN_STEPS = {
    "one sample for a round": "round.samples",
    "noise in the first step only": "round.scale",
    "noise x steps, not x their root": "round.scale",
}


@pytest.mark.parametrize("mutant", BETWEEN_STEPS)
def test_what_goes_wrong_between_the_steps_of_a_round_is_seen(mutant):
    found = whole_rounds(replace(sampled(), mechanism=MUTANTS[mutant]()))
    assert BETWEEN_STEPS[mutant] in names(found)


def test_a_round_keeps_its_own_number_of_steps_from_four_to_thirty_two():
    plan = full_batches().plan
    assert [several(replace(plan, steps=steps)).steps for steps in (1, 4, 9, 33)] == [4, 4, 9, 32]


def test_rounds_that_pull_weights_back_are_expected_to_hold_less_noise():
    # Noise of 4 steps under a pull of 1/2: 1 + 1/4 + 1/16 + 1/64 = 1.33 of a step's variance, not 4.
    local = {"learning_rate": 1.0, "weight_decay": 0.3, "proximal": 0.2}
    assert names(whole_rounds(full_batches(local=local))) == set()


def test_a_round_with_a_step_too_few_is_seen():
    shorter = replace(full_batches().mechanism, plan=lambda plan, units: replace(plan, steps=plan.steps - 1))
    assert {"round.steps", "round.scale"} <= names(whole_rounds(replace(full_batches(), mechanism=shorter)))


# The source of production has no seed. An honest one is refuted with a probability of about 1e-6.


@pytest.mark.parametrize(
    ("mutant", "finding"),
    [("half of the secret noise", "source.normals"), ("a constant seed in production", "source.fresh")],
)
def test_a_broken_source_of_production_is_seen(mutant, finding):
    assert {"source.type", finding} <= names(source(replace(full_batches(), mechanism=MUTANTS[mutant]())))


def test_the_source_that_is_examined_is_the_class_itself(monkeypatch):
    honest = SecureNoise.normal_
    monkeypatch.setattr(SecureNoise, "normal_", lambda self, out: honest(self, out).mul_(0.99))
    assert names(source(full_batches())) == {"source.normals"}


def test_the_source_that_is_examined_is_what_merchants_open(monkeypatch):
    def constant(rounds, purpose, number):
        return SeededNoise(torch.Generator().manual_seed(7))

    monkeypatch.setattr(PrivateRounds, "_noise", constant)
    assert names(source(full_batches())) == {"source.type", "source.fresh"}


def test_a_key_that_a_forked_process_shares_is_seen(monkeypatch):
    monkeypatch.setattr("client.private.noise.os.getpid", lambda: 1)
    assert names(source(full_batches())) == {"source.fresh"}


def test_a_stream_that_begins_again_is_seen(monkeypatch):
    honest = SecureNoise.normal_

    def again(self, out):
        half = honest(self, torch.empty(out.numel() // 2))
        return out.copy_(torch.cat([half, half]).view(out.shape))

    monkeypatch.setattr(
        SecureNoise, "normal_", lambda self, out: (again if out.numel() > 9999 else honest)(self, out)
    )
    assert "source.fresh" in names(source(full_batches()))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_whole_rounds_and_the_source_hold_over_twenty_seeds(seed):
    # Each of 6 statistics is wrong once in 1e4 honest runs: 1.2e-2 for the twenty.
    subject = reference(seed=seed)
    assert names((*whole_rounds(subject), *source(subject))) == set()


@pytest.mark.parametrize("certificate", [counts, claim, own_model, sensitivity])
def test_counts_that_are_told_with_noise_hold(certificate):
    noised = {"epsilon": 8.0, "delta": 1e-5, "tasks": {"units": {"labels": "noised", "lines": 3}}}
    found = certificate(full_batches(tasks=ITEMS, privacy=noised))
    assert found
    assert names(found) == set()


def test_counts_of_a_shopper_without_a_bound_on_places_are_seen(monkeypatch):
    def unbounded(lines, items, until, plan):
        return exact_counts(lines, items, until, replace(plan, lines=9))

    monkeypatch.setattr(import_module(counts.__module__), "exact_counts", unbounded)
    noised = {"epsilon": 8.0, "delta": 1e-5, "tasks": {"units": {"labels": "noised"}}}
    assert names(counts(full_batches(tasks=ITEMS, privacy=noised))) == {"counts.sensitivity"}


# --- a rule for conflicts -----------------------------------------------------------------------------

NETWORK = {"architecture": "shared_bottom", "hidden": [8]}


def with_a_rule():
    return full_batches(bottom=NETWORK, local={"conflict": "pcgrad"})


@pytest.mark.parametrize(
    "certificate", [sensitivity, nonfinite, divisor, coupling, noised_state, noise_law, conflict, own_model]
)
def test_the_honest_mechanism_holds_under_a_rule_for_conflicts(certificate):
    found = certificate(with_a_rule())
    assert found
    assert names(found) == set()


def test_gradients_that_are_clipped_task_by_task_are_seen(monkeypatch):
    def each(model, parameters, losses, tasks, *rows, **constants):
        alone = [
            private_jacobian(model, parameters, lambda t=t: losses()[t : t + 1], 1, *rows, **constants)
            for t in range(tasks)
        ]
        return torch.cat(alone)

    monkeypatch.setattr("client.private.conflict.private_jacobian", each)
    assert names(own_model(with_a_rule())) == {"model.sensitivity"}


def test_noise_that_tasks_share_is_seen(monkeypatch):
    def first(*arguments, **constants):
        found = private_jacobian(*arguments, **constants)
        return found[:1].expand_as(found)

    monkeypatch.setattr("client.private.conflict.private_jacobian", first)
    assert "conflict.rows" in names(conflict(with_a_rule()))


def test_without_a_rule_there_is_nothing_to_find():
    assert conflict(full_batches()) == ()
