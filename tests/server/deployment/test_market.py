"""The coordinator's folder and what its settings may say."""

from pathlib import Path

import pytest

from server.deployment import market as markets
from server.deployment.market import Address, parse_address
from shared_model.errors import ConfigError
from tests.server.deployment.markets import founded


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("market.example:8443", "market.example", 8443),
        ("127.0.0.1:1", "127.0.0.1", 1),
        ("[::1]:443", "::1", 443),
    ],
)
def test_an_address_has_a_host_and_a_port(text: str, host: str, port: int) -> None:
    address = parse_address(text, file="f", key="k")
    assert address == Address(host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["market.example", ":8443", "a:0", "a:65536", "a:x", "::1:443", "https://a:443", "a:-1", "[a]:4"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="host:port"):
        parse_address(text, file="f", key="k")


def test_it_listens_everywhere_at_the_port_of_the_address(tmp_path: Path) -> None:
    assert founded(tmp_path, address="market.example:7000").listen == Address("0.0.0.0", 7000)


def test_it_listens_where_the_settings_say(tmp_path: Path) -> None:
    market = founded(tmp_path, settings='listen = "127.0.0.1:9000"\n')
    assert market.listen == Address("127.0.0.1", 9000)


def test_certificates_may_lie_anywhere(tmp_path: Path) -> None:
    market = founded(tmp_path, settings='certificate = "/etc/market/server.pem"\n')
    assert market.certificate == Path("/etc/market/server.pem")
    assert market.private_key == market.folder / "keys/server.key"


def test_an_unknown_setting_is_refused_and_the_nearest_suggested(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean proxy"):
        founded(tmp_path, settings='proxi = "nginx"\n')


def test_a_folder_that_is_none_is_told_how_to_become_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fedbazaar-server init"):
        markets.load(tmp_path)


def test_a_folder_too_deep_for_sockets_is_told_by_how_much(tmp_path: Path) -> None:
    # The longest name in it is state/doorman.sock: /market (7) + /state/doorman.sock (19) bytes.
    deep = tmp_path / ("d" * (107 - len(str(tmp_path)) - 1 - 7 - 19 + 3))
    deep.mkdir()
    with pytest.raises(ConfigError, match="3 bytes shorter"):
        founded(deep).check_sockets()
