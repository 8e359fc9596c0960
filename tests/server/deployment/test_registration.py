"""The SuperLink is told of every member, once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.deployment import flower, members, registration
from server.deployment.flower import Node
from server.deployment.market import Market
from server.deployment.registration import Remembered
from shared_model.errors import StateError
from tests.server.deployment.markets import founded, with_members


class SuperLink:
    """Keeps nodes as Flower does: a key is taken once, for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statuses: dict[int, str] = {}
        self.names: dict[int, str] = {}
        self.keys: set[bytes] = set()
        monkeypatch.setattr(flower, "register", self.register)
        monkeypatch.setattr(flower, "unregister", self.unregister)
        monkeypatch.setattr(flower, "nodes", self.nodes)

    def register(self, _: Path, public_key: Path, name: str) -> int:
        if public_key.read_bytes() in self.keys:
            raise flower.KeyInUse("Public key already in use")
        self.keys.add(public_key.read_bytes())
        identity = 100 + len(self.keys)
        self.statuses[identity], self.names[identity] = "registered", name
        return identity

    def unregister(self, _: Path, identity: int) -> None:
        self.statuses[identity] = "unregistered"

    def nodes(self, _: Path) -> list[Node]:
        return [Node(identity, status) for identity, status in self.statuses.items()]


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> SuperLink:
    return SuperLink(monkeypatch)


def reconciled(market: Market) -> list[str]:
    said: list[str] = []
    registration.reconcile(market, said.append)
    return said


def test_members_are_registered_under_their_names(link: SuperLink, tmp_path: Path) -> None:
    market = with_members(founded(tmp_path), "acme", "bravo")
    assert reconciled(market) == ["registered acme", "registered bravo"]
    assert link.names == {101: "acme", 102: "bravo"}


def test_whoever_is_registered_is_left_alone(link: SuperLink, tmp_path: Path) -> None:
    market = with_members(founded(tmp_path), "acme")
    reconciled(market)
    assert reconciled(market) == []


def test_a_superlink_that_lost_its_database_hears_of_everybody_again(
    link: SuperLink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = with_members(founded(tmp_path), "acme")
    reconciled(market)
    link.statuses.clear()
    link.keys.clear()
    assert reconciled(market) == ["registered acme"]


def test_a_registration_whose_answer_was_lost_counts(link: SuperLink, tmp_path: Path) -> None:
    market = with_members(founded(tmp_path), "acme")
    link.register(tmp_path, members.public_key_file(market, "acme"), "acme")  # killed before it was noted
    assert reconciled(market) == ["registered acme"]
    assert reconciled(market) == []
    assert registration.statuses(market) == {"acme": "unknown"}


def test_of_two_that_register_at_once_the_late_one_forgets_nothing(
    link: SuperLink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = with_members(founded(tmp_path), "acme")
    link.register(tmp_path, members.public_key_file(market, "acme"), "acme")
    alone = registration._alone

    @contextmanager
    def after_the_other(market: Market) -> Iterator[None]:
        with alone(market):
            registration._remember(market, Remembered({"acme": 101}))
            yield

    monkeypatch.setattr(registration, "_alone", after_the_other)
    registration.register(market, "acme")
    assert registration.remembered(market).nodes == {"acme": 101}


def test_who_is_online_is_known_by_name(link: SuperLink, tmp_path: Path) -> None:
    market = with_members(founded(tmp_path), "acme", "bravo")
    reconciled(market)
    link.statuses[102] = "online"
    assert registration.statuses(market) == {"acme": "registered", "bravo": "online"}


def test_a_withdrawn_member_is_unregistered_even_if_the_superlink_was_away(
    link: SuperLink, tmp_path: Path
) -> None:
    market = with_members(founded(tmp_path), "acme")
    reconciled(market)
    members.withdraw(market, "acme")
    registration.forget(market, "acme")
    assert reconciled(market) == ["unregistered node 101, whose member was withdrawn"]
    assert link.statuses == {101: "unregistered"}
    assert registration.remembered(market) == Remembered({}, ())


def test_a_successor_under_the_same_name_keeps_its_own_node(link: SuperLink, tmp_path: Path) -> None:
    market = with_members(founded(tmp_path), "acme")
    reconciled(market)
    members.withdraw(market, "acme")
    registration.forget(market, "acme")
    with_members(market, "acme")
    reconciled(market)
    assert link.statuses == {101: "unregistered", 102: "registered"}
    assert registration.statuses(market) == {"acme": "registered"}


def test_a_member_whose_node_nobody_knows_is_not_withdrawn_in_silence(
    link: SuperLink, tmp_path: Path
) -> None:
    market = with_members(founded(tmp_path), "acme")
    link.keys.add(members.public_key_file(market, "acme").read_bytes())  # registered, and the answer was lost
    reconciled(market)
    with pytest.raises(StateError, match="cannot be turned away"):
        registration.forget(market, "acme")
    assert registration.remembered(market).nodes == {"acme": 0}
