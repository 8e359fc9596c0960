"""The screen shows one line per event and is never flooded."""

import io

import pytest
from rich.console import Console

from client.screen import Screen


class Shown:
    """A screen of 40 columns with a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self._text = io.StringIO()
        self.tell = Screen(Console(file=self._text, width=40), clock=lambda: self.now)

    @property
    def lines(self) -> list[str]:
        """Without the time of the day."""
        return [line[10:] for line in self._text.getvalue().splitlines()]

    def fails(self, seconds: float, reason: str) -> None:
        self.now += seconds
        self.tell("node", "starting", "")
        self.tell("node", "ended", f"{reason}; next start in {seconds:g} s")


@pytest.fixture
def shown() -> Shown:
    return Shown()


def test_an_event_is_one_line_however_long(shown: Shown) -> None:
    shown.tell("node", "ended", "word " * 30)
    assert len(shown.lines) == 1


def test_brackets_in_a_reason_are_shown_as_they_are(shown: Shown) -> None:
    shown.tell("node", "ended", "see [connect] in merchant.toml")
    assert shown.lines == ["node    ended: see [connect] in merchant.toml"]


def test_the_same_trouble_is_told_again_only_after_ten_minutes(shown: Shown) -> None:
    for _ in range(60):
        shown.fails(15.0, "not enrolled")  # 15 minutes in all
    assert len(shown.lines) == 3  # the start, the trouble at 15 s, the trouble at 615 s


def test_another_trouble_is_told_at_once(shown: Shown) -> None:
    shown.fails(15.0, "not enrolled")
    shown.fails(15.0, "certificate expired")
    assert ["expired" in line for line in shown.lines] == [False, False, True]


def test_the_end_of_a_trouble_is_told_and_so_is_the_next(shown: Shown) -> None:
    for _ in range(3):
        shown.fails(15.0, "killed by SIGKILL")
    shown.tell("node", "ready", "connected")
    shown.fails(15.0, "killed by SIGKILL")
    assert [line.split()[1] for line in shown.lines] == ["starting", "ended:", "ready:", "ended:"]


def test_one_childs_trouble_hides_none_of_anothers(shown: Shown) -> None:
    shown.tell("node", "ended", "exit code 1; next start in 1 s")
    shown.tell("bridge", "ended", "exit code 1; next start in 1 s")
    assert len(shown.lines) == 2


def test_a_note_is_shown_as_it_is(shown: Shown) -> None:
    shown.tell("node", "note", "market.example:8443 answers again")
    assert shown.lines == ["node    market.example:8443 answers again"]


def test_of_a_stop_only_the_end_is_told(shown: Shown) -> None:
    shown.tell("node", "stopping", "")
    shown.tell("node", "stopped", "")
    assert shown.lines == ["node    stopped"]
