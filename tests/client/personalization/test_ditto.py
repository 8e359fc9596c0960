"""Ditto's model is the release under an infinite pull, local training without one, and it goes on."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import pytest

from client.personalization import ditto
from client.personalization.descent import descend
from client.personalization.start import Pull

from . import starts


@pytest.mark.parametrize("architecture", starts.BOTTOMS)
def test_with_infinite_lambda_it_is_what_was_released(tmp_path: Path, architecture: str) -> None:
    start = starts.start(tmp_path, architecture, strength=math.inf)
    assert starts.far(ditto.personal(start, steps=3), start.model) == 0.0


@pytest.mark.parametrize("architecture", starts.BOTTOMS)
def test_with_lambda_zero_it_is_local_training(tmp_path: Path, architecture: str) -> None:
    start = starts.start(tmp_path, architecture, strength=0.0)
    local = copy.deepcopy(start.model)
    none = {name: Pull(value, 0.0) for name, value in starts.everything(local).items()}
    descend(local, start.dataset, none, start.generator, steps=5)
    assert starts.far(ditto.personal(start, steps=5), local) == 0.0


def test_it_goes_on_from_the_personal_model_of_the_adoption_before(tmp_path: Path) -> None:
    start = starts.start(tmp_path, strength=5.0)
    first = ditto.personal(start, steps=5)
    again = ditto.personal(replace(start, before=starts.everything(first)), steps=0)
    assert starts.far(again, first) == 0.0
    assert starts.far(ditto.personal(start, steps=0), start.model) == 0.0


def test_a_new_release_pulls_an_old_personal_model_to_itself(tmp_path: Path) -> None:
    start = starts.start(tmp_path, strength=math.inf)
    elsewhere = {name: value + 1.0 for name, value in starts.everything(start.model).items()}
    assert starts.far(ditto.personal(replace(start, before=elsewhere), steps=1), start.model) == 0.0
