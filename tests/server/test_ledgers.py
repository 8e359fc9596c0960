"""The coordinator keeps the head of every merchant's ledger and shows it to the merchant the next time."""

import pytest
from flwr.app import Error, Message

from server import checkpoint
from shared_model.errors import QuorumNotReached
from shared_model.protocol import Refusal
from tests.server.fakes import events, instruction, make_federation, moves, run

FIRST, SECOND = "1" * 64, "2" * 64


def charges(heads):
    """A merchant whose ledger has these heads, one after each round."""
    remaining, seen = iter(heads), []

    def act(question):
        seen.append(instruction(question).ledger)
        return moves(1.0, ledger=next(remaining))(question)

    return act, seen


def spent(question):
    return Message(Error(int(Refusal.BUDGET)), reply_to=question)


def refused(directory):
    return {line["merchant"]: line["reason"] for line in events(directory, "reply_refused")}


def test_a_merchant_is_shown_the_head_that_its_last_answer_came_with(tmp_path):
    act, seen = charges([FIRST, SECOND])
    run(tmp_path, {"alba": act}, make_federation(rounds=2, privacy={}))
    assert seen == ["", FIRST]


def test_the_heads_survive_a_restart_of_the_coordinator(tmp_path):
    act, seen = charges([FIRST, SECOND, "3" * 64])
    federation = make_federation(rounds=2, privacy={})

    def stop(summary):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, {"alba": act}, federation, on_round=stop)
    run(tmp_path, {"alba": act}, federation)
    assert seen == ["", FIRST]
    assert checkpoint.latest(tmp_path).progress.ledgers == {"alba": SECOND}


def test_the_head_of_an_answer_to_an_attempt_that_missed_its_quorum_is_shown_in_the_next(tmp_path):
    act, seen = charges([FIRST, FIRST])
    with pytest.raises(QuorumNotReached):
        run(tmp_path, {"alba": act, "bruno": spent}, make_federation(privacy={}, quorum=1.0, attempts=2))
    assert seen == ["", FIRST]


def test_the_head_of_a_refused_reply_is_not_kept(tmp_path):
    behaviours = {"alba": moves(1.0, ledger=FIRST), "bruno": moves(1.0, ledger=SECOND, round=7)}
    run(tmp_path, behaviours, make_federation(privacy={}))
    assert checkpoint.latest(tmp_path).progress.ledgers == {"alba": FIRST}


@pytest.mark.parametrize("head", ["", "1" * 63, "1" * 65, "G" * 64, "1" * 64 + "\n"])
def test_a_reply_without_a_head_is_refused_where_there_is_a_privacy_policy(tmp_path, head):
    behaviours = {"alba": moves(1.0, ledger=FIRST), "bruno": moves(9.0, ledger=head)}
    released = run(tmp_path, behaviours, make_federation(privacy={}))
    assert released["w"].tolist() == [1.0, 1.0, 1.0]
    assert refused(tmp_path) == {"bruno": "no head of a ledger, although the contract has a privacy policy"}


def test_a_reply_with_a_head_is_refused_where_there_is_none(tmp_path):
    run(tmp_path, {"alba": moves(1.0), "bruno": moves(9.0, ledger=FIRST)}, make_federation())
    assert refused(tmp_path) == {"bruno": "the head of a ledger, although the contract has no privacy policy"}


def test_a_round_goes_on_at_its_quorum_when_a_budget_is_spent(tmp_path):
    released = run(
        tmp_path, {"alba": moves(2.0, ledger=FIRST), "bruno": spent}, make_federation(privacy={}, quorum=0.5)
    )
    assert released["w"].tolist() == [2.0, 2.0, 2.0]
    assert refused(tmp_path) == {"bruno": "BUDGET"}


def test_a_round_in_which_all_budgets_are_spent_changes_nothing(tmp_path):
    with pytest.raises(QuorumNotReached):
        run(tmp_path, {"alba": spent, "bruno": spent}, make_federation(privacy={}))
    assert checkpoint.latest(tmp_path).progress.round == 0
