import io
import json

import pytest
from rich.console import Console

from simulations.audit import attacks
from simulations.audit.attacks import command, page
from simulations.audit.attacks.outcome import Outcome, silent
from simulations.audit.attacks.picture import bars

FOUND = Outcome(
    name="who <took> part", attacked="From the model, who was there.", metric="AUC", plain=0.9, private=0.5,
    chance=0.5, worst=1.0, epsilon=8.0, source="Carlini et al. (2022)",
)  # fmt: skip
ERROR = Outcome(
    name="what was bought", attacked="From a step, the numbers.", metric="error, guess = 1", plain=0.1,
    private=1.3, chance=1.0, worst=0.0, epsilon=8.0, source="Geiping et al. (2020)",
)  # fmt: skip


def known(*, epsilon, seed, progress=silent):
    progress(0.5)
    return (FOUND, ERROR)


def test_success_runs_from_guessing_to_being_always_right_whichever_way_the_figure_points():
    assert FOUND.success(FOUND.plain) == pytest.approx(0.8)
    assert ERROR.success(ERROR.plain) == pytest.approx(0.9)
    assert ERROR.success(ERROR.private) == pytest.approx(-0.3)


def test_the_outcome_of_several_merchants_is_the_mean_of_their_figures():
    kept = {name: getattr(FOUND, name) for name in vars(FOUND) if name not in ("plain", "private")}
    found = Outcome.mean([(1.0, 0.4), (0.8, 0.6)], **kept)
    assert (found.plain, found.private, found.name) == (0.9, 0.5, FOUND.name)


def test_the_picture_has_a_bar_without_and_one_with_privacy_for_every_attack():
    (axes,) = bars([FOUND, ERROR]).axes
    assert [round(bar.get_width()) for bar in axes.patches] == [80, 90, 0, -10]


def test_the_page_escapes_loads_nothing_and_runs_nothing():
    drawn = page.page([FOUND, ERROR], epsilon=8.0, command="fedbazaar-audit attacks")
    assert "who &lt;took&gt; part" in drawn
    assert "<script" not in drawn
    assert "src=" not in drawn


def test_the_same_outcomes_give_the_same_page():
    assert page.page([FOUND], epsilon=8.0, command="x") == page.page([FOUND], epsilon=8.0, command="x")


def test_every_figure_is_explained_and_given_in_per_cent():
    drawn = page.page([ERROR], epsilon=8.0, command="x")
    assert "How far off it is" in drawn
    assert "<td>10 %</td><td>130 %</td><td>100 %</td>" in drawn


def test_the_command_prints_a_table_and_writes_page_and_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "ATTACKS", {"known": known})
    console = Console(width=140, record=True, file=io.StringIO())
    command.run(
        epsilon=8.0, seed=3, json_file=tmp_path / "a.json", html_file=tmp_path / "a.html", console=console
    )
    assert "what was bought" in console.export_text()
    assert json.loads((tmp_path / "a.json").read_text())["attacks"][1]["private"] == 1.3
    assert "--epsilon 8 --seed 3" in (tmp_path / "a.html").read_text()


def test_there_are_four_attacks():
    assert set(attacks.ATTACKS) == {"membership", "ids", "labels", "inversion"}
