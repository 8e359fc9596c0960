"""The SuperLink: how it is started on loopback, and whether it is there.

Its TLS is for this machine alone: a certificate of its own, made here, so that a coordinator's own
certificates need not name loopback.
"""

import errno
import http.client
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared_model import files
from shared_model.errors import ConfigError
from shared_model.processes import Child, Ending

from . import certificates, flower
from .market import SETTINGS, Market

HOST = "127.0.0.1"
_DAYS = 3650
_RENEW_BEFORE = timedelta(days=400)
_ENDINGS = (
    Ending(pattern=r"address already in use", reason="its port is taken by another program"),
    Ending(pattern=r"No space left on device|database or disk is full", reason="the disk is full"),
    Ending(
        pattern=r"malformed|file is not a database",
        reason="its database state/superlink.db is damaged: stop, move it away, start again",
    ),
    Ending(pattern=r"database is locked", reason="its database is locked by another process"),
)


@dataclass(frozen=True)
class Files:
    """What the SuperLink's own TLS takes."""

    ca: Path
    certificate: Path
    private_key: Path


def files_of(market: Market) -> Files:
    """Return where the SuperLink's certificate is kept."""
    folder = market.state / "loopback"
    return Files(folder / "ca.crt", folder / "server.pem", folder / "server.key")


def prepare(market: Market) -> int:
    """Make the certificate where there is none, choose the port, tell Flower's commands; return the port.

    Raises:
        ConfigError: The port of the settings is taken.
    """
    found = files_of(market)
    if not found.ca.exists() or certificates.expiry(found.certificate) < datetime.now(UTC) + _RENEW_BEFORE:
        authority = certificates.new_authority("loopback")
        server = certificates.new_server(authority, HOST, days=_DAYS)
        certificates.write(server, certificate=found.certificate, private_key=found.private_key)
        files.write(found.ca, authority.certificate)
    number = _port(market)
    _port_file(market).write_text(f"{number}\n")
    flower.write_connection(market.flower_home, address=f"{HOST}:{number}", ca=found.ca)
    return number


def child(market: Market, number: int) -> Child:
    """Return the SuperLink as a process to keep running."""
    found = files_of(market)
    return Child(
        name="SuperLink",
        command=[
            flower.program("flower-superlink"),
            *("--host", HOST, "--port", str(number), "--database", market.state / "superlink.db"),
            *("--ssl-ca-certfile", found.ca, "--ssl-certfile", found.certificate),
            *("--ssl-keyfile", found.private_key),
            *("--enable-supernode-auth", "--disable-runtime-dependency-installation"),
        ],
        environment=flower.environment(market.flower_home),
        log=market.logs / "superlink.log",
        ready=lambda: is_up(market),
        endings=_ENDINGS,
    )


def is_up(market: Market) -> bool:
    """Whether the SuperLink answers, and is the one of this folder."""
    try:
        number = int(_port_file(market).read_text())
        context = ssl.create_default_context(cafile=files_of(market).ca)
        connection = http.client.HTTPSConnection(HOST, number, timeout=2.0, context=context)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.client.OK
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return False


def is_free(host: str, number: int) -> bool:
    """Whether a server can listen there now.

    Raises:
        OSError: It cannot for another reason than that somebody else does: not our address, not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, number))
            trial.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def _port(market: Market) -> int:
    wanted = market.settings.superlink_port
    if wanted:
        if not is_free(HOST, wanted):
            allowed = "a free port, or 0 to have one chosen"
            raise ConfigError(market.folder / SETTINGS, "superlink_port", f"{wanted}, taken", allowed)
        return wanted
    try:
        before = int(_port_file(market).read_text())
    except (FileNotFoundError, ValueError):
        before = 0
    return before if before and is_free(HOST, before) else _free_port()


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind((HOST, 0))
        return int(trial.getsockname()[1])


def _port_file(market: Market) -> Path:
    return market.state / "superlink.port"
