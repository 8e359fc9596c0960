"""Trainings that are compared take turns, one round each, and the time of a round is its own."""

import json
import threading
from pathlib import Path

import torch

from client.training import train_plain
from shared_model.model import build
from shared_model.schema import parse_federation
from simulations.deployed_client import TensorExamples
from simulations.deployed_server import Mode, Plan, Turns

CONTRACT = {
    "federation": {"name": "deployed", "rounds": 1, "local_steps": 5, "expected_batch": 4},
    "features": {"x": {"kind": "numeric"}, "item": {"kind": "categorical", "buckets": 8, "width": 2}},
    "tasks": {"bought": {"kind": "binary"}},
    "bottom": {"architecture": "shared_bottom", "hidden": [4]},
}


def take_turns(output: Path, rounds: dict[str, int], *, fails: str = "") -> Turns:
    turns = Turns(list(rounds), output)

    def train(name: str) -> None:
        for number in range(1, rounds[name] + 1):
            if name == fails and number == 2:
                raise ValueError("out of luck")
            turns.round_ended(name, number, 3, last=number == rounds[name])

    threads = [threading.Thread(target=turns.run, args=(n, lambda n=n: train(n))) for n in rounds]
    for thread in reversed(threads):
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    return turns


def written(output: Path) -> list[tuple[str, int]]:
    return [(line["mode"], line["round"]) for line in map(json.loads, output.read_text().splitlines())]


def test_every_training_goes_on_by_one_round_in_its_turn(tmp_path: Path) -> None:
    take_turns(tmp_path / "rounds", {"stock": 2, "thin": 2, "bridge": 2})
    assert written(tmp_path / "rounds") == [
        ("stock", 1), ("thin", 1), ("bridge", 1), ("stock", 2), ("thin", 2), ("bridge", 2),
    ]  # fmt: skip


def test_a_training_that_ends_first_leaves_the_others_their_turns(tmp_path: Path) -> None:
    take_turns(tmp_path / "rounds", {"stock": 1, "bridge": 3})
    assert written(tmp_path / "rounds") == [("stock", 1), ("bridge", 1), ("bridge", 2), ("bridge", 3)]


def test_the_failure_of_one_ends_all_and_is_told(tmp_path: Path) -> None:
    turns = take_turns(tmp_path / "rounds", {"stock": 3, "bridge": 3}, fails="bridge")
    assert isinstance(turns.failed, ValueError)


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    mode = Mode(name="stock", contract="federation.toml", members=("stock-1",), directory="run")
    plan = Plan(modes=(mode,), rounds=3, output="rounds.jsonl", signing_key="key", doorman="door")
    plan.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == plan


def test_stock_trains_the_same_model_on_the_same_rows() -> None:
    federation = parse_federation(CONTRACT)
    tensors = {
        "numeric": torch.tensor([[1.0], [-1.0], [2.0], [-2.0]]),
        "ids.item": torch.tensor([1, 2, 3, 4]),
        "labels.bought": torch.tensor([1.0, 0.0, 1.0, 0.0]),
    }
    model = build(federation, generator=torch.Generator().manual_seed(0))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    train_plain(model, TensorExamples(tensors, federation.tasks), federation, torch.Generator())
    assert any(not torch.equal(before[name], p) for name, p in model.named_parameters())
