"""The one door to the SuperLink: passes what merchants' nodes need, refuses everything else.

A SuperLink serves three interfaces at one port, and two of them would let anybody who reaches it run code and
register keys. So it listens on loopback, and this program, or nginx with the same rules
(`server.deployment.nginx`), stands before it. Beside nginx only the doorman's part of it is used.

`python -m server.deployment.gate STATE/gate.json`

Guarantees:
    * A request passes when its raw target is, byte for byte, one of `FLEET_PATHS`: nothing is decoded or
      normalised, so no spelling of another path gets through.
    * A body of more than `LARGEST_BODY` bytes is never taken in; the answer is 413.
    * Paths that nodes use are never answered with 401 or 403 here: a SuperNode would take that for a verdict
      on itself. A SuperLink that is away is a 503, after which nodes ask again.
    (`tests/server/deployment/test_gate.py`)
"""

import json
import resource
import ssl
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from shared_model import files

from .doorman import Answer, Doorman, listening

PULL_MESSAGES = "/v1/fleet/pull-messages"
FLEET_PATHS = (
    "/v1/fleet/activate-node",
    "/v1/fleet/deactivate-node",
    "/v1/fleet/send-node-heartbeat",
    PULL_MESSAGES,
    "/v1/fleet/push-messages",
    "/v1/fleet/get-run",
    "/v1/fleet/get-fab",
    "/v1/fleet/push-object",
    "/v1/fleet/pull-object",
    "/v1/fleet/confirm-message-received",
)
"""All that a SuperNode asks for. Registering nodes is the coordinator's."""

LARGEST_BODY = 8 * 1024 * 1024
"""Flower cuts arrays into objects of 5 MiB."""

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
_OF_ONE_HOP = {
    "accept-encoding", "connection", "content-encoding", "content-length", "date", "forwarded", "host",
    "keep-alive", "server", "trailer", "transfer-encoding", "upgrade", "x-forwarded-for", "x-forwarded-proto",
    "te",  # codespell:ignore
}  # fmt: skip
_PLAIN = {"accept-encoding": "identity"}  # the doorman reads answers
_UPSTREAM_SECONDS = 60.0
_IDLE_SECONDS = 3.0  # uvicorn, in the SuperLink, hangs up on idle connections after 5 s
_UPSTREAM_CONNECTIONS = 32


@dataclass(frozen=True, kw_only=True)
class Gate:
    """How a gate is set up.

    Attributes:
        upstream: The SuperLink, `https://127.0.0.1:port`.
        upstream_ca: Vouches for the SuperLink.
        host: To listen on; empty to listen on `socket`.
        port: The same.
        certificate: Shown to merchants.
        private_key: Of the certificate.
        socket: Unix socket on which nginx reaches this gate; empty without nginx.
        poke_socket: Where the doorman is told of work; empty without doorman.
    """

    upstream: str
    upstream_ca: str
    host: str = ""
    port: int = 0
    certificate: str = ""
    private_key: str = ""
    socket: str = ""
    poke_socket: str = ""


def write(gate: Gate, path: Path) -> None:
    """Write the file that the program reads; nothing in it is secret."""
    files.write(path, json.dumps(asdict(gate), indent=2).encode(), durable=False)


def application(gate: Gate, upstream: httpx.AsyncClient, doorman: Doorman | None = None) -> Starlette:
    """Return the ASGI application.

    Args:
        gate: How it is set up.
        upstream: Reaches the SuperLink.
        doorman: Holds questions for work; None to pass them on like all others.
    """

    async def pass_on(request: Request) -> Response:
        path = _target(request)
        if path not in FLEET_PATHS:
            return _forbidden()
        if request.method != "POST":
            return Response("only POST", 405)
        body = await _body(request)
        if body is None:
            return Response("too large", 413)
        ask = partial(_asked, upstream, path, _passed(request.headers.items()), body)
        if doorman is None or path != PULL_MESSAGES:
            answer = await ask()
        else:
            answer = await doorman.answer(body, ask, request.is_disconnected)
        return Response(answer.body, answer.status, answer.headers)

    @asynccontextmanager
    async def opened(_: Starlette) -> AsyncIterator[None]:
        async with upstream:
            with ExitStack() as stack:
                if doorman is not None and gate.poke_socket:
                    stack.enter_context(listening(Path(gate.poke_socket), doorman))
                yield

    routes = [Route("/{path:path}", pass_on, methods=_METHODS)]
    return Starlette(routes=routes, lifespan=opened, exception_handlers={404: _forbidden, 405: _forbidden})


def client(gate: Gate) -> httpx.AsyncClient:
    """Return what reaches the SuperLink."""
    return httpx.AsyncClient(
        base_url=gate.upstream,
        verify=ssl.create_default_context(cafile=gate.upstream_ca),
        timeout=_UPSTREAM_SECONDS,
        limits=httpx.Limits(
            max_connections=_UPSTREAM_CONNECTIONS,
            max_keepalive_connections=_UPSTREAM_CONNECTIONS,
            keepalive_expiry=_IDLE_SECONDS,
        ),
        trust_env=False,
    )


def _forbidden(*_: object) -> Response:
    return Response("forbidden", 403)


def _target(request: Request) -> str:
    """Return the request's target as it was sent, question mark and all."""
    raw: bytes = request.scope.get("raw_path") or b""
    query: bytes = request.scope.get("query_string") or b""
    return (raw + (b"?" + query if query else b"")).decode("latin-1")


async def _body(request: Request) -> bytes | None:
    """Return the body, or None where it is too large or does not arrive."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > LARGEST_BODY:
        return None
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                return None
    except ClientDisconnect:  # nobody will read the answer
        return None
    return bytes(body)


async def _asked(upstream: httpx.AsyncClient, path: str, headers: dict[str, str], body: bytes) -> Answer:
    try:
        found = await upstream.post(path, headers=headers | _PLAIN, content=body)
    except httpx.HTTPError:
        return Answer(503, {}, b"unavailable")
    return Answer(found.status_code, _passed(found.headers.items()), found.content)


def _passed(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the headers that go through: those of one connection stay behind."""
    return {name.lower(): value for name, value in headers if name.lower() not in _OF_ONE_HOP}


def main(path: Path) -> None:
    """Serve until told to stop."""
    gate = Gate(**json.loads(path.read_text(encoding="utf-8")))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))  # one per waiting node
    if gate.socket:
        Path(gate.socket).unlink(missing_ok=True)
    uvicorn.run(
        application(gate, client(gate), Doorman() if gate.poke_socket else None),
        host=gate.host or "127.0.0.1",
        port=gate.port,
        uds=gate.socket or None,
        ssl_certfile=gate.certificate or None,
        ssl_keyfile=gate.private_key or None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
