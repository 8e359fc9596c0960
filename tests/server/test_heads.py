"""Heads of merchants' ledgers outlive a training, so that a roll-back between two of them is noticed."""

import pytest

from server import heads
from shared_model.errors import StateError
from tests.server.fakes import instruction, make_federation, moves, run

FIRST, SECOND = "1" * 64, "2" * 64


def test_what_is_loaded_is_what_was_saved(tmp_path):
    heads.save(tmp_path / "ledgers.json", {"alba": FIRST}, durable=False)
    assert heads.load(tmp_path / "ledgers.json") == {"alba": FIRST}


def test_merchants_that_took_no_part_keep_their_heads(tmp_path):
    heads.save(tmp_path / "ledgers.json", {"alba": FIRST, "bruno": FIRST})
    heads.save(tmp_path / "ledgers.json", {"alba": SECOND})
    assert heads.load(tmp_path / "ledgers.json") == {"alba": SECOND, "bruno": FIRST}


def test_without_a_file_there_are_none(tmp_path):
    assert heads.load(tmp_path / "ledgers.json") == {}


@pytest.mark.parametrize("content", ["{", "[]", '{"alba": 3}', ""])
def test_a_damaged_file_is_an_error_and_not_forgotten(tmp_path, content):
    (tmp_path / "ledgers.json").write_text(content)
    with pytest.raises(StateError, match="no roll-back is noticed"):
        heads.load(tmp_path / "ledgers.json")


def test_who_left_is_forgotten(tmp_path):
    heads.save(tmp_path / "ledgers.json", {"alba": FIRST, "bruno": SECOND})
    heads.forget(tmp_path / "ledgers.json", "alba")
    heads.forget(tmp_path / "ledgers.json", "nobody")
    assert heads.load(tmp_path / "ledgers.json") == {"bruno": SECOND}


def test_a_new_training_shows_merchants_the_heads_of_earlier_ones(tmp_path):
    seen = []

    def act(question):
        seen.append(instruction(question).ledger)
        return moves(1.0, ledger=SECOND)(question)

    closed = []
    federation = make_federation(rounds=2, privacy={})
    run(tmp_path, {"alba": act}, federation, ledgers={"alba": FIRST, "bruno": FIRST}, on_round=closed.append)
    assert seen == [FIRST, SECOND]
    assert closed[-1].ledgers == {"alba": SECOND, "bruno": FIRST}


def test_a_training_that_goes_on_trusts_its_own_checkpoint_first(tmp_path):
    seen = []

    def act(question):
        seen.append(instruction(question).ledger)
        return moves(1.0, ledger=SECOND)(question)

    def stop(summary):
        raise KeyboardInterrupt

    federation = make_federation(rounds=2, privacy={})
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, {"alba": act}, federation, on_round=stop)
    run(tmp_path, {"alba": act}, federation, ledgers={"alba": FIRST})
    assert seen == ["", SECOND]
