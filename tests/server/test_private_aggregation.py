"""Merchants protected in the aggregate, without the measured defects of Flower's own wrappers.

These are, in Flower 1.41: noise for equal weights whatever the weights are; an error at an update of zero; an
error at integer arrays; a whole round lost with one client, or too little noise when replies are missing; a
clipping norm that adapts in the wrong direction; arrays paired by position; noise from the global generator,
and an accountant that nothing saves.
"""

import numpy as np
import pytest
from flwr.app import Error, Message

from server import checkpoint, private_aggregation
from server.aggregation import Update
from server.coordinator import train
from server.private_aggregation import LEDGER, clip_factor, divisors, noise_multiplier, noisy_mean
from server.roster import Member
from server.strategy import FederatedStrategy
from shared_model.errors import BudgetExhausted, UnaccountedRelease
from shared_model.precision import PRECISIONS
from shared_model.privacy import accounting
from shared_model.privacy.events import PrivacyEvent
from shared_model.privacy.ledger import Ledger
from shared_model.protocol import Refusal
from tests.server.fakes import (
    answer,
    arrays,
    events,
    make_federation,
    make_grid,
    moves,
    received,
    roster_of,
    settings_in,
)

HEAD = "a" * 64
NORM = 2.0
MERCHANTS = {"epsilon": 8.0, "delta": 1e-5, "clipping_norm": NORM}
TIERS = {"small": {"shoppers": 50, "weight": 1.0}, "large": {"shoppers": 5000, "weight": 24.0}}
GRID = 1e-5
"""The public grid on which the noisy sum lies is finer than this in all tests here."""


class Constant:
    """Noise whose every draw is `value`, so that what it was multiplied with can be read."""

    def __init__(self, value):
        self.value = value

    def standard_normal(self, size):
        return np.full(size, self.value)


def federation(*, rounds=1, tiers=TIERS, **terms):
    return make_federation(rounds=rounds, privacy={"merchants": MERCHANTS}, tiers=tiers, **terms)


def member(name, tier="small", tasks=("late", "units")):
    return Member(name=name, tier=tier, tasks=frozenset(tasks))


def run(directory, behaviours, contract, *, noise=0.0, tiers=None, initial=None, moved_by=None, **more):
    """Train with one member per behaviour, all in the tier `small` unless `tiers` says otherwise."""
    grid = make_grid(behaviours)
    members = {name: member(name, (tiers or {}).get(name, "small")) for name in behaviours}
    return train(
        grid,
        contract,
        initial or arrays(0.0),
        settings=settings_in(directory),
        roster=roster_of(grid, **members),
        moved_by=moved_by or {},
        **{"noise_of": lambda number: Constant(noise), **more},
    )


def sigma(contract):
    return noise_multiplier(contract.privacy.merchants, contract.federation.rounds)


def still(question):
    return answer(question, received(question), ledger=HEAD)


def says(code):
    return lambda question: Message(Error(int(code)), reply_to=question)


def stop(summary):
    raise KeyboardInterrupt


# --- what a round does ----------------------------------------------------------------------------------


def test_an_update_is_clipped_to_the_norm_over_all_arrays_together():
    start = {"a": np.zeros(1, np.float32), "b": np.zeros((1, 1), np.float32)}
    values = {"a": np.array([3.0], np.float32), "b": np.array([[4.0]], np.float32)}
    update = Update(values, start, PRECISIONS["float32"])
    assert clip_factor(update, ("a", "b"), 2.0) == 2.0 / 5.0
    assert clip_factor(update, ("a",), 2.0) == 2.0 / 3.0
    assert clip_factor(update, ("a", "b"), 6.0) == 1.0


def test_the_mean_is_that_of_the_clipped_updates_over_all_who_were_asked(tmp_path):
    behaviours = {"alba": moves(10.0, ledger=HEAD), "bruno": moves(0.1, ledger=HEAD)}
    released = run(tmp_path, behaviours, federation())
    assert released["w"] == pytest.approx((NORM / 3**0.5 + 0.1) / 2, abs=GRID)


def test_the_noise_of_all_rounds_spends_the_budget_and_no_more():
    contract = federation(rounds=20)
    plan = [PrivacyEvent(sampling_rate=1.0, noise_multiplier=sigma(contract), count=20)]
    assert accounting.epsilon(plan, 1e-5) == pytest.approx(8.0, rel=1e-6)
    assert accounting.epsilon(plan, 1e-5) <= 8.0


def test_an_array_that_a_member_asked_for_trains_is_noised_without_an_answer():
    asked = {"alba": (1.0, ("w",)), "bruno": (24.0, ("w", "v"))}
    assert divisors(asked) == {"w": 25.0, "v": 24.0}
    mean = noisy_mean({}, divisors(asked), {"w": (2,), "v": (1, 1)}, 5.0, Constant(1.0))
    assert mean["w"] == pytest.approx(5.0 / 25.0, abs=GRID)
    assert mean["v"] == pytest.approx(np.full((1, 1), 5.0 / 24.0), abs=GRID)


def test_a_strategy_without_the_layer_is_refused_where_the_contract_promises_it():
    grid = make_grid({"alba": still})
    with pytest.raises(UnaccountedRelease, match=r"\[privacy\.merchants\]"):
        FederatedStrategy(
            federation(),
            checkpoint.Progress(round=0, iterate={"w": np.zeros(3)}),
            lineage="first",
            roster=roster_of(grid),
            moved_by={},
        )


# --- the defects of others ------------------------------------------------------------------------------


def test_the_noise_is_that_of_the_largest_weight_that_is_there(tmp_path):
    contract = federation()
    released = run(tmp_path, {"alba": still, "bruno": still}, contract, noise=1.0, tiers={"bruno": "large"})
    assert released["w"] == pytest.approx(sigma(contract) * 24.0 * NORM / 25.0, rel=1e-5)


def test_no_member_moves_the_sum_by_more_than_the_noise_was_made_for(tmp_path):
    tiers = {"bruno": "large"}
    without = run(tmp_path / "a", {"alba": still, "bruno": still}, federation(), tiers=tiers)
    behaviours = {"alba": still, "bruno": moves(1e6, ledger=HEAD)}
    moved = run(tmp_path / "b", behaviours, federation(), tiers=tiers)
    distance = 25.0 * np.linalg.norm(moved["w"].astype(float) - without["w"])
    assert distance == pytest.approx(24.0 * NORM, rel=1e-5)


def test_a_merchant_that_changes_nothing_is_no_error(tmp_path):
    contract = federation()
    released = run(tmp_path, {"alba": still}, contract, noise=1.0)
    assert released["w"] == pytest.approx(sigma(contract) * NORM, rel=1e-5)


def test_integer_arrays_cost_their_sender_the_round_and_nobody_else(tmp_path):
    def integers(question):
        return answer(question, {"w": np.ones(3, np.int64)}, ledger=HEAD)

    released = run(tmp_path, {"alba": integers, "bruno": moves(0.5, ledger=HEAD)}, federation())
    assert released["w"] == pytest.approx(0.25, abs=GRID)
    assert events(tmp_path, "reply_refused")[0]["reason"] == "wrong type int64 of w"


@pytest.mark.parametrize("bruno", [still, says(Refusal.FAILED), says(Refusal.BUDGET)])
def test_neither_noise_nor_divisor_tell_who_answered(tmp_path, bruno):
    contract = federation()
    released = run(tmp_path, {"alba": still, "bruno": bruno}, contract, noise=1.0, tiers={"bruno": "large"})
    assert released["w"] == pytest.approx(sigma(contract) * 24.0 * NORM / 25.0, rel=1e-5)


@pytest.mark.parametrize("earlier", [0.01, 0.6, 100.0])
def test_the_norm_stays_what_the_contract_says_whatever_the_updates_are(tmp_path, earlier):
    steps = iter([earlier, 50.0])

    def act(question):
        return moves(next(steps), ledger=HEAD)(question)

    seen = []
    run(
        tmp_path,
        {"alba": act},
        federation(rounds=2),
        on_round=lambda summary: seen.append(summary.arrays["w"]),
    )
    assert np.linalg.norm(seen[1].astype(float) - seen[0]) == pytest.approx(NORM, rel=1e-5)


def test_arrays_are_paired_by_name_in_whatever_order_they_come(tmp_path):
    def backwards(question):
        values = {"w": np.array([0.5], np.float32), "v": np.array([-0.25], np.float32)}
        return answer(question, dict(reversed(values.items())), ledger=HEAD)

    released = run(tmp_path, {"alba": backwards}, federation(), initial=arrays(0.0, names=("v", "w"), size=1))
    assert released["w"] == pytest.approx(0.5, abs=GRID)
    assert released["v"] == pytest.approx(-0.25, abs=GRID)


def test_noise_neither_reads_nor_moves_the_global_generator(tmp_path):
    state = np.random.get_state()[1].tolist()
    first = run(tmp_path / "a", {"alba": still}, federation(), noise_of=private_aggregation.secure)
    second = run(tmp_path / "b", {"alba": still}, federation(), noise_of=private_aggregation.secure)
    assert np.random.get_state()[1].tolist() == state
    assert not np.array_equal(first["w"], second["w"])


# --- what is counted ------------------------------------------------------------------------------------


def rounds_charged(directory):
    with Ledger(directory / LEDGER, durable=False) as ledger:
        return [charge.round for charge in ledger.charges]


def test_what_was_spent_survives_a_restart(tmp_path):
    contract = federation(rounds=2)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, {"alba": still}, contract, on_round=stop)
    run(tmp_path, {"alba": still}, contract)
    assert rounds_charged(tmp_path) == [1, 2]
    assert events(tmp_path, "merchants_protected")[-1]["epsilon"] == pytest.approx(8.0, rel=1e-6)


def test_a_round_is_charged_before_its_noise_is_drawn(tmp_path):
    def fails(number):
        raise OSError("no entropy")

    with pytest.raises(OSError, match="no entropy"):
        run(tmp_path, {"alba": still}, federation(), noise_of=fails)
    assert rounds_charged(tmp_path) == [1]


def test_a_round_whose_checkpoint_was_lost_is_charged_again_and_the_budget_holds(tmp_path, monkeypatch):
    contract, saved = federation(rounds=2), checkpoint.save

    def full(directory, written, **options):
        if written.progress.round == 1:
            raise OSError(28, "No space left on device")
        return saved(directory, written, **options)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(checkpoint, "save", full)
        run(tmp_path, {"alba": still}, contract)
    with pytest.raises(BudgetExhausted):
        run(tmp_path, {"alba": still}, contract)
    assert rounds_charged(tmp_path) == [1, 1]
    assert checkpoint.latest(tmp_path).progress.round == 1


def test_a_round_that_misses_its_quorum_costs_nothing(tmp_path):
    behaviours = {"alba": still, "bruno": says(Refusal.FAILED)}
    with pytest.raises(Exception, match="usable replies"):
        run(tmp_path, behaviours, federation(quorum=1.0))
    assert rounds_charged(tmp_path) == []


def test_the_journal_says_how_much_noise_and_what_is_spent(tmp_path):
    contract = federation()
    run(tmp_path, {"alba": still}, contract)
    assert events(tmp_path, "merchants_protected") == [
        {
            "round": 1,
            "noise_std": pytest.approx(sigma(contract) * NORM),
            "epsilon": pytest.approx(8.0, rel=1e-6),
        }
    ]


def test_a_contract_without_the_table_keeps_no_such_ledger(tmp_path):
    run(tmp_path, {"alba": still}, make_federation(privacy={}, tiers=TIERS))
    assert not (tmp_path / LEDGER).exists()
