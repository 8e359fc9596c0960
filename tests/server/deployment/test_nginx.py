"""nginx is told the same rules as the gate, in words that it understands."""

import re
from pathlib import Path

import pytest

from server.deployment import nginx
from server.deployment.gate import FLEET_PATHS
from shared_model.errors import ConfigError, StateError
from tests.server.deployment.markets import founded

PROGRAM = nginx.program()
installed = pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed on this machine")


def text_for(tmp_path: Path, settings: str = "") -> str:
    market = founded(tmp_path, settings=settings)
    return nginx.write(market, superlink_port=50001, superlink_ca=market.ca).read_text()


def pattern(text: str) -> "re.Pattern[str]":
    """The regular expression that decides what passes."""
    found = re.search(r'"~(\^.*\$)" 1;', text)
    assert found
    return re.compile(found[1])


def test_exactly_the_fleet_paths_pass(tmp_path: Path) -> None:
    passes = pattern(text_for(tmp_path))
    assert all(passes.match(path) for path in FLEET_PATHS)


@pytest.mark.parametrize(
    "target",
    ["/v1/fleet/register-node", "/v1/fleet/x/../pull-messages", "/v1/fleet/pull-messages?x", "/v1/control/x"],
)
def test_nothing_else_passes(tmp_path: Path, target: str) -> None:
    assert not pattern(text_for(tmp_path)).match(target)


def test_idle_connections_are_given_up_before_the_superlink_does(tmp_path: Path) -> None:
    assert text_for(tmp_path).count("keepalive_timeout 3s;") == 2


def test_an_object_of_flower_fits(tmp_path: Path) -> None:
    assert f"client_max_body_size {8 * 1024 * 1024};" in text_for(tmp_path)


def test_the_superlink_is_reached_on_loopback_and_known_by_its_certificate(tmp_path: Path) -> None:
    text = text_for(tmp_path)
    assert "server 127.0.0.1:50001;" in text
    assert "proxy_ssl_verify on;" in text


def test_without_a_doorman_questions_for_work_go_straight_through(tmp_path: Path) -> None:
    text = text_for(tmp_path, "doorman = false\n")
    assert "location = /v1/fleet/pull-messages { proxy_pass https://superlink; }" in text


def test_it_listens_where_the_settings_say(tmp_path: Path) -> None:
    assert "listen [::1]:9000 ssl;" in text_for(tmp_path, 'listen = "[::1]:9000"\n')


def test_a_path_that_nginx_would_misread_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="embedded"):
        text_for(tmp_path / "a$b")


@installed
def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    assert PROGRAM is not None
    market = founded(tmp_path / "with space")
    nginx.check(PROGRAM, nginx.write(market, superlink_port=50001, superlink_ca=market.ca))


@installed
def test_what_nginx_does_not_accept_is_told_in_its_words(tmp_path: Path) -> None:
    assert PROGRAM is not None
    market = founded(tmp_path)
    market.certificate.write_text("not PEM")
    path = nginx.write(market, superlink_port=50001, superlink_ca=market.ca)
    with pytest.raises(StateError, match=r"cannot load certificate .*embedded"):
        nginx.check(PROGRAM, path)
