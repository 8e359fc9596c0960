"""The modes of folders and sockets are the whole access control, so they are right from the first moment."""

import grp
import os
import socket
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from client.agent import sockets
from client.agent.addresses import listens, target
from shared_model.errors import ConfigError, StateError
from tests.client import shops
from tests.client.agent.desk import contract, desk

OWN_GROUP = grp.getgrgid(os.getgid()).gr_name


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def server() -> Iterator[Any]:
    made = grpc.server(ThreadPoolExecutor(1))
    yield made
    made.stop(None).wait()


@pytest.fixture(autouse=True)
def everybody_may_read() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_state_folder_is_closed_to_everybody_else(tmp_path: Path) -> None:
    state = tmp_path / "state"
    sockets.own_folder(state)
    assert mode(state) == 0o700
    state.chmod(0o755)
    sockets.own_folder(state)
    assert mode(state) == 0o700


def test_what_a_killed_agent_had_begun_to_write_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "rounds").mkdir()
    whole = tmp_path / "rounds" / "a.safetensors"
    for path in (whole, tmp_path / "rounds" / ".a.safetensors.7-7.tmp", tmp_path / ".serving.7-7.tmp"):
        path.write_bytes(b"x")
    sockets.remove_unfinished(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [whole]


def test_a_socket_is_for_its_own_user_alone(tmp_path: Path, server: Any) -> None:
    sockets.bind(server, tmp_path / "agent.sock")
    assert mode(tmp_path / "agent.sock") == 0o600
    assert os.umask(0o022) == 0o022  # as it was before


def test_a_socket_for_a_group_is_for_that_group(tmp_path: Path, server: Any) -> None:
    sockets.bind(server, tmp_path / "agent.sock", group=OWN_GROUP)
    assert mode(tmp_path / "agent.sock") == 0o660
    assert (tmp_path / "agent.sock").stat().st_gid == os.getgid()


def test_a_socket_is_never_open_to_more_than_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Looks:
        """A server that notes the umask at the moment when the socket is born."""

        umask = 0

        def add_insecure_port(self, address: str) -> None:
            self.umask = os.umask(0o177)

    looks = Looks()
    sockets.bind(looks, tmp_path / "agent.sock")
    assert looks.umask == 0o177


def test_the_folder_of_a_socket_lets_in_the_group_and_nobody_else(tmp_path: Path) -> None:
    sockets.socket_folder(tmp_path / "run" / "agent.sock", group=OWN_GROUP)
    assert mode(tmp_path / "run") == 0o750
    sockets.socket_folder(tmp_path / "own" / "agent.sock", group="")
    assert mode(tmp_path / "own") == 0o700


def test_a_folder_in_which_others_could_replace_the_socket_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o777)
    with pytest.raises(ConfigError, match="chmod go-w"):
        sockets.socket_folder(tmp_path / "run" / "agent.sock", group="")


def test_a_folder_that_the_group_cannot_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    with pytest.raises(ConfigError, match="chmod 750"):
        sockets.socket_folder(tmp_path / "run" / "agent.sock", group=OWN_GROUP)


def test_a_group_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'nosuchgroup'; allowed: a group of this machine"):
        sockets.socket_folder(tmp_path / "run" / "agent.sock", group="nosuchgroup")


def test_the_socket_of_a_killed_agent_is_replaced(tmp_path: Path, server: Any) -> None:
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    assert not listens(path)
    sockets.bind(server, path)
    server.start()
    assert listens(path)


def test_the_socket_of_a_running_agent_is_not_replaced(tmp_path: Path, server: Any) -> None:
    path = tmp_path / "agent.sock"
    sockets.bind(server, path)
    server.start()
    with pytest.raises(StateError, match="another process listens"):
        sockets.bind(grpc.server(ThreadPoolExecutor(1)), path)


def test_a_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path, server: Any) -> None:
    path = tmp_path / "agent.sock"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="a path where nothing lies"):
        sockets.bind(server, path)
    assert path.read_text() == "precious"


def test_a_path_that_the_system_would_cut_is_refused(tmp_path: Path, server: Any) -> None:
    with pytest.raises(ConfigError, match="at most 107 bytes"):
        sockets.bind(server, tmp_path / ("x" * 107))


def test_a_path_may_hold_any_character(tmp_path: Path, server: Any) -> None:
    odd = tmp_path / "a b%20#?é"
    odd.mkdir()
    sockets.bind(server, odd / "agent.sock")
    server.start()
    with grpc.insecure_channel(target(odd / "agent.sock")) as channel:
        call = channel.unary_unary("/none/None")
        with pytest.raises(grpc.RpcError) as refused:
            call(b"", timeout=10)
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_all_that_an_agent_writes_is_for_its_own_user_alone(tmp_path: Path) -> None:
    with desk(shops.merchant(tmp_path, agreement=contract())) as opened:
        assert mode(opened.socket) == 0o600
        assert mode(opened.merchant.config.state / "owner.sock") == 0o600
