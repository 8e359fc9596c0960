"""Whoever reaches the SuperLink moves nothing at a merchant without the coordinator's key.

Every refusal by itself is tested in `tests/client/agent/test_guard.py` and `test_service.py`; here the way is
the whole one, through SuperLink, proxy, node and bridge. That a node in Flower's own way would run what is
sent is shown in `tests/client/test_up_deployed.py`.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from shared_model import signing
from shared_model.model import initial_shared
from shared_model.protocol import Instruction, Refusal, SharedArrays, digest
from shared_model.schema import load_federation
from tests.deployment.strangers import ANSWERED, Question, asked
from tests.deployment.town import Town, accepted

pytestmark = pytest.mark.deploy

LINEAGE = "a-visit"


@dataclass(frozen=True)
class Visit:
    """What strangers asked the first merchant, and what came of it.

    Attributes:
        answers: Their name -> a code, or `ANSWERED`.
        status: What `fedbazaar-client status --json` says afterwards.
        marker: A file that foreign code at a merchant would have made.
    """

    answers: dict[str, int | str]
    status: dict[str, Any]
    marker: Path


@pytest.fixture(scope="module")
def visit(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Visit:
    folder, name, other = tmp_path_factory.mktemp("stranger"), town.names[0], town.names[1]
    federation = load_federation(town.deployment.market / "federation.toml")
    key = signing.read_key((town.deployment.market / "keys" / "signing.key").read_bytes())
    foreign = signing.read_key(signing.new_key())
    arrays, others = ({n: a + offset for n, a in initial_shared(federation, 0).items()} for offset in (0, 1))

    def instruction(number: int, sent: SharedArrays = arrays, **changes: Any) -> Instruction:
        fields = {"fingerprint": federation.fingerprint, "lineage": LINEAGE, "merchant": name} | changes
        return Instruction(round=number, digest=digest(sent), **fields)

    def signed(number: int, sent: SharedArrays = arrays, **changes: Any) -> Question:
        return Question(name, signing.signed(instruction(number, sent, **changes), key), sent)

    plan = {
        "unsigned": Question(name, instruction(1), arrays),
        "another key": Question(name, signing.signed(instruction(1), foreign), arrays),
        "changed after signing": Question(
            name, replace(signing.signed(instruction(1), key), round=2), arrays
        ),
        "somebody else's": signed(1, merchant=other),
        "a round after an answer that was never given": signed(3, answered=2),
        "round 1": signed(1),
        "round 1 again": signed(1),
        "round 2": signed(2, answered=1),
        "round 1 replayed": signed(1),
        "round 2 with other arrays": signed(2, others, answered=1),
    }
    marker = folder / "foreign-code-ran"
    answers = asked(town, folder, list(plan.values()), marker=marker)
    told = town.deployment.call("fedbazaar-client", "status", town.shop(name).folder, "--json")
    return Visit(dict(zip(plan, answers, strict=True)), json.loads(told), marker)


def test_only_what_the_coordinator_signed_is_answered_and_only_in_order(visit: Visit) -> None:
    assert visit.answers == {
        "unsigned": Refusal.SIGNATURE,
        "another key": Refusal.SIGNATURE,
        "changed after signing": Refusal.SIGNATURE,
        "somebody else's": Refusal.RECIPIENT,
        "a round after an answer that was never given": Refusal.ROUND,
        "round 1": ANSWERED,
        "round 1 again": ANSWERED,
        "round 2": ANSWERED,
        "round 1 replayed": Refusal.ROUND,
        "round 2 with other arrays": Refusal.CONFLICT,
    }


def test_a_round_that_was_sent_twice_was_trained_once(town: Town, visit: Visit) -> None:
    assert town.shops[0].trained(LINEAGE) == {1: 1, 2: 1}


def test_the_merchant_is_told_what_was_refused_and_why(visit: Visit) -> None:
    told = [(line["code"], line["reason"]) for line in visit.status["refusals"]][-7:]
    codes = [*["SIGNATURE"] * 3, "RECIPIENT", "ROUND", "ROUND", "CONFLICT"]
    assert [code for code, _ in told] == codes
    assert all(reason for _, reason in told)
    assert "not signed" in told[0][1]


def test_nothing_that_was_sent_has_run_at_a_merchant(visit: Visit) -> None:
    assert not visit.marker.exists()


def test_in_the_next_run_the_merchants_train_as_ever(town: Town, visit: Visit) -> None:
    town.ended(town.run())
    assert accepted(town.journal) == town.everybody_in(1, 2, 3)
