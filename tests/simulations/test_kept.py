"""Scores that were measured once are read, not measured again."""

import numpy as np
import pytest

from simulations.kept import kept
from simulations.scores import Key

FOUND = {"served": {Key("acme", "late", "test"): np.array([0.25, 0.1 + 0.2])}, "prior": {}}


def test_scores_come_back_as_they_were(tmp_path):
    first = kept(tmp_path / "scores.npz", lambda: FOUND)
    again = kept(tmp_path / "scores.npz", lambda: 1 / 0)
    assert list(first) == list(again) == ["served"]
    key = Key("acme", "late", "test")
    assert again["served"][key].tolist() == FOUND["served"][key].tolist()


def test_what_failed_is_measured_again(tmp_path):
    def fails():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        kept(tmp_path / "scores.npz", fails)
    assert kept(tmp_path / "scores.npz", lambda: FOUND)
