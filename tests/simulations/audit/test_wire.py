"""What left a merchant is held against the contract, and whatever does not belong there is named."""

import json

import numpy as np
import pytest
import tomli_w
from flwr.app import ConfigRecord, Error, Message, MetricRecord
from typer.testing import CliRunner

from server.coordinator import train
from server.wire_record import RECORD, recorded
from shared_model import schema
from shared_model.errors import ConfigError, DataError, StateError
from shared_model.model import initial_shared
from shared_model.protocol import Refusal
from simulations.audit import cli, wire
from tests.server.fakes import answer, instruction, make_grid, moves, received, roster_of, settings_in

HEAD = "a" * 64
TABLES = {
    "federation": {"name": "harbour", "rounds": 2, "attempts": 1, "full_batch": True},
    "features": {"price": {"kind": "numeric"}},
    "tasks": {"late": {"kind": "binary"}},
    "bottom": {"architecture": "wide"},
}
PRIVATE = {**TABLES, "privacy": {"epsilon": 8.0, "delta": 1e-6}}
W, B = "heads.late.prior.weight", "heads.late.prior.bias"


def honest(federation):
    return moves(0.5, ledger=HEAD) if federation.privacy else moves(0.5)


def run(directory, alba, bruno=None, *, tables=TABLES, name="seed-0"):
    """Train one good merchant, `bruno`, and `alba`; return the directory with the contract in it."""
    directory.mkdir(exist_ok=True)
    (directory / "federation.toml").write_text(tomli_w.dumps(tables))
    federation = schema.load_federation(directory / "federation.toml")
    grid = make_grid({"alba": alba, "bruno": bruno or honest(federation)})
    with recorded(grid, directory / name, durable=False) as recording:
        train(
            recording,
            federation,
            initial_shared(federation, 0),
            settings=settings_in(directory / name),
            roster=roster_of(grid),
            moved_by={},
        )
    return directory


def audited(directory):
    [found] = wire.records_in(directory)
    return wire.audited(found, wire.contract_of(found))


def findings(directory):
    """What is wrong with alba's first answer."""
    start = "alba, first, round 1: "
    return [f.removeprefix(start) for f in audited(directory).findings if f.startswith(start)]


def whole_steps(question):
    start = received(question)
    steps = {name: np.ones(array.shape, np.int8) for name, array in start.items()}
    return answer(question, {**steps, "scales": np.ones(len(steps), np.float32)})


def test_whole_steps_and_their_lengths_are_agreed_where_the_contract_says_so(tmp_path):
    agreed = {**TABLES, "federation": {**TABLES["federation"], "precision": "int8"}}
    assert audited(run(tmp_path / "agreed", whole_steps, whole_steps, tables=agreed)).findings == ()
    assert "unknown array scales" in findings(run(tmp_path / "not", whole_steps))


def with_record(name, record):
    def act(question):
        reply = answer(question, received(question))
        reply.content[name] = record
        return reply

    return act


def with_arrays(change):
    return lambda question: answer(question, change(received(question)))


def says(code, text=None):
    return lambda question: Message(Error(int(code), text), reply_to=question)


def test_an_honest_run_has_nothing_outside_the_contract(tmp_path):
    found = audited(run(tmp_path, moves(1.0)))
    assert (found.replies, found.findings) == (4, ())


def test_what_left_is_counted_per_merchant_and_array(tmp_path):
    found = audited(run(tmp_path, moves(1.0)))
    sent = wire.Sent("alba", B, (1,), "float32")
    assert found.messages[sent] == 2
    assert found.bytes[sent] == 2 * (128 + 4)
    assert {sent.name for sent in found.messages} == {W, B}


def test_an_honest_private_run_names_ledgers_and_nothing_else(tmp_path):
    assert audited(run(tmp_path, moves(1.0, ledger=HEAD), tables=PRIVATE)).findings == ()


@pytest.mark.parametrize(
    ("tamper", "finding"),
    [
        (with_record("metrics", MetricRecord({"loss": 0.5})), "metric record metrics with loss"),
        (with_record("notes", ConfigRecord({"shoppers": 12})), "unknown record notes (config)"),
        (with_arrays(lambda a: {**a, "heads.late.own.bias": a[B]}), "unknown array heads.late.own.bias"),
        (with_arrays(lambda a: {W: a[W]}), f"missing array {B}"),
        (
            with_arrays(lambda a: {**a, B: a[B].astype(np.float64)}),
            f"array {B} is float64 (1,), agreed is float32 (1,)",
        ),
        (
            with_arrays(lambda a: {**a, B: np.zeros(7, np.float32)}),
            f"array {B} is float32 (7,), agreed is float32 (1,)",
        ),
        (with_arrays(lambda a: {**a, "telemetry": np.zeros(1, np.float32)}), "unknown array telemetry"),
        (moves(1.0, shoppers=12), "unknown key shoppers in record report"),
        (moves(1.0, round=7), "round in record report is 7, asked was 1"),
        (
            moves(1.0, ledger=HEAD),
            f"ledger in record report is '{HEAD}', allowed is nothing, since the contract has no privacy "
            "policy",
        ),
        (says(Refusal.FAILED, "Ms Rossi"), "8 letters of text beside code 1001"),
        (says(4711), "unknown code 4711"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)  # fmt: skip
def test_whatever_does_not_belong_there_is_named(tmp_path, tamper, finding):
    assert findings(run(tmp_path, tamper)) == [finding]


def test_a_private_answer_without_a_head_is_named(tmp_path):
    assert findings(run(tmp_path, moves(1.0, ledger="12 shoppers"), tables=PRIVATE)) == [
        "ledger in record report is '12 shoppers', allowed is the head of a ledger"
    ]


def test_the_codes_of_flowers_own_programs_are_no_findings(tmp_path):
    assert findings(run(tmp_path, says(5, "Node Unavailable"))) == []


def test_more_rounds_than_planned_are_named(tmp_path):
    run(tmp_path, moves(1.0))
    (tmp_path / "federation.toml").write_text(
        tomli_w.dumps({**TABLES, "federation": {**TABLES["federation"], "rounds": 1}})
    )
    assert audited(tmp_path).findings == (
        "alba, first: 2 rounds up to 2, planned 1",
        "bruno, first: 2 rounds up to 2, planned 1",
    )


def test_two_different_answers_to_one_round_are_named(tmp_path):
    federation = schema.parse_federation(TABLES)
    steps = iter([1.0, 2.0])

    def fresh(question):
        return moves(next(steps))(question)

    def once(directory):
        grid = make_grid({"alba": fresh})
        with recorded(grid, tmp_path / "run", durable=False) as recording:
            train(
                recording,
                schema.parse_federation({**TABLES, "federation": {**TABLES["federation"], "rounds": 1}}),
                initial_shared(federation, 0),
                settings=settings_in(directory),
                roster=roster_of(grid),
                moved_by={},
            )

    once(tmp_path / "before")
    once(tmp_path / "after its checkpoints were lost")
    (tmp_path / "federation.toml").write_text(tomli_w.dumps(TABLES))
    assert audited(tmp_path).findings == ("alba, first, round 1: 2 different answers",)


def test_the_same_answer_given_again_is_one(tmp_path):
    attempts = []

    def second_time(question):
        attempts.append(instruction(question).round)
        return says(Refusal.BUSY)(question) if len(attempts) == 1 else moves(1.0)(question)

    tables = {**TABLES, "federation": {**TABLES["federation"], "attempts": 2, "quorum": 1.0}}
    assert audited(run(tmp_path, second_time, tables=tables)).findings == ()
    assert attempts == [1, 1, 2]


def tells(question):
    told = {"telemetry": np.zeros(1, np.float32)}
    return answer(question, {**received(question), **told}, ledger=HEAD)


def test_telemetry_is_one_more_array_where_the_contract_has_it(tmp_path):
    tables = {**TABLES, "privacy": {"epsilon": 8.0, "delta": 1e-6, "telemetry": {}}}
    assert audited(run(tmp_path / "all", tells, tells, tables=tables)).findings == ()
    silent = run(tmp_path / "some", moves(1.0, ledger=HEAD), tells, tables=tables)
    assert findings(silent) == ["missing array telemetry"]


# --- the command ----------------------------------------------------------------------------------------


def command(*arguments):
    return CliRunner().invoke(cli.app, ["wire", *map(str, arguments)])


def test_the_command_prints_every_array_and_ends_well(tmp_path):
    done = command(run(tmp_path, moves(1.0)))
    assert done.exit_code == 0
    assert W in done.stdout
    assert "4 replies, nothing outside the contract." in done.stdout


def test_a_contract_without_privacy_is_told_in_plain_words(tmp_path):
    assert "WITHOUT differential privacy" in command(run(tmp_path, moves(1.0))).stdout


def test_the_command_fails_on_a_finding(tmp_path):
    done = command(run(tmp_path, with_record("metrics", MetricRecord({"loss": 0.5}))))
    assert done.exit_code == 1
    assert "metric record metrics with loss" in done.stdout


def test_the_command_reads_all_runs_below_a_directory(tmp_path):
    run(tmp_path, moves(1.0), name="seed-0")
    run(tmp_path, moves(1.0), name="seed-1")
    told = json.loads(command(tmp_path, "--json").stdout)
    assert [found["replies"] for found in told] == [4, 4]
    assert told[0]["sent"][0] == {
        "merchant": "alba", "name": B, "shape": [1], "dtype": "float32", "messages": 2, "bytes": 264,
    }  # fmt: skip


def test_a_directory_without_messages_is_an_error(tmp_path):
    with pytest.raises(DataError, match=RECORD):
        wire.records_in(tmp_path)


def test_messages_without_a_contract_above_them_are_an_error(tmp_path):
    (run(tmp_path, moves(1.0)) / "federation.toml").unlink()
    with pytest.raises(ConfigError, match=r"the federation\.toml of the run"):
        audited(tmp_path)


def test_a_line_that_was_changed_is_noticed(tmp_path):
    path = run(tmp_path, moves(1.0)) / "seed-0" / RECORD
    path.write_text(path.read_text().replace('"merchant": "alba"', '"merchant": "bruno"'))
    with pytest.raises(StateError, match="was changed"):
        audited(tmp_path)
