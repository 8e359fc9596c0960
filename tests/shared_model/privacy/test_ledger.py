"""The ledger is written before a release, shows when it was changed, and stops before the budget does."""

import subprocess
import sys
from pathlib import Path

import pytest

from shared_model import journal
from shared_model.errors import BudgetExhausted, StateError, UnaccountedRelease
from shared_model.privacy.ledger import Ledger, Limit, read_charges, read_entries, spent_by_contract

from .ledgers import charge

LIMITS = [Limit(8.0, 1e-6, "contract"), Limit(8.0, 1e-6)]
TWO = [Limit(0.7, 1e-6)]
"""mu = .1: one charge costs .397, two .560 and three .712."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "ledger.jsonl"


def charged(path: Path, *rounds: int) -> Path:
    with Ledger(path) as ledger:
        for number in rounds:
            ledger.charge(charge(number), LIMITS)
    return path


def test_charges_come_back_in_order_and_whole(path):
    charged(path, 1, 2)
    with Ledger(path) as ledger:
        assert ledger.charges == read_charges(path) == (charge(1), charge(2))


def test_the_same_charge_again_is_a_second_one(path):
    assert read_charges(charged(path, 1, 1)) == (charge(1), charge(1))


def test_no_file_holds_an_epsilon(path):
    assert "epsilon" not in charged(path, 1).read_text()


def test_what_would_exceed_a_limit_is_refused_before_anything_is_written(path):
    with Ledger(path) as ledger:
        ledger.charge(charge(1), TWO)
        ledger.charge(charge(2), TWO)
        before = path.read_bytes()
        with pytest.raises(BudgetExhausted, match=r"Round 3 .*everything.*epsilon 0.7.* is spent .*become"):
            ledger.charge(charge(3), TWO)
        assert path.read_bytes() == before


def test_the_stricter_of_two_limits_wins(path):
    with Ledger(path) as ledger, pytest.raises(BudgetExhausted, match=r"epsilon 0\.1 "):
        ledger.charge(charge(1), [*LIMITS, Limit(0.1, 1e-6)])


def test_a_limit_over_releases_of_two_units_admits_nothing_and_says_why(path):
    with Ledger(path) as ledger:
        ledger.charge(charge(1, fingerprint="other", unit="record"), LIMITS)
        with pytest.raises(BudgetExhausted, match="units record and shopper, and no epsilon holds for both"):
            ledger.charge(charge(1), LIMITS)


def test_a_charge_without_a_limit_is_refused(path):
    with Ledger(path) as ledger, pytest.raises(UnaccountedRelease, match="without a limit"):
        ledger.charge(charge(1), [])


def test_what_is_left_is_counted_in_charges(path):
    with Ledger(path) as ledger:
        assert ledger.affordable(charge(), TWO) == 2
        ledger.charge(charge(1), TWO)
        assert ledger.affordable(charge(), TWO) == 1
        assert ledger.spent(TWO[0]) == pytest.approx(0.397, abs=1e-3)


def test_a_second_process_is_refused_while_the_first_has_the_ledger(path):
    program = (
        "from pathlib import Path; from shared_model.privacy.ledger import Ledger; "
        f"Ledger(Path({str(path)!r}))"
    )
    with Ledger(path):
        second = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "UnaccountedRelease" in second.stderr
    assert "is being written by another process" in second.stderr


def test_reading_needs_no_lock(path):
    with Ledger(path) as ledger:
        ledger.charge(charge(1), LIMITS)
        assert read_charges(path) == (charge(1),)


def test_an_edited_line_is_found(path):
    text = charged(path, 1, 2).read_text()
    path.write_text(text.replace('"noise_multiplier": 10.0', '"noise_multiplier": 99.0', 1))
    with pytest.raises(UnaccountedRelease, match="line 1 does not follow"):
        Ledger(path)
    with pytest.raises(StateError, match="line 1 does not follow"):
        read_charges(path)


def test_an_edited_last_line_is_not_taken_for_a_torn_one(path):
    text = charged(path, 1, 2).read_text()
    path.write_text("99.0".join(text.rsplit("10.0", 1)))
    with pytest.raises(UnaccountedRelease, match="line 2 does not follow"):
        Ledger(path)


@pytest.mark.parametrize("torn", [b'{"charge": {"dig', b"\0" * 300 + b'"}\n'], ids=["its start", "its end"])
def test_a_torn_last_line_is_dropped_and_the_ledger_goes_on(path, torn):
    charged(path, 1)
    path.write_bytes(path.read_bytes() + torn)
    assert [one.round for one in read_charges(charged(path, 2))] == [1, 2]


def test_a_journal_of_something_else_is_refused(path):
    with journal.Journal(path) as other:
        other.append("trained", round=1)
    with pytest.raises(UnaccountedRelease, match="no ledger of this version"):
        Ledger(path)


def test_a_refused_ledger_is_not_left_locked(path):
    charged(path, 1)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"10.0", b"99.0"))
    with pytest.raises(UnaccountedRelease):
        Ledger(path)
    path.write_bytes(whole)
    assert charged(path, 2) == path


def test_an_older_copy_does_not_hold_the_head_that_was_remembered(path):
    old = charged(path, 1).read_bytes()
    with Ledger(path) as ledger:
        first = ledger.head
        ledger.charge(charge(2), LIMITS)
        remembered = ledger.head
        assert ledger.holds(first)
        assert ledger.holds(remembered)
    path.write_bytes(old)
    with Ledger(path) as ledger:
        assert ledger.holds(first)
        assert not ledger.holds(remembered)


def test_an_empty_ledger_has_the_empty_head_and_every_ledger_holds_it(path):
    with Ledger(path) as ledger:
        assert ledger.head == ""
        ledger.charge(charge(1), LIMITS)
        assert ledger.holds("")


def test_a_removed_ledger_does_not_hold_the_head_that_was_remembered(path):
    with Ledger(path) as ledger:
        ledger.charge(charge(1), LIMITS)
        remembered = ledger.head
    path.unlink()
    with Ledger(path) as ledger:
        assert not ledger.holds(remembered)


def test_the_head_of_equal_ledgers_differs_so_that_it_tells_nothing(tmp_path):
    with Ledger(tmp_path / "a") as a, Ledger(tmp_path / "b") as b:
        a.charge(charge(1), LIMITS)
        b.charge(charge(1), LIMITS)
        assert a.head != b.head


def test_local_work_is_noted_with_its_reason_and_costs_nothing(path):
    with Ledger(path) as ledger:
        ledger.note("serving heads are fitted after the release and stay here")
        assert ledger.spent(LIMITS[1]) == 0.0
    assert [entry.reason for entry in read_entries(path)] == [
        "serving heads are fitted after the release and stay here"
    ]


def test_every_contract_is_summed_up(path):
    with Ledger(path) as ledger:
        ledger.charge(charge(1), LIMITS)
        ledger.charge(charge(1, fingerprint="other", noise_multiplier=20.0), [LIMITS[1]])
    summary = spent_by_contract(read_charges(path), 1e-6)
    assert list(summary) == ["contract", "other"]
    assert summary["contract"] == pytest.approx(0.397, abs=1e-3)
    assert summary["other"] < summary["contract"]


def test_a_disk_that_takes_no_more_stops_the_release(path, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with Ledger(path) as ledger:
        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(UnaccountedRelease, match=r"takes no more lines.*No space left"):
            ledger.charge(charge(1), LIMITS)
        assert ledger.charges == ()


def test_opening_a_ledger_needs_neither_torch_nor_opacus():
    program = (
        "import sys, shared_model.privacy.ledger; "
        "print({'torch', 'opacus', 'dp_accounting'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "set()"
