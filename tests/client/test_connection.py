"""How a merchant reaches the coordinator is read once, from a table that simulations do not have."""

from pathlib import Path
from typing import Any

import pytest

from client.config import load_merchant
from client.connection import LONGEST_SOCKET, load_deployed
from shared_model.errors import ConfigError
from tests.client.exports import contract, write_merchant

ADDRESS = {"address": "market.example:8443"}


def deployed(folder: Path, **table: Any) -> Path:
    return write_merchant(folder, orders={"source": "orders.csv"}, connect=ADDRESS | table)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    found = load_deployed(deployed(tmp_path))
    assert found.state == tmp_path / "state"
    assert found.connection.node_key == tmp_path / "keys" / "node.key"
    assert found.connection.socket == tmp_path / "run" / "agent.sock"


def test_the_folder_stands_for_its_file(tmp_path: Path) -> None:
    file = deployed(tmp_path)
    assert load_deployed(tmp_path) == load_deployed(file)


def test_the_merchant_itself_reads_the_same_table(tmp_path: Path) -> None:
    file = deployed(tmp_path, executor="clientapp")
    assert load_merchant(file, contract()).connect == load_deployed(file).connection


def test_a_merchant_that_is_not_deployed_is_told_where_the_table_comes_from(tmp_path: Path) -> None:
    file = write_merchant(tmp_path, orders={"source": "orders.csv"})
    with pytest.raises(ConfigError, match="fedbazaar-client init"):
        load_deployed(file)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"address": "market.example"}, "connect.address"),
        ({"address": "https://market.example:8443"}, "connect.address"),
        ({"executor": "subprocess"}, "connect.executor"),
        ({"runtime_port": 70000}, "connect.runtime_port"),
        ({"host": "market.example:8443"}, "connect.host"),
        ({"socket": ""}, "connect.socket"),
    ],
    ids=lambda value: str(value),
)
def test_what_is_not_allowed_is_refused_by_name(tmp_path: Path, table: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_deployed(deployed(tmp_path, **table))
    assert refused.value.key == key


def test_a_socket_may_use_the_last_byte_that_the_system_allows(tmp_path: Path) -> None:
    longest = "/" + "s" * (LONGEST_SOCKET - 1)
    assert load_deployed(deployed(tmp_path, socket=longest)).connection.socket == Path(longest)


def test_a_socket_with_a_longer_path_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"connect.socket .* at most 107 bytes \(this one has 108\)"):
        load_deployed(deployed(tmp_path, socket="/" + "s" * LONGEST_SOCKET))


def test_letters_of_other_alphabets_count_with_all_their_bytes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this one has 109"):
        load_deployed(deployed(tmp_path, socket="/" + "ü" * 54))


def test_a_password_in_the_file_never_stands_in_an_error(tmp_path: Path) -> None:
    orders = {"source": "postgresql://shop:secret@db/shop", "query": ["postgresql://shop:secret@db/shop"]}
    with pytest.raises(ConfigError) as refused:
        load_deployed(write_merchant(tmp_path, orders=orders, connect=ADDRESS))
    assert "secret" not in str(refused.value)
