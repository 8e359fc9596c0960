"""How a deployed merchant reaches the coordinator: the `[connect]` table, with absolute paths.

It reads neither the contract nor the shop's data, so that whoever only starts processes needs neither.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from shared_model import declared
from shared_model.errors import ConfigError

from .merchant_file import Connect, MerchantFile, masked_error

LONGEST_SOCKET = 107
"""Bytes that the path of a Unix socket may have (`sockaddr_un` holds 108 and ends with a zero)."""


@dataclass(frozen=True, kw_only=True)
class Connection:
    """The `[connect]` table of a merchant's file, checked, with absolute paths.

    Attributes:
        contract: The agreement.
        address: Of the coordinator, `host:port`.
        certificates: Certificate of the authority that signed the coordinator's.
        node_key: Private key of this merchant's node.
        executor: `bridge` or `clientapp`.
        socket: Where the agent listens.
        socket_group: Group of users that may connect to it; empty for the own user only.
        runtime_port: Loopback port between node and bridge; 0 for a free one.
    """

    contract: Path
    address: str
    certificates: Path
    node_key: Path
    executor: str
    socket: Path
    socket_group: str
    runtime_port: int


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What starting a merchant's processes takes.

    Attributes:
        file: The merchant's own file, absolute.
        name: Of the merchant.
        state: Folder of everything the client writes, absolute.
        connection: How it reaches the coordinator.
    """

    file: Path
    name: str
    state: Path
    connection: Connection


def load_deployed(path: Path) -> Deployed:
    """Return what starting the merchant at `path` takes: its `merchant.toml`, or the folder that holds it.

    Raises:
        ConfigError: There is no such file, it has no `[connect]` table, or says something not allowed.
    """
    file = merchant_file(path).absolute()
    try:
        written = declared.load(MerchantFile, file)
    except ConfigError as error:
        raise masked_error(error) from None
    if written.connect is None:
        allowed = "a [connect] table, which `fedbazaar-client init` writes from the coordinator's invitation"
        raise ConfigError(file, "connect", None, allowed)
    return Deployed(
        file=file,
        name=written.merchant.name,
        state=file.parent / written.merchant.state,
        connection=located(file, written.connect),
    )


def merchant_file(path: Path) -> Path:
    """Return the merchant's file, which a command names by itself or by its folder."""
    return path / "merchant.toml" if path.is_dir() else path


def located(file: Path, written: Connect) -> Connection:
    """Return the table with absolute paths.

    Args:
        file: The merchant's file, absolute; paths in the table are relative to its folder.
        written: The table, as written.

    Raises:
        ConfigError: The path of the socket is longer than the system allows.
    """
    here = file.parent
    socket = Path(os.path.normpath(here / written.socket))
    length = len(os.fsencode(socket))
    if length > LONGEST_SOCKET:
        allowed = (
            f"a path of at most {LONGEST_SOCKET} bytes (this one has {length}), such as /run/shop/agent.sock"
        )
        raise ConfigError(file, "connect.socket", str(socket), allowed)
    return Connection(
        contract=here / written.contract,
        address=written.address,
        certificates=here / written.certificates,
        node_key=here / written.node_key,
        executor=written.executor,
        socket=socket,
        socket_group=written.socket_group,
        runtime_port=written.runtime_port,
    )
