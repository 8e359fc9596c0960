"""Noised sums of losses reach the journal with the size of their noise, and nothing else."""

import math

import numpy as np
import pytest

from server import telemetry
from server.coordinator import train
from server.roster import Member
from server.telemetry import Told
from shared_model.privacy.plan import plan_of
from tests.server.fakes import (
    answer,
    arrays,
    events,
    make_federation,
    make_grid,
    received,
    roster_of,
    settings_in,
)

HEAD = "a" * 64
TIERS = {"small": {"shoppers": 50, "weight": 1.0}, "large": {"shoppers": 450, "weight": 3.0}}
PRIVACY = {"telemetry": {"share": 0.1, "bound": 2.0}}


def tells(late, units, *, dtype=np.float32, step=1.0):
    def act(question):
        values = {name: array + np.float32(step) for name, array in received(question).items()}
        return answer(question, {**values, "telemetry": np.array([late, units], dtype)}, ledger=HEAD)

    return act


def federation(privacy=PRIVACY, **terms):
    return make_federation(privacy=privacy, tiers=TIERS, **terms)


def run(directory, behaviours, contract):
    grid = make_grid(behaviours)
    tiers = {"alba": "small", "bruno": "large"}
    members = {n: Member(name=n, tier=tiers[n], tasks=frozenset({"late", "units"})) for n in behaviours}
    return train(
        grid,
        contract,
        arrays(0.0),
        settings=settings_in(directory),
        roster=roster_of(grid, **members),
        moved_by={},
    )


def refusals(directory):
    return {line["merchant"]: line["reason"] for line in events(directory, "reply_refused")}


def test_the_journal_notes_sums_over_the_shoppers_that_the_tiers_stand_for(tmp_path):
    run(tmp_path, {"alba": tells(30.0, 60.0), "bruno": tells(120.0, -10.0)}, federation())
    [closed] = events(tmp_path, "round_closed")
    assert closed["telemetry"] == {"late": 0.3, "units": 0.1}  # (30 + 120) / 500, (60 - 10) / 500


def test_the_noise_of_the_members_adds_up(tmp_path):
    contract = federation()
    run(tmp_path, {"alba": tells(1.0, 1.0), "bruno": tells(1.0, 1.0)}, contract)
    [closed] = events(tmp_path, "round_closed")
    one = plan_of(contract, "small").telemetry.noise_std
    assert closed["telemetry_std"] == pytest.approx(math.sqrt(2) * one / 500, abs=1e-6)


def test_it_is_no_input_of_the_model(tmp_path):
    quiet = run(tmp_path / "a", {"alba": tells(0.0, 0.0)}, federation())
    loud = run(tmp_path / "b", {"alba": tells(1e9, -1e9)}, federation())
    assert quiet.keys() == {"w"}
    assert quiet["w"].tolist() == loud["w"].tolist() == [1.0, 1.0, 1.0]


def test_without_the_table_such_an_array_is_unknown(tmp_path):
    good = lambda question: answer(question, arrays(1.0), ledger=HEAD)  # noqa: E731
    run(tmp_path, {"alba": tells(1.0, 1.0), "bruno": good}, federation(privacy={}, quorum=0.5))
    assert refusals(tmp_path) == {"alba": "unknown array telemetry"}
    assert "telemetry" not in events(tmp_path, "round_closed")[0]


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda question: answer(question, arrays(9.0), ledger=HEAD), "missing array telemetry"),
        (tells(1.0, 1.0, dtype=np.float64), "wrong type float64 of telemetry"),
        (tells(float("nan"), 1.0), "not finite telemetry"),
        (tells([1.0], [1.0]), "wrong shape (2, 1) of telemetry"),
    ],
    ids=["none", "another type", "not a number", "another shape"],
)
def test_an_answer_with_other_telemetry_than_agreed_is_refused_whole(tmp_path, act, reason):
    released = run(tmp_path, {"alba": act, "bruno": tells(45.0, 0.0)}, federation(quorum=0.5))
    assert refusals(tmp_path) == {"alba": reason}
    assert released["w"].tolist() == [1.0, 1.0, 1.0]
    assert events(tmp_path, "round_closed")[0]["telemetry"]["late"] == 0.1  # 45 / 450


def test_in_half_precision_telemetry_stays_single(tmp_path):
    def act(question):
        change = {name: np.ones_like(array) for name, array in received(question).items()}
        return answer(question, {**change, "telemetry": np.array([25.0, 5.0], np.float32)}, ledger=HEAD)

    run(tmp_path, {"alba": act}, federation(precision="float16"))
    assert events(tmp_path, "round_closed")[0]["telemetry"] == {"late": 0.5, "units": 0.1}


def test_tiers_that_stand_for_nobody_give_sums():
    contract = make_federation(privacy=PRIVACY)
    told = telemetry.add(Told(), np.array([3.0, 4.0], np.float32), contract, "any")
    assert telemetry.facts(told, contract)["telemetry"] == {"late": 3.0, "units": 4.0}
