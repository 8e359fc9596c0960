"""A real SuperLink with TLS and node keys on loopback, for the tests that need one."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.client.waiting import eventually

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
BIN = Path(sys.executable).parent
ENVIRONMENT = os.environ | QUIET | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
"""Of Flower's processes, which find one another on the path."""


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(program: str) -> str:
    """Return the path of one of Flower's commands, as installed beside this interpreter."""
    return str(BIN / program)


@dataclass(frozen=True)
class Certificates:
    """Files of an authority and of a server for `localhost` that it signed."""

    authority: Path
    server: Path
    key: Path


def certificates(folder: Path, *, valid_days: int = 1, host: str = "localhost") -> Certificates:
    """Write an authority and a server's certificate; with negative days the latter has expired."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "market authority")])
    now = datetime.now(UTC)
    first, last = now - timedelta(days=30), now + timedelta(days=30)

    def named(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
        )

    ca = (
        named(ca_name, ca_key)
        .not_valid_before(first)
        .not_valid_after(last)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    alternatives = [x509.DNSName(host)]
    if host == "localhost":
        alternatives.append(x509.IPAddress(ip_address("127.0.0.1")))  # type: ignore[arg-type]
    server = (
        named(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]), server_key)
        .not_valid_before(first)
        .not_valid_after(now + timedelta(days=valid_days))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    files = Certificates(folder / "ca.crt", folder / "server.pem", folder / "server.key")
    files.authority.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    files.server.write_bytes(server.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


@dataclass(frozen=True)
class SuperLink:
    """One that runs."""

    folder: Path
    port: int
    certificates: Certificates

    @property
    def address(self) -> str:
        """As a node is told it."""
        return f"localhost:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """For Flower's command line."""
        return ENVIRONMENT | {"FLWR_HOME": str(self.folder / "home")}

    def flwr(self, *arguments: str) -> str:
        """Run Flower's command line against it and return what it printed."""
        ran = subprocess.run(
            [command("flwr"), *arguments], env=self.environment, capture_output=True, text=True, timeout=60
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def register(self, public_key: Path, name: str) -> None:
        """Let a node in."""
        self.flwr("supernode", "register", str(public_key), "market", "--name", name)


@contextmanager
def superlink(folder: Path, *, files: Certificates | None = None, port: int = 0) -> Iterator[SuperLink]:
    """Run a SuperLink for the length of the block."""
    files = files or certificates(folder / "certificates")
    running = SuperLink(folder, port or free_port(), files)
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "market"\n[superlink.market]\naddress = "localhost:{running.port}"\n'
        f'root-certificates = "{files.authority}"\n'
    )
    arguments = [
        *("--ssl-ca-certfile", files.authority, "--ssl-certfile", files.server, "--ssl-keyfile", files.key),
        *("--host", "127.0.0.1", "--port", running.port, "--database", folder / "superlink.db"),
        *("--enable-supernode-auth", "--disable-runtime-dependency-installation"),
    ]
    log = (folder / "superlink.log").open("ab")
    process = subprocess.Popen(
        [command("flower-superlink"), *map(str, arguments)],
        env=running.environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        eventually(lambda: _answers(running), seconds=60, what="a SuperLink that answers")
        yield running
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
        log.close()


def _answers(running: SuperLink) -> bool:
    try:
        return httpx.get(f"https://127.0.0.1:{running.port}/health", verify=False, timeout=2).is_success
    except httpx.HTTPError:
        return False
