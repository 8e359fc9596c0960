"""The audit of a finished run, on a small private federation that really trained."""

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from server.wire_record import RECORD
from shared_model import journal
from shared_model.errors import ConfigError, DataError
from shared_model.privacy.ledger import Charge, Ledger, Limit, read_charges
from shared_model.schema import load_federation
from simulations.audit.finished import audit_run
from tests.integration import experiments
from tests.integration.test_private_federation import contract, train

REPLY = ("type", "merchant", "node", "lineage", "round", "error", "records")
"""What a line of the coordinator's record tells of a reply, beside its place in the chain."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rounds of three merchants with statistics; run directory `spring` beside the contract."""
    folder = tmp_path_factory.mktemp("private")
    train(experiments.site(folder, contract()), folder / "spring")
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def audited(directory: Path, file: Path | None = None):
    return audit_run(directory, file, command="", progress=lambda what: None)


def against(directory: Path) -> set[str]:
    return {name for section in audited(directory).sections for name in section.refuted}


def ledgers(directory: Path) -> list[Path]:
    return sorted(directory.rglob("ledger/*.jsonl"))


def charged(directory: Path, **changes) -> None:
    """Add a charge like the last one of the first ledger to it."""
    path = ledgers(directory)[0]
    last = read_charges(path)[-1].to_mapping()
    with Ledger(path, durable=False) as ledger:
        ledger.charge(Charge.from_mapping({**last, **changes}), [Limit(1e9, 1e-6)])


def test_an_honest_run_holds(finished):
    report = audited(finished)
    assert report.verdict == "holds"
    assert len(report.sections) == 4  # three ledgers and the coordinator's record
    assert report.fingerprint == load_federation(finished / "federation.toml").fingerprint


def test_what_was_spent_is_the_contracts_epsilon_after_the_last_round(finished):
    spent = audited(finished).sections[0].claim["epsilon spent"]
    assert spent == pytest.approx(8.0, abs=1e-3)


def test_an_edited_line_is_found(copy):
    path = ledgers(copy)[0]
    path.write_text(path.read_text().replace('"noise_multiplier": ', '"noise_multiplier": 1', 1))
    assert "ledger.chain" in against(copy)


def test_a_lost_ledger_leaves_replies_without_their_charge(copy):
    ledgers(copy)[0].unlink()
    assert against(copy) == {"replies.charged"}


def test_a_ledger_cut_back_leaves_a_reply_without_its_charge(copy):
    path = ledgers(copy)[0]
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert against(copy) == {"replies.charged"}


def test_a_round_too_many_exceeds_the_budget(copy):
    charged(copy)
    assert against(copy) == {"ledger.epsilon"}


def test_a_charge_that_the_contract_does_not_plan_is_found(copy):
    event = {"sampling_rate": 1.0, "noise_multiplier": 1e6, "count": 1}
    charged(copy, events=[event], round=9)
    assert {"ledger.plan", "ledger.rounds"} <= against(copy)


def test_a_merchants_own_cap_is_held_against_all_it_spent(copy):
    path = next(copy.rglob("merchant.toml"))
    path.write_text(tomli_w.dumps(tomllib.loads(path.read_text()) | {"privacy": {"max_epsilon": 2.0}}))
    assert against(copy) == {"ledger.cap"}


def test_one_merchants_folder_can_be_audited_alone(finished):
    folder = next(finished.rglob("merchant.toml")).parent
    report = audited(folder, finished / "federation.toml")
    assert [section.verdict for section in report.sections] == ["holds"]


def test_a_folder_without_a_ledger_is_refused(tmp_path):
    with pytest.raises(DataError, match="no ledger"):
        audited(tmp_path)


def test_a_contract_without_privacy_is_refused(copy):
    tables = tomllib.loads((copy / "federation.toml").read_text())
    del tables["privacy"]
    (copy / "federation.toml").write_text(tomli_w.dumps(tables))
    with pytest.raises(ConfigError, match="privacy"):
        audited(copy)


def test_the_second_layers_ledger_is_held_against_its_own_budget(tmp_path):
    layer = {"epsilon": 20.0, "delta": 1e-5, "clipping_norm": 1.0}
    train(experiments.site(tmp_path, contract(merchants=layer)), tmp_path / "spring")
    report = audited(tmp_path)
    [section] = [s for s in report.sections if s.claim.get("unit") == "merchant"]
    assert report.verdict == "holds"
    assert section.claim["epsilon spent"] == pytest.approx(20.0, rel=1e-6)


def replies(directory: Path) -> list[dict[str, Any]]:
    """The coordinator's record of replies of a run."""
    lines = journal.read(next(directory.rglob(RECORD)))
    return [dict(line) for line in lines if line["event"] == "reply" and line["round"]]


def rewritten(directory: Path, lines: list[dict[str, Any]]) -> None:
    """Put a record of these replies, well chained, in the place of the one that is there."""
    path = next(directory.rglob(RECORD))
    path.unlink()
    with journal.Journal(path, durable=False) as record:
        for line in lines:
            record.append("reply", **{name: line[name] for name in REPLY})


def with_digest(line: dict[str, Any], digest: str) -> dict[str, Any]:
    """The same reply with other bytes in its arrays."""
    records = {
        n: r | ({"digest": digest} if r["kind"] == "arrays" else {}) for n, r in line["records"].items()
    }
    return line | {"records": records}


def test_a_reply_that_is_sent_again_costs_nothing(copy):
    lines = replies(copy)
    rewritten(copy, [*lines, lines[0]])
    assert against(copy) == set()


def test_one_charge_pays_for_one_reply(copy):
    lines = replies(copy)
    rewritten(copy, [*lines, with_digest(lines[0], "0" * 64)])
    assert against(copy) == {"replies.charged"}


def test_another_merchants_charge_pays_for_nothing(copy):
    lines = replies(copy)
    other = next(line["merchant"] for line in lines if line["merchant"] != lines[0]["merchant"])
    rewritten(copy, [lines[0] | {"merchant": other}, *lines[1:]])
    assert against(copy) == {"replies.charged"}
