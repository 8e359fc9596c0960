"""The ServerApp as Flower calls it, on a grid in this process."""

import json
import socket
import time

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from typer.testing import CliRunner

from server import cli, heads
from server.app import app, poke
from server.coordinator import LOCK
from server.release import RELEASED
from server.wire_record import RECORD
from shared_model import journal, model, protocol, signing
from shared_model.errors import AggregationError, ConfigError, StateError
from shared_model.files import read_tensors
from shared_model.processes import only_one
from shared_model.protocol import Instruction
from shared_model.schema import load_federation
from simulations.in_process import InProcessGrid
from tests.server.fakes import events, instruction, make_app, moves

CONTRACT = """
[federation]
name = "harbour"
rounds = 2
local_steps = 5
[features.price]
kind = "numeric"
[tasks.late]
kind = "binary"
[bottom]
architecture = "wide"
"""


@pytest.fixture
def contract(tmp_path):
    path = tmp_path / "federation.toml"
    path.write_text(CONTRACT)
    return path


def make_grid(**changes):
    client = make_app({"alba": moves(1.0, **changes), "bruno": moves(3.0, **changes)})

    @client.query()
    def _query(message, context):
        facts = {"name": context.node_config["name"], "tier": "any", "tasks": "late"}
        return Message(RecordDict({"report": ConfigRecord(facts)}), reply_to=message)

    return InProcessGrid(client, {name: {"name": name} for name in ("alba", "bruno")})


def start(grid, contract, **run_config):
    config = {"contract": str(contract), "run-directory": str(contract.parent / "run"), "durable": False}
    app(grid, Context(1, 0, {}, RecordDict(), {**config, **run_config}))


def test_a_run_leaves_the_released_arrays_behind(contract):
    start(make_grid(), contract)
    tensors, metadata = read_tensors(contract.parent / "run" / RELEASED)
    federation = load_federation(contract)
    initial = model.initial_shared(federation, 0)
    moved = {name: float((tensors[name].numpy() - initial[name]).mean()) for name in initial}
    assert moved == pytest.approx(dict.fromkeys(initial, 4.0))  # twice the mean of 1 and 3
    assert metadata["fingerprint"] == federation.fingerprint


def test_a_run_begins_with_what_was_released_before(contract):
    start(make_grid(), contract)
    before, _ = read_tensors(contract.parent / "run" / RELEASED)
    again = {"run-directory": str(contract.parent / "next"), "start": str(contract.parent / "run" / RELEASED)}
    start(make_grid(), contract, **again)
    after, _ = read_tensors(contract.parent / "next" / RELEASED)
    moved = {name: float((after[name] - before[name]).mean()) for name in before}
    assert moved == pytest.approx(dict.fromkeys(before, 4.0))


def test_the_next_round_is_not_asked_for_before_merchants_accept_it(contract, monkeypatch):
    contract.write_text(CONTRACT.replace("rounds = 2", "rounds = 2\npace_seconds = 600"))
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    start(make_grid(), contract)
    assert [seconds for seconds in slept if seconds > 300] == [pytest.approx(600, abs=60)]


def test_the_journal_knows_merchants_by_the_names_they_gave(contract):
    start(make_grid(), contract)
    assert events(contract.parent / "run", "round_opened")[0]["asked"] == ["alba", "bruno"]


def test_too_few_members_stop_the_run(contract):
    with pytest.raises(AggregationError, match="2 of 3 members can be reached"):
        start(make_grid(), contract, **{"wait-members": 3, "wait-seconds": 0.0})


def test_check_says_what_the_contract_means(contract):
    result = CliRunner().invoke(cli.app, ["check", str(contract), "--json"])
    facts = json.loads(result.stdout)
    federation = load_federation(contract)
    shared = sum(array.size for array in model.initial_shared(federation, 0).values())
    assert facts["fingerprint"] == federation.fingerprint
    assert facts["shared_parameters"] == shared
    headers = 128 * len(model.initial_shared(federation, 0))
    assert facts["bytes_down"] == facts["bytes_up"] == 4 * shared + headers
    assert facts["bytes_per_round"] == facts["bytes_down"] + facts["bytes_up"]
    assert (facts["features"], facts["tasks"]) == ({"price": "numeric"}, {"late": "binary"})
    assert (facts["rounds"], facts["local_steps"], facts["privacy"]) == (2, 5, None)


def test_check_prints_a_table(contract):
    result = CliRunner().invoke(cli.app, ["check", str(contract)])
    assert result.exit_code == 0
    assert "harbour: the contract is valid" in result.stdout
    assert load_federation(contract).fingerprint[:20] in result.stdout


def test_check_says_in_plain_words_that_nobody_is_protected(contract):
    shown = CliRunner().invoke(cli.app, ["check", str(contract)]).stdout
    assert "WITHOUT differential privacy" in shown


def test_a_bad_contract_is_one_line_and_exit_code_one(contract, monkeypatch, capsys):
    contract.write_text(CONTRACT.replace("rounds = 2", "rounds = 0"))
    monkeypatch.setattr("sys.argv", ["fedbazaar-server", "check", str(contract)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    assert "federation.rounds is 0" in capsys.readouterr().err


# --- signing --------------------------------------------------------------------------------------------


KEY = signing.new_key()


@pytest.fixture
def signed_contract(contract, tmp_path):
    line = f'name = "harbour"\ncoordinator_key = "{signing.public_key(KEY)}"'
    contract.write_text(CONTRACT.replace('name = "harbour"', line))
    (tmp_path / "signing.key").write_bytes(KEY)
    return contract


def heard_by(grid):
    """Return the instructions that go through a grid from now on."""
    heard, send = [], grid.push_messages

    def push(messages):
        messages = list(messages)
        heard.extend(m for m in messages if protocol.INSTRUCTION in m.content)
        return send(messages)

    grid.push_messages = push
    return heard


def test_every_instruction_is_signed_and_says_what_was_answered(signed_contract, tmp_path):
    grid = make_grid()
    heard = heard_by(grid)
    start(grid, signed_contract, **{"signing-key": str(tmp_path / "signing.key")})
    told = [instruction(message) for message in heard]
    for one in told:
        signing.check(one, signing.public_key(KEY))
    assert [(i.kind, i.merchant, i.round, i.answered) for i in told] == [
        ("train", "alba", 1, 0),
        ("train", "bruno", 1, 0),
        ("train", "alba", 2, 1),
        ("train", "bruno", 2, 1),
        ("adopt", "", 2, 0),
        ("adopt", "", 2, 0),
    ]


def test_the_released_file_is_a_signed_offer(signed_contract, tmp_path):
    start(make_grid(), signed_contract, **{"signing-key": str(tmp_path / "signing.key")})
    tensors, metadata = read_tensors(tmp_path / "run" / RELEASED)
    offer = Instruction.from_mapping(json.loads(metadata["instruction"]))
    signing.check(offer, signing.public_key(KEY))
    assert offer.digest == protocol.digest({name: tensor.numpy() for name, tensor in tensors.items()})


def test_a_contract_with_a_key_is_not_run_without_it(signed_contract):
    with pytest.raises(ConfigError, match="signing-key is missing"):
        start(make_grid(), signed_contract)


def test_another_key_than_the_contracts_is_refused_and_the_journal_says_so(signed_contract, tmp_path):
    (tmp_path / "signing.key").write_bytes(signing.new_key())
    with pytest.raises(ConfigError, match="coordinator_key"):
        start(make_grid(), signed_contract, **{"signing-key": str(tmp_path / "signing.key")})
    [stopped] = events(tmp_path / "run", "run_stopped")
    assert "coordinator_key" in stopped["reason"]


def test_two_coordinators_do_not_work_on_one_run(contract, tmp_path):
    with (
        only_one(tmp_path / "run" / LOCK, what="the training"),
        pytest.raises(StateError, match="runs already"),
    ):
        start(make_grid(), contract)
    assert not (tmp_path / "run" / "journal.jsonl").exists()


def test_heads_of_ledgers_are_kept_for_the_next_training(contract, tmp_path):
    private = CONTRACT.replace("rounds = 2", "rounds = 2\nfull_batch = true")
    contract.write_text(f"{private}[privacy]\nepsilon = 8.0\ndelta = 1e-6\n")
    start(make_grid(ledger="a" * 64), contract, ledgers=str(tmp_path / "ledgers.json"))
    assert heads.load(tmp_path / "ledgers.json") == {"alba": "a" * 64, "bruno": "a" * 64}


def test_every_reply_is_written_down_also_those_to_questions_who_somebody_is(contract):
    start(make_grid(), contract)
    lines = journal.read(contract.parent / "run" / RECORD)
    assert [line["type"] for line in lines[:2]] == ["query", "query"]
    assert [line["type"] for line in lines[-2:]] == ["train.adopt", "train.adopt"]


def test_the_doorman_is_told_that_there_is_work(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as doorman:
        doorman.bind(str(tmp_path / "door"))
        poke(str(tmp_path / "door"))()
        assert doorman.recv(16) == b"work"


def test_a_doorman_who_left_stops_nobody(tmp_path):
    poke(str(tmp_path / "nobody"))()
    poke("")()
