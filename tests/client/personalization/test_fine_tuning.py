"""Fine-tuning lies between the release and training alone; under a wide bottom it is a closed form."""

import copy
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from client import serving_heads
from client.evaluation import evaluate, logits_of
from client.halves import choosing
from client.personalization import feature_transfer, fine_tuning
from client.personalization.descent import descend
from client.personalization.start import Pull

from . import starts


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fine_tuning, "STEPS", 30)
    monkeypatch.setattr(fine_tuning, "STEPS_UNSEEN", 10)
    monkeypatch.setattr(fine_tuning, "_LOOK", 5)


@pytest.mark.parametrize("architecture", starts.BOTTOMS)
def test_with_infinite_strength_it_is_what_was_released(tmp_path: Path, architecture: str) -> None:
    start = starts.start(tmp_path, architecture, strength=math.inf)
    assert starts.far(fine_tuning.personal(start, own=math.inf), start.model) == 0.0


@pytest.mark.parametrize("architecture", starts.BOTTOMS)
def test_without_strength_it_is_training_alone_from_there(tmp_path: Path, architecture: str) -> None:
    start = starts.start(tmp_path, architecture, strength=0.0, table=starts.without_validation())
    free = feature_transfer.personal(start)
    none = {name: Pull(value, 0.0) for name, value in starts.everything(free).items()}
    descend(free, start.dataset, none, start.generator, steps=fine_tuning.STEPS_UNSEEN)
    assert starts.far(fine_tuning.personal(start, own=0.0), free) == 0.0


def test_under_a_wide_bottom_it_is_a_serving_head_of_both_strengths_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # min a/2 p^2 + b/2 q^2 where p + q = r is ab / (a + b) / 2 r^2: 30 and 10 rows are 7.5
    start = starts.start(tmp_path, "wide", strength=30.0, table=starts.without_validation())
    monkeypatch.setattr(fine_tuning, "STEPS_UNSEEN", 300)
    monkeypatch.setattr(fine_tuning, "descend", partial(descend, learning_rate=0.05))
    tuned, closed = fine_tuning.personal(start, own=10.0), copy.deepcopy(start.model)
    serving_heads.put(closed, "bought", serving_heads.fit(start.model, start.dataset, "bought", penalty=7.5))
    rows = start.dataset.rows("train", task="bought")
    expected = logits_of(closed, start.dataset, "bought", rows)
    torch.testing.assert_close(
        logits_of(tuned, start.dataset, "bought", rows), expected, rtol=1e-3, atol=1e-3
    )


def test_it_stops_where_the_choosing_half_likes_it_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fine_tuning, "LEAST_SHOPPERS", 2)
    start = starts.start(tmp_path, "mmoe", strength=0.0)
    tuned = fine_tuning.personal(start, own=0.0)
    found = fine_tuning._loss(tuned, start, list(start.dataset.tasks))
    begin = fine_tuning._loss(feature_transfer.personal(start), start, list(start.dataset.tasks))
    monkeypatch.setattr(fine_tuning, "LEAST_SHOPPERS", 99)
    assert found <= begin
    assert found < fine_tuning._loss(fine_tuning.personal(start, own=0.0), start, list(start.dataset.tasks))


def test_the_judging_half_has_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fine_tuning, "LEAST_SHOPPERS", 2)
    start = starts.start(tmp_path / "a")
    judged = set(starts.judged_rows(start.dataset, "bought").tolist())
    asked: set[int] = set()
    original = start.dataset.batch

    def seen(rows: torch.Tensor, tasks: object = None) -> object:
        asked.update(rows.tolist())
        return original(rows, tasks)  # type: ignore[arg-type]

    monkeypatch.setattr(start.dataset, "batch", seen)
    fine_tuning.personal(start)
    assert judged
    assert not asked & judged
    assert asked >= set(choosing(start.dataset, "bought").rows.tolist())


def test_it_learns_what_the_merchants_rows_say(tmp_path: Path) -> None:
    start = starts.start(tmp_path, strength=1.0)
    before = evaluate(start.model, start.dataset, "train")
    after = evaluate(fine_tuning.personal(start, own=1.0), start.dataset, "train")
    assert after["amount"]["RMSE"] < before["amount"]["RMSE"]


def test_what_was_released_is_left_as_it_is(tmp_path: Path) -> None:
    start = starts.start(tmp_path)
    before = copy.deepcopy(start.model)
    fine_tuning.personal(replace(start, strength=0.0))
    assert starts.far(start.model, before) == 0.0
