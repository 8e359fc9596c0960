"""What can be wrong with the coordinator's door: bodies too large, certificates too old, clocks apart.

What somebody with nothing but the authority's certificate gets is in `tests/server/deployment/test_up.py`.
"""

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import psutil
import pytest

from server.deployment import certificates, nginx
from server.deployment import market as markets
from server.deployment.market import Market
from shared_model.errors import StateError
from simulations.local_deployment import wait_until
from tests.deployment.clocks import wall_clock
from tests.deployment.town import Town, town_of
from tests.integration import experiments

pytestmark = pytest.mark.deploy

MEGABYTE = 2**20
TOO_MANY = 2048
"""Megabytes."""
ALLOWED = 64 * MEGABYTE
ACME = "synthetic-01"

PROXIES = [
    "embedded",
    pytest.param(
        "nginx",
        marks=pytest.mark.skipif(nginx.program() is None, reason="nginx is not installed on this machine"),
    ),
]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A coordinator's folder and one member; nobody runs yet."""
    made = town_of(tmp_path_factory.mktemp("door"), experiments.contract(), merchants=1)
    with made.deployment as deployment:
        deployment.begin(made.site.contract, proxy="embedded")
        made.invite()
        yield made


def market_of(town: Town) -> Market:
    return markets.load(town.deployment.market)


@contextmanager
def opened(town: Town, *, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run the coordinator for the length of the block."""
    times = said_so(town)
    town.deployment.start_coordinator(environment=environment)
    town.wait_said("coordinator", "The coordinator is ready", times=times + 1)
    yield
    town.deployment.stop("coordinator")


def said_so(town: Town) -> int:
    output = town.deployment.folder / "output" / "coordinator.txt"
    return output.read_text().count("The coordinator is ready") if output.exists() else 0


@contextmanager
def node(town: Town) -> Iterator[None]:
    """Run the connected half of the merchant for the length of the block."""
    town.deployment.start_merchant(ACME, "--role", "node")
    yield
    town.deployment.stop(ACME)


# --- bodies -----------------------------------------------------------------------------------------------


@contextmanager
def connected(market: Market) -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context(cafile=market.invitation / "ca.crt")
    address = market.address
    with (
        socket.create_connection((address.host, address.port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=address.host) as secured,
    ):
        yield secured


def answer(secured: ssl.SSLSocket) -> str:
    """The first line that the server says."""
    return secured.recv(65536).split(b"\r\n")[0].decode()


def beginning(market: Market, how: str) -> bytes:
    lines = ["POST /v1/fleet/push-object HTTP/1.1", f"Host: {market.address.host}", how, "", ""]
    return "\r\n".join(lines).encode()


def memory(town: Town) -> int:
    """Bytes that the coordinator's processes hold together."""
    below = psutil.Process(town.deployment.processes["coordinator"].pid).children(recursive=True)
    return sum(process.memory_info().rss for process in below)


def sent_in_chunks(secured: ssl.SSLSocket) -> int:
    """Send up to two gigabytes in chunks until the server says something or hangs up; return megabytes."""
    chunk = f"{MEGABYTE:x}\r\n".encode() + bytes(MEGABYTE) + b"\r\n"
    sent = 0
    secured.settimeout(0.001)
    with suppress(ConnectionError, ssl.SSLError):
        while sent < TOO_MANY:
            with suppress(TimeoutError):
                secured.recv(1)
                break
            secured.settimeout(60)
            secured.sendall(chunk)
            secured.settimeout(0.001)
            sent += 1
    return sent


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_body_of_two_gigabytes_is_refused_before_it_is_taken(town: Town, proxy: str) -> None:
    settings = town.deployment.market / "coordinator.toml"
    settings.write_text(settings.read_text().replace('proxy = "embedded"', f'proxy = "{proxy}"'))
    with opened(town):
        market, before = market_of(town), memory(town)
        with connected(market) as announced:
            announced.sendall(beginning(market, f"Content-Length: {TOO_MANY * MEGABYTE}"))
            assert "413" in answer(announced)
        with connected(market) as chunked:
            chunked.sendall(beginning(market, "Transfer-Encoding: chunked"))
            assert sent_in_chunks(chunked) < TOO_MANY / 16
        assert memory(town) - before < ALLOWED
    settings.write_text(settings.read_text().replace(f'proxy = "{proxy}"', 'proxy = "embedded"'))


# --- certificates -----------------------------------------------------------------------------------------


def put_certificate(market: Market, *, seconds: float) -> datetime:
    """Put a certificate into the market that expires soon; return when."""
    keys = market.keys
    authority = certificates.Issued((keys / "ca.crt").read_bytes(), (keys / "ca.key").read_bytes())
    issued = certificates.new_server(authority, market.address.host, days=seconds / 86400)  # type: ignore[arg-type]
    certificates.write(issued, certificate=market.certificate, private_key=market.private_key)
    return certificates.expiry(market.certificate)


def test_an_expired_certificate_is_told_on_both_sides_and_renewed_without_the_merchants(town: Town) -> None:
    market = market_of(town)
    put_certificate(market, seconds=0)
    with pytest.raises(StateError, match=r"expired since.*fedbazaar-server renew"):
        town.deployment.call("fedbazaar-server", "up", market.folder)

    end = put_certificate(market, seconds=45)
    with opened(town):
        wait_until(lambda: datetime.now(UTC) > end, 90, "the end of a certificate")
        with node(town):
            town.wait_said(ACME, "the coordinator's certificate has expired")
            town.deployment.stop("coordinator")
            town.deployment.call("fedbazaar-server", "renew", market.folder)
            town.deployment.start_coordinator()
            town.wait_connected()


# --- clocks -----------------------------------------------------------------------------------------------


def test_clocks_ten_minutes_apart_are_told_and_once_they_agree_the_merchant_is_back(town: Town) -> None:
    ahead = wall_clock("+10m")
    with node(town):
        with opened(town, environment=ahead):
            town.wait_said(ACME, "the two clocks are more than five minutes apart")
        times = town.deployment.output(ACME).count("node    ready")
        with opened(town):
            town.wait_connected(times=times + 1)
