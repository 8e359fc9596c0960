"""A coordinator's folder is made once, whole, and private where it has to be."""

import tomllib
from pathlib import Path

import pytest

from server.deployment import certificates, founding
from shared_model import signing
from shared_model.errors import ConfigError, StateError
from shared_model.schema import load_federation
from tests.server.deployment.markets import CONTRACT, founded, written_contract


def test_a_new_folder_passes_all_checks(tmp_path: Path) -> None:
    market = founded(tmp_path, address="market.example:8443")
    assert certificates.check(market.certificate, market.private_key, market.ca, "market.example") == 824
    assert certificates.check(market.certificate, market.private_key, market.ca, "localhost") == 824


def test_the_contract_names_the_key_that_signs(tmp_path: Path) -> None:
    market = founded(tmp_path)
    public = signing.public_key(market.signing_key.read_bytes())
    assert load_federation(market.contract).federation.coordinator_key == public


def test_keys_are_for_the_coordinator_only(tmp_path: Path) -> None:
    market = founded(tmp_path)
    modes = {path.name: path.stat().st_mode & 0o777 for path in market.keys.iterdir()}
    private = {"signing.key": 0o600, "ca.key": 0o600, "server.key": 0o600}
    assert modes | private == modes
    assert [market.keys.stat().st_mode & 0o777, market.state.stat().st_mode & 0o777] == [0o700, 0o700]


def test_the_invitation_holds_contract_authority_and_address_and_no_private_key(tmp_path: Path) -> None:
    market = founded(tmp_path, address="market.example:8443")
    found = {path.name: path.read_text() for path in market.invitation.iterdir()}
    assert sorted(found) == ["ca.crt", "federation.toml", "invitation.toml"]
    assert found["federation.toml"] == market.contract.read_text()
    assert tomllib.loads(found["invitation.toml"]) == {"address": "market.example:8443"}
    assert not any("PRIVATE" in text for text in found.values())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    market = founded(tmp_path)
    before = market.signing_key.read_bytes()
    with pytest.raises(StateError, match=r"coordinator\.toml exists already"):
        founding.found(market.folder, written_contract(tmp_path), address="localhost:1")
    assert market.signing_key.read_bytes() == before


def test_keys_of_an_unfinished_folder_are_not_overwritten_either(tmp_path: Path) -> None:
    (tmp_path / "market" / "keys").mkdir(parents=True)
    with pytest.raises(StateError, match="keys exists already"):
        founded(tmp_path)


def test_a_contract_that_is_not_valid_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        founded(tmp_path, text=CONTRACT.replace("binary", "ternary"))
    assert not (tmp_path / "market").exists()


def test_a_contract_with_a_key_takes_the_private_half_of_it(tmp_path: Path) -> None:
    first = founded(tmp_path / "first")
    again = founding.found(tmp_path / "second", first.contract, address="localhost:1", key=first.signing_key)
    assert again.contract.read_text() == first.contract.read_text()


def test_a_contract_with_a_key_takes_no_other(tmp_path: Path) -> None:
    first = founded(tmp_path / "first")
    with pytest.raises(ConfigError, match="--key"):
        founding.found(tmp_path / "second", first.contract, address="localhost:1")


def test_the_invitation_follows_the_settings(tmp_path: Path) -> None:
    market = founded(tmp_path)
    market.ca.write_text("another authority")
    founding.write_invitation(market)
    assert (market.invitation / "ca.crt").read_text() == "another authority"


def test_a_renewed_certificate_is_of_the_same_authority(tmp_path: Path) -> None:
    market = founded(tmp_path)
    before, trusted = market.certificate.read_bytes(), market.ca.read_bytes()
    founding.renew(market)
    assert market.certificate.read_bytes() != before
    assert market.ca.read_bytes() == trusted
    assert certificates.check(market.certificate, market.private_key, market.ca, "localhost") == 824


def test_somebody_elses_certificate_cannot_be_renewed_here(tmp_path: Path) -> None:
    market = founded(tmp_path)
    (market.keys / "ca.key").unlink()
    with pytest.raises(StateError, match="another authority"):
        founding.renew(market)
