"""Who may take part is written down whole, once, and without doubles."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from server import heads
from server.deployment import members
from server.enrolment import load_members
from shared_model.errors import ConfigError, StateError
from shared_model.schema import load_federation
from tests.server.deployment.markets import CONTRACT, TIERS, founded, node_key, other_key, with_members


def test_an_enrolled_merchant_is_a_member_with_its_key(tmp_path: Path) -> None:
    market, key = founded(tmp_path), node_key(tmp_path)
    members.enroll(market, key, "acme", role="receive")
    (member,) = load_members(market.members, load_federation(market.contract))
    assert (member.name, member.tier, member.role) == ("acme", "any", "receive")
    kept = members.public_key_file(market, "acme").read_text().split()
    assert kept == key.read_text().split()[:2]  # without the comment


def test_it_trains_all_tasks_whose_heads_are_shared_unless_told_otherwise(tmp_path: Path) -> None:
    market = founded(tmp_path)
    first = members.enroll(market, node_key(tmp_path, "a"), "acme")
    second = members.enroll(market, node_key(tmp_path, "b"), "bravo", tasks=["next_item"])
    assert [first.tasks, second.tasks] == [("late",), ("next_item",)]


def test_it_trains_an_item_choice_of_which_anything_travels(tmp_path: Path) -> None:
    contract = CONTRACT.replace('kind = "retrieval"', 'kind = "retrieval"\nrepeats = true')
    member = members.enroll(founded(tmp_path, text=contract), node_key(tmp_path), "acme")
    assert member.tasks == ("late", "next_item")


def test_members_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    assert list(members.enrolled(with_members(founded(tmp_path), "bravo", "acme"))) == ["bravo", "acme"]


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_every_nist_curve_is_taken(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    assert members.read_public_key(node_key(tmp_path, curve=curve)).startswith(b"ecdsa-sha2-nistp")


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ECDSA key on a NIST curve"):
        members.read_public_key(other_key(tmp_path))


def test_a_private_key_is_refused_by_that_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="never leaves the merchant"):
        members.read_public_key(node_key(tmp_path).with_suffix(""))


@pytest.mark.parametrize("content", [b"", b"ecdsa-sha2-nistp384 AAAA", b"\xff\xfe"])
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "node.pub").write_bytes(content)
    with pytest.raises(ConfigError, match=r"node\.pub"):
        members.read_public_key(tmp_path / "node.pub")


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.pub"):
        members.read_public_key(tmp_path / "none.pub")


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    market = with_members(founded(tmp_path), "acme")
    with pytest.raises(ConfigError, match="taken: acme"):
        members.enroll(market, node_key(tmp_path, "other"), "acme")


def test_a_key_is_taken_once_whatever_its_comment(tmp_path: Path) -> None:
    market, key = founded(tmp_path), node_key(tmp_path)
    members.enroll(market, key, "acme")
    key.write_text(key.read_text().replace("somebody@shop", "somebody else"))
    with pytest.raises(ConfigError, match="the key of acme"):
        members.enroll(market, key, "bravo")


@pytest.mark.parametrize("name", ["", "Acme", "-acme", "acme/..", "a" * 64, "a b", "acme.pub"])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="--name"):
        members.enroll(founded(tmp_path), node_key(tmp_path), name)


def test_where_there_are_tiers_one_is_to_be_named(tmp_path: Path) -> None:
    market, key = founded(tmp_path, text=CONTRACT + TIERS), node_key(tmp_path)
    with pytest.raises(ConfigError, match="--tier is missing; allowed: small, large"):
        members.enroll(market, key, "acme")
    assert members.enroll(market, key, "acme", tier="large").tier == "large"


def test_a_member_of_a_tier_that_only_receives_only_receives(tmp_path: Path) -> None:
    tiers = TIERS.replace("shoppers = 0", 'shoppers = 0\nrole = "receive"')
    market = founded(tmp_path, text=CONTRACT + tiers)
    assert members.enroll(market, node_key(tmp_path), "acme", tier="small").role == "receive"


def test_an_unknown_task_is_refused_and_the_known_ones_are_listed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'early'; allowed: late, next_item"):
        members.enroll(founded(tmp_path), node_key(tmp_path), "acme", tasks=["early"])


def test_a_refused_merchant_leaves_no_trace(tmp_path: Path) -> None:
    market = founded(tmp_path)
    with pytest.raises(ConfigError):
        members.enroll(market, node_key(tmp_path), "acme", tier="huge")
    assert not market.members.exists()
    assert not members.public_key_file(market, "acme").exists()


def test_a_withdrawn_member_is_gone_and_its_key_does_not_come_back(tmp_path: Path) -> None:
    market, key = founded(tmp_path), node_key(tmp_path)
    members.enroll(market, key, "acme")
    with_members(market, "bravo")
    members.withdraw(market, "acme")
    assert list(members.enrolled(market)) == ["bravo"]
    with pytest.raises(ConfigError, match="withdrawn from acme"):
        members.enroll(market, key, "acme")


def test_a_name_may_be_given_again_with_a_new_key_and_withdrawn_again(tmp_path: Path) -> None:
    market = with_members(founded(tmp_path), "acme")
    members.withdraw(market, "acme")
    members.enroll(market, node_key(tmp_path, "new"), "acme")
    members.withdraw(market, "acme")
    kept = sorted(path.name for path in market.public_keys.iterdir())
    assert kept == ["acme.withdrawn", "acme.withdrawn.2"]


def test_the_head_of_a_withdrawn_members_ledger_is_forgotten(tmp_path: Path) -> None:
    market = with_members(founded(tmp_path), "acme", "bravo")
    heads.save(market.ledgers, {"acme": "1" * 64, "bravo": "2" * 64})
    members.withdraw(market, "acme")
    assert heads.load(market.ledgers) == {"bravo": "2" * 64}


def test_when_the_last_one_leaves_nobody_is_enrolled(tmp_path: Path) -> None:
    market = with_members(founded(tmp_path), "acme")
    members.withdraw(market, "acme")
    assert members.enrolled(market) == {}


def test_who_is_no_member_cannot_be_withdrawn(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="Members: acme"):
        members.withdraw(with_members(founded(tmp_path), "acme"), "bravo")
