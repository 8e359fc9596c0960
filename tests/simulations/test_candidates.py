"""Scores of all that a merchant could serve, as its acceptance sees them."""

from pathlib import Path

import numpy as np

from client.halves import judging
from shared_model.heads import measure_of
from simulations import selection
from simulations.candidates import candidates_of
from simulations.scores import Key
from tests.client import shops

WANTED = ("alone", "federated", "mixture")


def test_every_candidate_is_scored_on_both_splits(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    found = candidates_of(merchant, shops.start(merchant.federation), "spring", WANTED)
    assert set(found.scores) == set(WANTED)
    expected = {Key("acme", t, s) for t in ("bought", "amount") for s in ("validation", "test")}
    assert set(found.scores["alone"]) == expected
    assert set(found.owners) == {key for key in expected if key.split == "validation"}


def test_rows_that_had_a_say_have_no_score(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    found = candidates_of(merchant, shops.start(merchant.federation), "spring", WANTED)
    key = Key("acme", "amount", "validation")
    known = np.isfinite(found.scores["mixture"][key])
    assert known.sum() == len(judging(merchant.dataset, "amount").rows)
    assert np.isfinite(found.scores["alone"][key]).all()


def test_the_rule_on_scores_is_the_rule_that_a_merchant_follows(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path, serve={"candidates": list(WANTED)})
    arrays = shops.start(merchant.federation)
    arrays["heads.amount.prior.bias"] += 1e4  # so bad that the merchant serves something else
    found = candidates_of(merchant, arrays, "spring", WANTED)
    accepted = merchant.adopt(shops.offer(merchant.federation, arrays), arrays)
    pairs = selection._pairs(
        found.scores, {t: measure_of(s) for t, s in merchant.federation.tasks.items()}, found.owners
    )
    assert selection.RULES["do no harm"](pairs["acme"]) == {task: a.choice for task, a in accepted.items()}
    assert accepted["amount"].choice != "federated"
