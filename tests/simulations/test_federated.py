"""Merchants from files are opened when somebody asks them something."""

from pathlib import Path

import pytest
from flwr.app import MessageType, RecordDict

from client.merchant import Merchant
from simulations.federated import Site, grid_of
from simulations.vectorised.grid import VectorisedGrid

from ..integration import experiments


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return experiments.site(tmp_path_factory.mktemp("site"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Folders of the merchants that are opened, in order."""
    found: list[str] = []
    open_it = Merchant.open

    def noted(path: Path, contract: Path, *, seed: int | None = None) -> Merchant:
        found.append(path.parent.name)
        return open_it(path, contract, seed=seed)

    monkeypatch.setattr(Merchant, "open", noted)
    return found


def asked(grid: VectorisedGrid, name: str, kind: str) -> None:
    list(grid.send_and_receive([grid.create_message(RecordDict(), kind, grid.node_ids[name], "1")]))


@pytest.mark.parametrize("kind", [MessageType.QUERY, MessageType.TRAIN])
def test_only_the_merchant_that_is_asked_is_opened(site: Site, opened: list[str], kind: str) -> None:
    grid = grid_of(site, seed=ord(kind[0]))
    second = list(site.merchants)[1]
    asked(grid, second, kind)
    assert opened == [second]


def test_a_merchant_is_opened_once(site: Site, opened: list[str]) -> None:
    grid, first = grid_of(site, seed=3), next(iter(site.merchants))
    asked(grid, first, MessageType.QUERY)
    asked(grid, first, MessageType.TRAIN)
    assert opened == [first]


def test_a_merchant_that_cannot_be_opened_stops_no_other(site: Site, tmp_path: Path) -> None:
    first, second, *_ = site.merchants
    broken = Site(contract=site.contract, merchants={**site.merchants, first: tmp_path / "merchant.toml"})
    grid = grid_of(broken, seed=4, engine="vectorised")
    questions = [
        grid.create_message(RecordDict(), MessageType.QUERY, grid.node_ids[name], "1")
        for name in (first, second)
    ]
    replies = list(grid.send_and_receive(questions))
    assert [reply.has_error() for reply in replies] == [True, False]


def test_a_question_to_train_that_reaches_no_merchant_has_an_error_for_an_answer(
    site: Site, tmp_path: Path
) -> None:
    first = next(iter(site.merchants))
    broken = Site(contract=site.contract, merchants={**site.merchants, first: tmp_path / "merchant.toml"})
    grid = grid_of(broken, seed=5, engine="vectorised")
    question = grid.create_message(RecordDict(), MessageType.TRAIN, grid.node_ids[first], "1")
    [reply] = grid.send_and_receive([question])
    assert reply.has_error()
