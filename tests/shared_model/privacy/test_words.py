from pathlib import Path

from shared_model.privacy.words import meaning, missing, too_likely


def test_epsilon_is_told_as_odds_and_delta_as_a_chance():
    # e^8 = 2,980.96; 1 / 1e-5 = 100,000.
    told = meaning(8.0, 1e-5)
    assert "at most 2,981-fold (e^8)" in told
    assert "1 in 100,000" in told


def test_a_strict_epsilon_keeps_its_digits():
    assert "at most 1.1-fold" in meaning(0.1, 1e-6)  # e^0.1 = 1.105


def test_the_unit_of_the_contract_is_named():
    assert "a certain record was there" in meaning(1.0, 1e-6, "record")


def test_an_epsilon_that_promises_nothing_is_told_as_such():
    assert "protects nobody" in meaning(1e4, 1e-6)


def test_a_contract_without_privacy_is_told_in_plain_words():
    error = missing(Path("shops/federation.toml"), "no noise to plan")
    assert str(error).startswith("shops/federation.toml: privacy is missing; allowed: a [privacy] table")
    assert "WITHOUT differential privacy" in str(error)


def test_a_delta_of_one_over_the_shoppers_is_warned_of():
    assert too_likely(0.001, 999) == ""
    assert "1 / 1,000" in too_likely(0.001, 1000)
