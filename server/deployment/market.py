"""The coordinator's folder, and what `coordinator.toml` in it may say.

```
market/coordinator.toml   settings (`Settings`)
market/federation.toml    the contract, with the coordinator's public key
market/members.toml       who may take part (`server.enrolment`); members/ holds their public keys
market/keys/              private: signing key, certificate authority, server certificate
market/invitation/        what every merchant gets
market/state/             of this machine: database, sockets, logs
market/runs/              one folder a lineage
```
"""

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as closed

from shared_model import declared
from shared_model.declared import CLOSED
from shared_model.errors import ConfigError

SETTINGS = "coordinator.toml"
LONGEST_SOCKET = 107
"""Bytes that the path of a Unix socket may have (`sockaddr_un` holds 108 and ends with a zero)."""


@closed(frozen=True, kw_only=True, config=CLOSED)
class Settings:
    """`coordinator.toml`.

    Attributes:
        address: `host:port` under which merchants reach the coordinator; the certificate is for this host.
        listen: `host:port` to listen on; by default every interface of this machine, at the address's port.
        proxy: What stands before the SuperLink: `nginx`, our own `embedded` one, or `auto`: nginx where it is
            installed.
        doorman: Hold a node's question for work until there is some, instead of letting it ask every three
            seconds.
        superlink_port: Of the SuperLink, on loopback only; 0 for a free one.
        certificate: The server's certificate, with the chain below it, PEM; relative paths here and below
            start at the folder.
        private_key: Of the certificate, PEM, without a password.
        ca: Certificate of the authority that merchants are to trust, PEM.
    """

    address: Annotated[str, Field(min_length=1)]
    listen: str = ""
    proxy: Literal["auto", "nginx", "embedded"] = "auto"
    doorman: bool = True
    superlink_port: Annotated[int, Field(ge=0, le=65535)] = 0
    certificate: str = "keys/server.pem"
    private_key: str = "keys/server.key"
    ca: str = "keys/ca.crt"


@dataclass(frozen=True)
class Address:
    """A host, which is a name or an IP address without brackets, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class Market:
    """The coordinator's folder.

    Attributes:
        folder: Absolute.
        settings: Of its `coordinator.toml`.
    """

    folder: Path
    settings: Settings

    @property
    def address(self) -> Address:
        """Where merchants connect to."""
        return parse_address(self.settings.address, file=self.folder / SETTINGS, key="address")

    @property
    def listen(self) -> Address:
        """Where the proxy listens."""
        if not self.settings.listen:
            return Address("0.0.0.0", self.address.port)
        return parse_address(self.settings.listen, file=self.folder / SETTINGS, key="listen")

    @property
    def contract(self) -> Path:
        """The contract."""
        return self.folder / "federation.toml"

    @property
    def members(self) -> Path:
        """Who may take part; absent while nobody is enrolled."""
        return self.folder / "members.toml"

    @property
    def ledgers(self) -> Path:
        """Heads of the members' privacy ledgers; absent before the first private round."""
        return self.runs / "ledgers.json"

    @property
    def public_keys(self) -> Path:
        """Folder of the members' public keys, `NAME.pub`."""
        return self.folder / "members"

    @property
    def keys(self) -> Path:
        """Folder of the coordinator's own keys."""
        return self.folder / "keys"

    @property
    def signing_key(self) -> Path:
        """Signs every instruction."""
        return self.keys / "signing.key"

    @property
    def certificate(self) -> Path:
        """What the proxy shows to merchants."""
        return self.folder / self.settings.certificate

    @property
    def private_key(self) -> Path:
        """Of the certificate."""
        return self.folder / self.settings.private_key

    @property
    def ca(self) -> Path:
        """What merchants trust."""
        return self.folder / self.settings.ca

    @property
    def invitation(self) -> Path:
        """Folder that goes to every merchant."""
        return self.folder / "invitation"

    @property
    def runs(self) -> Path:
        """Folder of the runs."""
        return self.folder / "runs"

    @property
    def app(self) -> Path:
        """Folder of the Flower app that is submitted."""
        return self.folder / "app"

    @property
    def state(self) -> Path:
        """Folder of what belongs to this machine."""
        return self.folder / "state"

    @property
    def logs(self) -> Path:
        """Folder of what the processes write."""
        return self.state / "logs"

    @property
    def flower_home(self) -> Path:
        """Flower's own folder."""
        return self.state / "flower"

    @property
    def lock(self) -> Path:
        """Held by `up` as long as it runs."""
        return self.state / "up.lock"

    @property
    def poke_socket(self) -> Path:
        """Where the doorman is told that there is work."""
        return self.state / "doorman.sock"

    @property
    def gate_socket(self) -> Path:
        """Where the doorman listens for nginx."""
        return self.state / "gate.sock"

    def check_sockets(self) -> None:
        """Require that the system can name the sockets of this folder.

        Raises:
            ConfigError: The folder's path is too long.
        """
        longest = max(len(os.fsencode(path)) for path in (self.poke_socket, self.gate_socket))
        if longest > LONGEST_SOCKET:
            allowed = f"a folder whose path is {longest - LONGEST_SOCKET} bytes shorter"
            raise ConfigError(self.folder, "", f"too deep for sockets ({longest} bytes)", allowed)


def load(folder: Path) -> Market:
    """Return the coordinator's folder at `folder`.

    Raises:
        ConfigError: It has no `coordinator.toml`, or that says something not allowed.
    """
    folder = folder.absolute()
    if not (folder / SETTINGS).exists():
        allowed = f"a coordinator's folder with a {SETTINGS}, which `fedbazaar-server init` makes"
        raise ConfigError(folder, "", "not one", allowed)
    market = Market(folder=folder, settings=declared.load(Settings, folder / SETTINGS))
    _ = market.address, market.listen  # what cannot be read is said here
    return market


def parse_address(text: str, *, file: Path | str, key: str) -> Address:
    """Return `host:port` or `[IPv6]:port` in its two parts.

    Raises:
        ConfigError: It is neither.

    >>> parse_address("[::1]:8443", file="coordinator.toml", key="address")
    Address(host='::1', port=8443)
    """
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    sound = host and not set(host) & set("/[]@ ") and (bracketed == (":" in host))
    if not sound or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(file, key, text, "host:port, such as market.example:8443 or [2001:db8::7]:8443")
    return Address(host, int(port))


def is_ip(host: str) -> bool:
    """Whether `host` is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
