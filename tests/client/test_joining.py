"""An invitation becomes a folder from which a merchant can be connected, and nothing is ever overwritten."""

import io
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key
from rich.console import Console
from typer.testing import CliRunner

from client.cli import app
from client.connection import load_deployed
from client.joining import join, show
from shared_model import signing
from shared_model.errors import ConfigError, StateError
from shared_model.schema import load_federation
from tests.client.exports import order, write_merchant, write_shop
from tests.client.superlinks import certificates

KEY = signing.public_key(signing.new_key())


@pytest.fixture
def invitation(tmp_path: Path) -> Path:
    return invited(tmp_path / "invitation")


def invited(folder: Path, key: str = KEY, **terms: Any) -> Path:
    certificates(folder)
    contract = {
        "federation": {"name": "harbour", "rounds": 1} | ({"coordinator_key": key} if key else {}),
        "features": {"price": {"kind": "numeric"}},
        "tasks": {"basket": {"kind": "regression", "library": "order_value", "transform": "log1p"}},
        "bottom": {"architecture": "wide"},
    }
    (folder / "federation.toml").write_text(tomli_w.dumps(contract))
    (folder / "invitation.toml").write_text(tomli_w.dumps({"address": "market.example:8443"} | terms))
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- a new folder ---------------------------------------------------------------------------------------


def test_a_new_folder_can_be_connected_from(tmp_path: Path, invitation: Path) -> None:
    join(tmp_path / "shop", invitation, "acme")
    found = load_deployed(tmp_path / "shop")
    assert found.name == "acme"
    assert found.connection.address == "market.example:8443"
    assert found.connection.contract.read_bytes() == (invitation / "federation.toml").read_bytes()
    assert found.connection.certificates.read_bytes() == (invitation / "ca.crt").read_bytes()
    assert found.connection.node_key.exists()


def test_the_keys_are_a_pair_on_a_curve_that_nodes_use(tmp_path: Path, invitation: Path) -> None:
    joined = join(tmp_path / "shop", invitation, "acme")
    private = load_ssh_private_key((tmp_path / "shop" / "keys" / "node.key").read_bytes(), password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert private.curve.name == "secp384r1"
    assert load_ssh_public_key(joined.public_key.read_bytes()) == private.public_key()


def test_two_merchants_never_share_a_key(tmp_path: Path, invitation: Path) -> None:
    first, second = (join(tmp_path / name, invitation, name).public_key for name in ("acme", "bravo"))
    assert first.read_text().split()[1] != second.read_text().split()[1]


def test_nobody_else_can_read_what_is_private(tmp_path: Path, invitation: Path) -> None:
    shop = tmp_path / "shop"
    join(shop, invitation, "acme")
    assert mode(shop) == 0o700
    assert mode(shop / "keys") == 0o700
    assert mode(shop / "keys" / "node.key") == 0o600
    assert mode(shop / "merchant.toml") == 0o600


def test_the_template_is_accepted_once_its_source_is_there(tmp_path: Path, invitation: Path) -> None:
    shop = tmp_path / "shop"
    join(shop, invitation, "acme")
    rows = [order(float(day)) for day in range(120)]
    write_shop(tmp_path / "elsewhere", rows)
    template = (shop / "merchant.toml").read_text()
    (source,) = (tmp_path / "elsewhere").glob("orders.*")
    (shop / "merchant.toml").write_text(template.replace("exports/orders_*.csv", str(source)))
    assert CliRunner().invoke(app, ["check", str(shop)]).exit_code == 0


# --- a folder that describes a shop already --------------------------------------------------------------


def test_a_described_merchant_gets_a_table_and_keeps_every_line(tmp_path: Path, invitation: Path) -> None:
    file = write_merchant(tmp_path / "shop", orders={"source": "orders.csv"}, task=[{"name": "basket"}])
    before = "# mine\n" + file.read_text()
    file.write_text(before)
    joined = join(tmp_path / "shop", invitation, "acme")
    after = file.read_text()
    assert joined.described
    assert after.startswith(before.rstrip())
    assert set(tomllib.loads(after)) - set(tomllib.loads(before)) == {"connect"}


def test_a_described_merchant_keeps_the_mode_of_its_file(tmp_path: Path, invitation: Path) -> None:
    file = write_merchant(tmp_path / "shop", orders={"source": "orders.csv"})
    file.chmod(0o640)
    join(tmp_path / "shop", invitation, "acme")
    assert mode(file) == 0o640


def test_a_merchant_that_is_connected_already_is_left_as_it_is(tmp_path: Path, invitation: Path) -> None:
    join(tmp_path / "shop", invitation, "acme")
    before = files_in(tmp_path / "shop")
    with pytest.raises(ConfigError, match="a folder of its own"):
        join(tmp_path / "shop", invitation, "acme")
    assert files_in(tmp_path / "shop") == before


def test_a_merchant_of_another_name_is_refused(tmp_path: Path, invitation: Path) -> None:
    write_merchant(tmp_path / "shop", orders={"source": "orders.csv"})
    with pytest.raises(ConfigError, match=r"merchant\.name is 'acme'; allowed: bravo, as --name says"):
        join(tmp_path / "shop", invitation, "bravo")


@pytest.mark.parametrize("half", ["node.key", "node.pub"])
def test_a_key_is_never_overwritten(tmp_path: Path, invitation: Path, half: str) -> None:
    write_merchant(tmp_path / "shop", orders={"source": "orders.csv"})
    key = tmp_path / "shop" / "keys" / half
    key.parent.mkdir()
    key.write_text("the only copy")
    before = files_in(tmp_path / "shop")
    with pytest.raises(StateError, match=half):
        join(tmp_path / "shop", invitation, "acme")
    assert files_in(tmp_path / "shop") == before


@pytest.mark.parametrize("name", ["federation.toml", "ca.crt"])
def test_another_federations_file_is_never_overwritten(tmp_path: Path, invitation: Path, name: str) -> None:
    write_merchant(tmp_path / "shop", orders={"source": "orders.csv"})
    (tmp_path / "shop" / name).write_text("another")
    with pytest.raises(StateError, match="a folder of its own"):
        join(tmp_path / "shop", invitation, "acme")
    assert (tmp_path / "shop" / name).read_text() == "another"


# --- invitations that are none ---------------------------------------------------------------------------


def refused(tmp_path: Path, invitation: Path, name: str = "acme") -> ConfigError:
    """Return why `join` refused; nothing was written."""
    with pytest.raises(ConfigError) as caught:
        join(tmp_path / "shop", invitation, name)
    assert not (tmp_path / "shop").exists()
    return caught.value


@pytest.mark.parametrize("missing", ["federation.toml", "ca.crt", "invitation.toml"])
def test_an_invitation_must_be_whole(tmp_path: Path, invitation: Path, missing: str) -> None:
    (invitation / missing).unlink()
    assert missing in refused(tmp_path, invitation).file


def test_a_contract_that_nobody_signs_for_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, invited(tmp_path / "invitation", key=""))
    assert error.key == "federation.coordinator_key"


@pytest.mark.parametrize("address", ["market.example", 'market"\n[orders]\nsource="x":1', "a b:80"])
def test_an_address_is_a_host_and_a_port(tmp_path: Path, address: str) -> None:
    error = refused(tmp_path, invited(tmp_path / "invitation", address=address))
    assert error.key == "address"


def test_an_invitation_says_nothing_unknown(tmp_path: Path) -> None:
    error = refused(tmp_path, invited(tmp_path / "invitation", executor="clientapp"))
    assert error.key == "executor"


def test_a_certificate_that_is_none_is_refused(tmp_path: Path, invitation: Path) -> None:
    (invitation / "ca.crt").write_text("trust me")
    assert "certificate in PEM form" in refused(tmp_path, invitation).allowed


def test_a_name_is_small_letters_digits_and_hyphens(tmp_path: Path, invitation: Path) -> None:
    assert refused(tmp_path, invitation, name="Acme Ltd").key == "merchant.name"


# --- what is said ---------------------------------------------------------------------------------------


def test_what_must_be_compared_and_done_next_is_said(tmp_path: Path, invitation: Path) -> None:
    joined = join(tmp_path / "shop", invitation, "acme")
    said = io.StringIO()
    show(joined, Console(file=said, width=60))
    text = said.getvalue()
    assert load_federation(invitation / "federation.toml").fingerprint in text
    assert KEY in text
    assert joined.authority in text
    assert str(joined.public_key) in text
    assert f"fedbazaar-client up {tmp_path / 'shop'}" in text


def test_the_command_makes_the_folder(tmp_path: Path, invitation: Path) -> None:
    arguments = ["init", str(tmp_path / "shop"), "--invitation", str(invitation), "--name", "acme"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert load_deployed(tmp_path / "shop").name == "acme"
