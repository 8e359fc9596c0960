"""Nothing is started when something is known to be wrong."""

import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from server.deployment import certificates, flower, nginx, starting, superlink
from server.deployment.certificates import Issued
from server.deployment.market import Market, load
from shared_model import processes, signing
from shared_model.errors import ConfigError, StateError
from shared_model.processes import explained, only_one
from tests.server.deployment.markets import CONTRACT, founded

QUIET = Console(file=io.StringIO())


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        yield somebody.getsockname()[1]


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: object, **__: object) -> None:
        pytest.fail("it was started")

    monkeypatch.setattr(processes, "supervise", started)


def reissued(market: Market, host: str, *, days: int) -> None:
    authority = Issued(market.ca.read_bytes(), (market.keys / "ca.key").read_bytes())
    server = certificates.new_server(authority, host, days=days)
    certificates.write(server, certificate=market.certificate, private_key=market.private_key)


def test_an_expired_certificate_stops_it(tmp_path: Path) -> None:
    market = founded(tmp_path)
    reissued(market, "localhost", days=0)
    with pytest.raises(ConfigError, match="expired since"):
        starting.start(market, QUIET)


def test_a_certificate_for_another_host_stops_it(tmp_path: Path) -> None:
    market = founded(tmp_path)
    file = market.folder / "coordinator.toml"
    file.write_text(file.read_text().replace("localhost", "market.example"))
    with pytest.raises(ConfigError, match="mismatch"):
        starting.start(load(market.folder), QUIET)


def test_another_signing_key_than_the_contracts_stops_it(tmp_path: Path) -> None:
    market = founded(tmp_path)
    certificates.write_private(market.signing_key, signing.new_key())
    with pytest.raises(ConfigError, match="coordinator_key"):
        starting.start(market, QUIET)


def test_a_missing_signing_key_stops_it(tmp_path: Path) -> None:
    market = founded(tmp_path)
    market.signing_key.unlink()
    with pytest.raises(StateError, match="restore it from a copy"):
        starting.start(market, QUIET)


def test_another_version_of_flower_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flower, "version", lambda _: "1.42.0")
    with pytest.raises(ConfigError, match="flwr"):
        starting.start(founded(tmp_path), QUIET)


def test_a_second_one_for_the_same_folder_is_refused(tmp_path: Path) -> None:
    market = founded(tmp_path)
    with only_one(market.lock, what="it"), pytest.raises(StateError, match=f"process {os.getpid()}"):
        starting.start(market, QUIET)


def test_a_taken_port_is_named(tmp_path: Path, taken: int) -> None:
    market = founded(tmp_path, address=f"localhost:{taken}", settings=f'listen = "127.0.0.1:{taken}"\n')
    with pytest.raises(ConfigError, match=f"listen is '127.0.0.1:{taken}, which is taken'"):
        starting.start(market, QUIET)


def test_an_address_of_another_machine_cannot_be_listened_on(tmp_path: Path) -> None:
    market = founded(tmp_path, settings='listen = "192.0.2.1:8443"\n')
    with pytest.raises(ConfigError, match="an address of this machine"):
        starting.start(market, QUIET)


def test_a_taken_port_for_the_superlink_is_named(tmp_path: Path, taken: int) -> None:
    with pytest.raises(ConfigError, match="superlink_port"):
        superlink.prepare(founded(tmp_path, settings=f"superlink_port = {taken}\n"))


def test_a_wanted_nginx_that_is_not_there_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nginx, "program", lambda: None)
    with pytest.raises(ConfigError, match="embedded"):
        starting.door_of(founded(tmp_path, settings='proxy = "nginx"\n'), 50001)


# --- what would be started --------------------------------------------------------------------------------


def test_without_nginx_the_embedded_proxy_stands_before_the_superlink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nginx, "program", lambda: None)
    door = starting.door_of(founded(tmp_path), 50001)
    assert [child.name for child in door.children] == ["proxy"]


def test_the_embedded_proxy_can_be_preferred(tmp_path: Path) -> None:
    door = starting.door_of(founded(tmp_path, settings='proxy = "embedded"\n'), 50001)
    assert door.name == "embedded"


@pytest.mark.skipif(nginx.program() is None, reason="nginx is not installed on this machine")
@pytest.mark.parametrize(("doorman", "names"), [("true", ["doorman", "nginx"]), ("false", ["nginx"])])
def test_behind_nginx_stands_the_doorman_where_it_is_wanted(
    tmp_path: Path, doorman: str, names: list[str]
) -> None:
    market = founded(tmp_path, settings=f"doorman = {doorman}\n")
    door = starting.door_of(market, superlink.prepare(market))
    assert [child.name for child in door.children] == names


def test_the_superlink_listens_on_loopback_with_tls_node_keys_and_a_database(tmp_path: Path) -> None:
    market = founded(tmp_path)
    command = [str(part) for part in superlink.child(market, 50001).command]
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--database") + 1] == str(market.state / "superlink.db")
    assert {"--enable-supernode-auth", "--disable-runtime-dependency-installation"} <= set(command)
    assert "--insecure" not in command


def test_no_command_carries_a_secret(tmp_path: Path) -> None:
    market = founded(tmp_path, settings='proxy = "embedded"\n')
    children = [superlink.child(market, 50001), *starting.door_of(market, 50001).children]
    said = " ".join(str(part) for child in children for part in child.command)
    secrets = [path.read_text().splitlines()[1] for path in market.keys.glob("*.key")]
    assert not any(secret in said for secret in secrets)
    assert not any(secret in (market.state / "gate.json").read_text() for secret in secrets)


def test_the_superlink_keeps_its_port_and_certificate_between_starts(tmp_path: Path) -> None:
    market = founded(tmp_path)
    first, certificate = superlink.prepare(market), superlink.files_of(market).certificate.read_bytes()
    assert superlink.prepare(market) == first
    assert superlink.files_of(market).certificate.read_bytes() == certificate


def test_the_superlink_takes_another_port_where_somebody_has_it(tmp_path: Path) -> None:
    market = founded(tmp_path)
    first = superlink.prepare(market)
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", first))
        somebody.listen()
        assert superlink.prepare(market) != first


def test_a_superlink_that_was_never_started_is_not_up(tmp_path: Path) -> None:
    assert not superlink.is_up(founded(tmp_path))


def test_a_damaged_database_is_explained(tmp_path: Path) -> None:
    said = "sqlalchemy.exc.DatabaseError: (sqlite3.DatabaseError) file is not a database"
    link = superlink.child(founded(tmp_path), 50001)
    assert "superlink.db is damaged" in explained(said, 1, link.endings).reason


def test_a_contract_that_changed_after_its_key_is_still_checked(tmp_path: Path) -> None:
    market = founded(tmp_path)
    market.contract.write_text(CONTRACT)  # somebody put the old one back
    with pytest.raises(ConfigError, match="coordinator_key"):
        starting.check(market)
