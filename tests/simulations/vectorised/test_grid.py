"""A grid that trains merchants together: the same messages, and every merchant for itself."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Message

from server import coordinator
from server.config import RunSettings
from server.coordinator import JOURNAL
from server.roster import Member, registered
from shared_model import journal
from shared_model.model import initial_shared, movers
from shared_model.protocol import SharedArrays
from shared_model.schema import Federation
from simulations import federated
from simulations.engines import Engine
from simulations.vectorised import report
from simulations.vectorised.grid import VectorisedGrid
from simulations.vectorised.shops import MemoryShop, memory_app, memory_market

from ...integration import experiments
from .made_up import contract, shop, single

SIZES = {"alba": 30, "bruno": 4, "carla": 17, "dora": 55}


def market(federation: Federation) -> dict[str, MemoryShop]:
    tables = {name: single(shop(federation, n, rows=rows)) for n, (name, rows) in enumerate(SIZES.items())}
    return memory_market(federation, tables, seed=7)


def grid_of(federation: Federation, shops: Mapping[str, MemoryShop], engine: Engine) -> VectorisedGrid:
    nodes = {name: {"merchant": name} for name in shops}
    return VectorisedGrid(memory_app(shops), nodes, federation=federation, shops=shops, engine=engine)


def train(
    federation: Federation, shops: Mapping[str, MemoryShop], engine: Engine, directory: Path
) -> SharedArrays:
    return trained(grid_of(federation, shops, engine), federation, shops, directory)


def trained(
    grid: VectorisedGrid, federation: Federation, shops: Mapping[str, MemoryShop], directory: Path
) -> SharedArrays:
    members = {
        grid.node_ids[name]: Member(name=name, tier=s.tier, tasks=s.describe().tasks)
        for name, s in shops.items()
    }
    return coordinator.train(
        grid,
        federation,
        initial_shared(federation, 0),
        settings=RunSettings(directory=directory, lineage="spring", seed=0, durable=False),
        roster=registered(members),
        moved_by=movers(federation),
    )


def furthest(one: SharedArrays, other: SharedArrays) -> float:
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


def short(**changes: Any) -> Federation:
    federation = {"name": "made-up", "rounds": 3, "local_steps": 3, "expected_batch": 10}
    return contract("mmoe", **{"federation": federation, **changes})


@pytest.mark.parametrize(
    "local",
    [
        {"optimizer": "adam", "learning_rate": 0.01},
        {"proximal": 0.5},
        {"weight_decay": 0.1, "proximal": 0.5},
        {"weighting": "uncertainty"},
        {"train_residuals": True},
    ],
    ids=lambda local: " and ".join(local),
)
def test_a_training_releases_what_the_loop_releases(local: dict[str, Any], tmp_path: Path) -> None:
    federation = short(local={"learning_rate": 0.1, **local})
    one = train(federation, market(federation), "loop", tmp_path / "loop")
    other = train(federation, market(federation), "vectorised", tmp_path / "vectorised")
    assert furthest(one, other) < 1e-5


def choosing() -> Federation:
    """A contract with an item choice; the shops have between 3 and 40 items."""
    return short(tasks={"next": {"kind": "retrieval", "content": ["price", "item"], "repeats": True}})


def test_a_training_of_item_choices_releases_what_the_loop_releases(tmp_path: Path) -> None:
    one = train(choosing(), market(choosing()), "loop", tmp_path / "loop")
    other = train(choosing(), market(choosing()), "vectorised", tmp_path / "vectorised")
    assert furthest(one, other) < 1e-5


def test_shops_with_files_train_together_as_one_by_one(tmp_path: Path) -> None:
    tables = experiments.contract(bottom={"architecture": "mmoe", "experts": 2, "hidden": [8]})
    tables["tasks"]["next_item"] |= {"content": ["price", "weight_g"], "repeats": True}
    released = []
    for engine in ("loop", "vectorised"):
        site = experiments.site(tmp_path / engine, tables)
        arguments: dict[str, Any] = {"lineage": "parity", "seed": 0, "engine": engine}
        released.append(federated.train(site, directory=tmp_path / engine / "run", **arguments))
    assert furthest(*released) < 1e-5
    [found] = report.read(tmp_path / "vectorised" / "run")
    assert (found["merchants"], found["together"]) == (3, True)
    [told] = report.said(tmp_path / "vectorised" / "run")
    assert told == "3 merchants of a round together, in cohorts of at most 16 (engine = vectorised)"


def test_private_rounds_from_files_draw_and_release_the_same(tmp_path: Path) -> None:
    released = []
    for engine in ("loop", "vectorised"):
        site = experiments.site(tmp_path / engine, experiments.private_contract(rounds=2))
        arguments: dict[str, Any] = {"lineage": "parity", "seed": 0, "engine": engine}
        released.append(federated.train(site, directory=tmp_path / engine / "run", **arguments))
    assert furthest(*released) < 1e-5


def test_a_merchant_whose_training_diverges_is_refused_and_stops_nobody_else(tmp_path: Path) -> None:
    federation, shops = short(), market(short())
    sick = shops["carla"].examples
    broken = replace(sick.encoded, numeric=torch.full_like(sick.encoded.numeric, 1e38))
    shops["carla"] = replace(shops["carla"], examples=replace(sick, encoded=broken))  # type: ignore[type-var]
    train(federation, shops, "vectorised", tmp_path)
    refused = [e for e in journal.read(tmp_path / JOURNAL) if e["event"] == "reply_refused"]
    assert [(e["merchant"], e["reason"]) for e in refused] == [("carla", "FAILED")] * 3


@pytest.mark.parametrize("federation", [short(), choosing()], ids=["", "choosing items"])
def test_what_a_merchant_answers_does_not_depend_on_who_else_is_asked(
    federation: Federation, tmp_path: Path
) -> None:
    everybody, two = market(federation), market(federation)
    del two["alba"], two["dora"]
    one = first_answer("bruno", federation, everybody, tmp_path / "all")
    assert furthest(one, first_answer("bruno", federation, two, tmp_path / "two")) < 1e-6


def first_answer(
    name: str, federation: Federation, shops: Mapping[str, MemoryShop], directory: Path
) -> SharedArrays:
    grid = Listening(
        memory_app(shops),
        {n: {"merchant": n} for n in shops},
        federation=federation,
        shops=shops,
        engine="vectorised",
    )
    trained(grid, federation, shops, directory)
    return grid.heard[grid.node_ids[name]]


class Listening(VectorisedGrid):
    """Keeps the first answer of every node."""

    heard: dict[int, SharedArrays]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        self.heard = getattr(self, "heard", {})
        for reply in super().send_and_receive(messages, timeout=timeout):
            arrays = {name: array.numpy() for name, array in reply.content.array_records["arrays"].items()}
            self.heard.setdefault(reply.metadata.src_node_id, arrays)
            yield reply


def test_an_offline_merchant_does_not_answer(tmp_path: Path) -> None:
    federation, shops = short(), market(short())
    grid = grid_of(federation, shops, "vectorised")
    grid.offline.add("dora")
    trained(grid, federation, shops, tmp_path)
    missing = {e["merchant"] for e in journal.read(tmp_path / JOURNAL) if e["event"] == "reply_missing"}
    assert missing == {"dora"}
