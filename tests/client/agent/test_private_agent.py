"""An agent under a contract with privacy: nothing comes out of its socket that the ledger does not hold."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.private.ledgers import ledger_file
from client.state import load_serving
from shared_model.errors import Refused
from shared_model.privacy.ledger import read_entries
from shared_model.protocol import TELEMETRY, Answer, Instruction, Refusal, SharedArrays
from tests.client import shops
from tests.client.agent.desk import Desk, contract, desk, signed

SPLIT = {"validation_from": "2024-02-10", "test_from": "2024-02-20"}
ROUNDS = 5


def agreement(**changes: Any) -> dict[str, Any]:
    """Five rounds, whose budget they use up."""
    agreed = contract(local_steps=1, full_batch=True, rounds=ROUNDS)
    return agreed | {"privacy": {"epsilon": 8.0, "delta": 1e-6}} | changes


@contextmanager
def opened(folder: Path, **options: Any) -> Iterator[Desk]:
    """An agent that nobody gave a seed; where the folder holds what one left behind, it goes on with it."""
    if (folder / "merchant.toml").exists():
        merchant = shops.opened(folder / "merchant.toml", folder / "federation.toml", seed=None)
    else:
        merchant = shops.merchant(folder, seed=None, **{"split": SPLIT, "agreement": agreement(), **options})
    with desk(merchant) as made:
        yield made


class Coordinator:
    """Signs instructions, remembers ledger heads, and keeps every instruction that it ever sent."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.arrays = desk, desk.start()
        self.sent: list[Instruction] = []
        self.head, self.answered = "", 0

    def ask(self, number: int) -> Answer:
        instruction = signed(
            self.desk.federation, self.arrays, round=number, answered=self.answered, ledger=self.head
        )
        self.sent.append(instruction)
        answer = replayed(self.desk, instruction, self.arrays)
        self.head, self.answered = answer.ledger, number
        return answer


def replayed(desk: Desk, instruction: Instruction, arrays: SharedArrays) -> Answer:
    """What anybody at the socket may do with an instruction that passed through its hands."""
    return desk.stub.train(instruction, arrays)


def code(desk: Desk, instruction: Instruction, arrays: SharedArrays) -> Refusal:
    with pytest.raises(Refused) as caught:
        replayed(desk, instruction, arrays)
    return Refusal(caught.value.code)


def charged(folder: Path) -> list[int]:
    """The rounds that the ledger holds, in order; a round that was charged twice is there twice."""
    entries = read_entries(ledger_file(folder / "ledger"))
    return [entry.charge.round for entry in entries if entry.charge is not None]


def copied(folder: Path, part: str) -> Path:
    """Make a backup of a part of a merchant's folder."""
    backup = folder.parent / f"backup-{part}"
    shutil.copytree(folder / part, backup, ignore=shutil.ignore_patterns("*.sock"))
    return backup


def restored(folder: Path, part: str, backup: Path) -> None:
    shutil.rmtree(folder / part)
    shutil.copytree(backup, folder / part)


def test_the_answer_comes_with_the_head_of_the_ledger_that_holds_its_charge(tmp_path: Path) -> None:
    with opened(tmp_path / "shop") as asked:
        answer = Coordinator(asked).ask(1)
    [entry] = read_entries(ledger_file(tmp_path / "shop" / "ledger"))
    assert entry.charge is not None
    assert (entry.charge.round, entry.head) == (1, answer.ledger)


def test_agents_with_the_same_rows_answer_differently_and_a_repeated_question_the_same(
    tmp_path: Path,
) -> None:
    with opened(tmp_path / "one") as one, opened(tmp_path / "other") as other:
        coordinator = Coordinator(one)
        first, elsewhere = coordinator.ask(1), Coordinator(other).ask(1)
        again = replayed(one, coordinator.sent[0], coordinator.arrays)
    # On the public grid a single number is the same by chance in 1 of 1,000 times.
    large = [name for name, array in first.arrays.items() if array.size >= 4]
    assert large
    assert not any(np.array_equal(first.arrays[name], elsewhere.arrays[name]) for name in large)
    assert all(np.array_equal(first.arrays[name], again.arrays[name]) for name in first.arrays)
    assert charged(tmp_path / "one") == [1]


def test_telemetry_comes_along_where_the_contract_asks_for_it(tmp_path: Path) -> None:
    told = {"epsilon": 8.0, "delta": 1e-6, "telemetry": {"share": 0.1}}
    with opened(tmp_path / "shop", agreement=agreement(privacy=told)) as asked:
        answer = Coordinator(asked).ask(1)
    assert answer.arrays[TELEMETRY].shape == (2,)


def test_old_instructions_at_a_restored_state_are_charged_a_second_time(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    with opened(folder) as asked:
        coordinator = Coordinator(asked)
        coordinator.ask(1)
        backup = copied(folder, "state")
        coordinator.ask(2)
        coordinator.ask(3)
    restored(folder, "state", backup)
    with opened(folder) as asked:
        for instruction in coordinator.sent[1:]:
            replayed(asked, instruction, coordinator.arrays)
    assert charged(folder) == [1, 2, 3, 2, 3]


def test_what_was_trained_twice_is_missing_at_the_end_of_the_plan(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    with opened(folder) as asked:
        coordinator = Coordinator(asked)
        coordinator.ask(1)
        backup = copied(folder, "state")
        for number in range(2, ROUNDS):
            coordinator.ask(number)
    restored(folder, "state", backup)
    with opened(folder) as asked:
        replayed(asked, coordinator.sent[1], coordinator.arrays)
        assert code(asked, coordinator.sent[2], coordinator.arrays) is Refusal.BUDGET
        assert asked.journal[-1]["code"] == "BUDGET"
    assert charged(folder) == [1, 2, 3, 4, 2]


def test_a_ledger_that_was_restored_too_is_refused_by_the_next_instruction(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    with opened(folder) as asked:
        coordinator = Coordinator(asked)
        coordinator.ask(1)
        backups = {part: copied(folder, part) for part in ("state", "ledger")}
        coordinator.ask(2)
        coordinator.ask(3)
    for part, backup in backups.items():
        restored(folder, part, backup)
    with opened(folder) as asked:
        assert code(asked, coordinator.sent[2], coordinator.arrays) is Refusal.LEDGER
        assert "old copy" in asked.journal[-1]["reason"]
    assert charged(folder) == [1]


def test_a_restored_merchant_answers_the_very_next_old_question_once_and_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    with opened(folder) as asked:
        coordinator = Coordinator(asked)
        coordinator.ask(1)
        backups = {part: copied(folder, part) for part in ("state", "ledger")}
        coordinator.ask(2)
        coordinator.ask(3)
    for part, backup in backups.items():
        restored(folder, part, backup)
    with opened(folder) as asked:
        replayed(asked, coordinator.sent[1], coordinator.arrays)
        assert code(asked, coordinator.sent[2], coordinator.arrays) is Refusal.LEDGER
        coordinator.desk = asked
        with pytest.raises(Refused) as caught:
            coordinator.ask(4)
    assert caught.value.code == Refusal.LEDGER
    assert charged(folder) == [1, 2]


def test_an_answer_that_could_not_be_stored_is_charged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise OSError("No space left on device")

    with opened(tmp_path / "shop") as asked:
        coordinator = Coordinator(asked)
        with monkeypatch.context() as full, pytest.raises(Refused):
            full.setattr("client.merchant.save_round", lost)
            coordinator.ask(1)
        coordinator.ask(1)
    assert charged(tmp_path / "shop") == [1, 1]


def test_a_merchant_stops_at_its_own_cap_and_says_so_by_code(tmp_path: Path) -> None:
    with opened(tmp_path / "shop", privacy={"max_epsilon": 5.0}) as asked:
        coordinator = Coordinator(asked)
        coordinator.ask(1)
        coordinator.ask(2)  # of five rounds that cost 8, two cost 4.9
        with pytest.raises(Refused) as caught:
            coordinator.ask(3)
    assert caught.value.code == Refusal.BUDGET
    assert charged(tmp_path / "shop") == [1, 2]


def test_a_merchant_of_a_tier_that_receives_trains_nothing_and_takes_the_release(tmp_path: Path) -> None:
    receives = agreement(tiers={"tiny": {"shoppers": 0, "weight": 1.0, "role": "receive"}})
    with opened(tmp_path / "shop", agreement=receives) as asked:
        assert asked.stub.describe().role == "receive"
        with pytest.raises(Refused) as caught:
            Coordinator(asked).ask(1)
        asked.adopt()
    assert caught.value.code == Refusal.RECIPIENT
    assert not (tmp_path / "shop" / "ledger").exists()
    assert load_serving(tmp_path / "shop" / "state") is not None


def test_the_ledger_lies_outside_the_state_that_a_backup_brings_back(tmp_path: Path) -> None:
    with opened(tmp_path / "shop") as asked:
        Coordinator(asked).ask(1)
        config = asked.merchant.config
    assert config.state not in config.ledger.parents
    assert ledger_file(config.ledger).exists()
