"""An owner sees what the agent did, whether or not it runs, and can hand it a release."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from client.agent import commands
from client.cli import app
from shared_model import files
from shared_model.errors import ConfigError, Refused
from shared_model.privacy.ledger import Ledger, Limit
from shared_model.protocol import Instruction, SharedArrays
from tests.client import shops
from tests.client.agent.desk import Desk, contract, desk, offered
from tests.shared_model.privacy.ledgers import charge

CONNECT = {"address": "localhost:8443", "socket": "agent.sock"}


def shop(folder: Path) -> Path:
    """A shop with a [connect] table; the desk listens where that table says."""
    path, _ = shops.write(folder, agreement=contract(), connect=CONNECT)
    return path


def opened(path: Path) -> AbstractContextManager[Desk]:
    return desk(shops.opened(path, path.parent / "federation.toml"))


def released(folder: Path, desk: Desk, instruction: Instruction | None = None) -> Path:
    """The coordinator's file."""
    arrays = shops.start(desk.federation)
    asked = offered(desk.federation, arrays, round=5) if instruction is None else instruction
    return written(folder, arrays, {"instruction": json.dumps(asked.to_mapping())})


def written(folder: Path, arrays: SharedArrays, metadata: dict[str, str]) -> Path:
    path = folder / "released.safetensors"
    files.write_tensors(path, {n: torch.from_numpy(a) for n, a in arrays.items()}, metadata, durable=False)
    return path


def said(*arguments: object) -> str:
    ran = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def test_the_status_of_an_agent_that_is_up_comes_from_the_agent(tmp_path: Path) -> None:
    path = shop(tmp_path)
    with opened(path) as running:
        running.train()
        with pytest.raises(Refused):
            running.train(merchant="bravo", round=2)
        page = said("status", path)
    assert "acme: the agent is up" in page
    assert "It waits for the coordinator." in page
    assert "spring" in page
    assert "RECIPIENT" in page


def test_the_status_of_an_agent_that_is_down_comes_from_its_files(tmp_path: Path) -> None:
    path = shop(tmp_path)
    with opened(path) as running:
        running.train()
        up = commands.status(path)
    down = json.loads(said("status", path, "--json"))
    assert (up["agent_up"], down["agent_up"]) == (True, False)
    assert down["trainings"] == up["trainings"]
    assert "the agent is down" in said("status", path)


def test_before_the_first_start_the_status_says_so(tmp_path: Path) -> None:
    page = said("status", shop(tmp_path))
    assert "No round was answered yet." in page
    assert "Nothing was adopted yet" in page
    assert "Nothing was refused." in page


def private(folder: Path, **options: Any) -> Path:
    """The same shop under a private contract of two rounds."""
    agreement = contract(local_steps=1, full_batch=True, rounds=2)
    return shops.write(
        folder,
        agreement=agreement | {"privacy": {"epsilon": 8.0, "delta": 1e-6}},
        connect=CONNECT,
        split={"validation_from": "2024-02-10", "test_from": "2024-02-20"},
        **options,
    )[0]


def test_the_status_says_what_the_ledger_holds_and_how_much_is_left(tmp_path: Path) -> None:
    path = private(tmp_path)
    assert "Ledger: epsilon 0.000 of 8 is spent, at delta 1e-06; 2 more rounds fit." in said("status", path)
    with desk(shops.opened(path, path.parent / "federation.toml", seed=None)) as running:
        running.train()
        told = commands.status(path)["privacy"]
    assert (told["spent"] > 5.0, told["rounds_left"]) == (True, 1)
    assert "1 more round fits." in said("status", path)


def test_the_status_of_one_with_a_cap_names_it(tmp_path: Path) -> None:
    page = said("status", private(tmp_path, privacy={"max_epsilon": 3.0}))
    assert "0.000 of its own cap of 3; nothing is left." in page


def no_constant(name: str) -> None:
    """JSON has no infinity; what Python writes for it, other programs do not read."""
    raise AssertionError(f"{name} is no JSON")


@pytest.mark.parametrize("command", ["status", "ledger"])
def test_a_ledger_with_two_units_is_told_in_json_that_every_program_reads(
    tmp_path: Path, command: str
) -> None:
    path = private(tmp_path)
    with Ledger(tmp_path / "ledger" / "ledger.jsonl", durable=False) as ledger:
        for unit in ("shopper", "record"):
            ledger.charge(charge(fingerprint=unit, unit=unit), [Limit(8.0, 1e-6, unit)])
    told = json.loads(said(command, path, "--json"), parse_constant=no_constant)
    found = told["privacy"] if command == "status" else told[0]
    assert found["total"] is None
    assert "units record and shopper" in found["no_total"]


def test_the_status_of_one_that_receives_says_that_it_spends_nothing(tmp_path: Path) -> None:
    page = said("status", private(tmp_path, merchant={"name": "acme", "role": "receive"}))
    assert "It only receives: nothing about a shopper leaves" in page


def test_the_status_says_where_a_contract_has_no_privacy(tmp_path: Path) -> None:
    assert "trains WITHOUT differential privacy" in said("status", shop(tmp_path))


def test_where_the_contract_is_not_there_the_status_says_nothing_of_privacy(tmp_path: Path) -> None:
    path = shop(tmp_path)
    (tmp_path / "federation.toml").unlink()
    assert commands.status(path)["privacy"] is None


def test_a_released_file_is_adopted_and_what_is_served_is_shown(tmp_path: Path) -> None:
    path = shop(tmp_path)
    with opened(path) as running:
        page = said("adopt", path.parent, released(tmp_path, running))
        assert running.merchant.served()
    assert "Served, since round 5 of spring" in page
    assert "amount" in page


def test_a_file_whose_signature_is_not_the_coordinators_is_refused_with_the_agents_words(
    tmp_path: Path,
) -> None:
    path = shop(tmp_path)
    with opened(path) as running:
        arrays = shops.start(running.federation)
        unsigned = released(tmp_path, running, shops.offer(running.federation, arrays))
        with pytest.raises(Refused, match=r"refused it \(SIGNATURE\): the instruction is not signed"):
            commands.adopt(path, unsigned)


def test_without_an_agent_a_release_cannot_be_adopted(tmp_path: Path) -> None:
    path = shop(tmp_path)
    with opened(path) as running:
        file = released(tmp_path, running)
    with pytest.raises(Refused, match="fedbazaar-client up"):
        commands.adopt(path, file)


@pytest.mark.parametrize(
    "metadata", [{}, {"instruction": "nonsense"}, {"instruction": "[]"}, {"instruction": "{}"}]
)
def test_a_file_without_an_instruction_is_named(tmp_path: Path, metadata: dict[str, str]) -> None:
    path = shop(tmp_path)
    file = written(tmp_path, {"weight": torch.zeros(1).numpy()}, metadata)
    with pytest.raises(ConfigError, match="fedbazaar-server run"):
        commands.adopt(path, file)


def test_a_released_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="released"):
        commands.adopt(shop(tmp_path), tmp_path / "released.safetensors")
