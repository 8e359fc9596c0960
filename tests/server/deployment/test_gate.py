"""What passes the door to the SuperLink, and what does not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from flwr.superlink.routers.fleet.router import router

from server.deployment import gate
from server.deployment.doorman import Doorman
from server.deployment.gate import FLEET_PATHS, LARGEST_BODY, PULL_MESSAGES, Gate

SET_UP = Gate(upstream="https://superlink", upstream_ca="")
Answering = Callable[[httpx.Request], httpx.Response]


def echo(request: httpx.Request) -> httpx.Response:
    """A SuperLink that says what it was asked."""
    return httpx.Response(
        200, content=b"%s %s" % (request.url.raw_path, request.content), headers={"x-flower": "yes"}
    )


def through(
    path: str,
    *,
    answering: Answering = echo,
    doorman: Doorman | None = None,
    content: bytes | AsyncIterator[bytes] = b"",
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    """Send one request through a gate to a SuperLink that is a function."""

    async def sent() -> httpx.Response:
        upstream = httpx.AsyncClient(base_url="https://superlink", transport=httpx.MockTransport(answering))
        app = httpx.ASGITransport(gate.application(SET_UP, upstream, doorman))
        async with upstream, httpx.AsyncClient(base_url="https://gate", transport=app) as client:
            return await client.post(path, content=content, headers=headers)

    return asyncio.run(sent())


async def raw(target: bytes, method: str = "POST", query: bytes = b"", **headers: str) -> int:
    """Status of a request whose target is not touched by any client on its way."""
    upstream = httpx.AsyncClient(base_url="https://superlink", transport=httpx.MockTransport(echo))
    sent: list[int] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: "dict[str, object]") -> None:
        if message["type"] == "http.response.start":
            sent.append(int(str(message["status"])))

    scope = {
        "type": "http", "method": method, "path": target.decode(), "raw_path": target, "query_string": query,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()], "root_path": "",
    }  # fmt: skip
    await gate.application(SET_UP, upstream)(scope, receive, send)  # type: ignore[arg-type]
    return sent[0]


# --- paths ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FLEET_PATHS)
def test_what_nodes_ask_for_passes_unchanged(path: str) -> None:
    answer = through(path, content=b"question")
    assert (answer.status_code, answer.content) == (200, path.encode() + b" question")


def test_nodes_ask_for_nothing_else_but_registering_themselves() -> None:
    flowers = {route.path for route in router.routes}
    assert flowers - set(FLEET_PATHS) == {"/v1/fleet/register-node", "/v1/fleet/unregister-node"}
    assert set(FLEET_PATHS) < flowers


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/control/list-runs",
        b"/v1/runtime/acquire-task",
        b"/v1/fleet/register-node",
        b"/v1/fleet/unregister-node",
        b"/v1/fleet/",
        b"/v1/fleet",
        b"/",
        b"/health",
        b"/docs",
        b"/v1/fleet/../control/list-runs",
        b"/v1/fleet/..%2fcontrol/list-runs",
        b"/v1/fleet/%2e%2e/control/list-runs",
        b"/v1/control/x/../../fleet/pull-object",
        b"//v1/fleet/pull-object",
        b"/v1//fleet/pull-object",
        b"/v1/fleet/pull-object/",
        b"/v1/fleet/pull-object;x",
        b"/v1/fleet/pull%2dobject",
        b"/V1/fleet/pull-object",
        b"https://superlink/v1/control/list-runs",
    ],
)
def test_every_other_target_is_forbidden(target: bytes) -> None:
    assert asyncio.run(raw(target)) == 403


def test_a_query_is_forbidden() -> None:
    assert asyncio.run(raw(b"/v1/fleet/pull-object", query=b"a=b")) == 403


def test_only_post_passes() -> None:
    assert asyncio.run(raw(b"/v1/fleet/pull-object", "GET")) == 405


# --- bodies and headers ---------------------------------------------------------------------------------


def test_the_largest_object_of_flower_passes() -> None:
    assert through("/v1/fleet/push-object", content=bytes(LARGEST_BODY)).status_code == 200


def test_a_larger_body_is_refused() -> None:
    assert through("/v1/fleet/push-object", content=bytes(LARGEST_BODY + 1)).status_code == 413


def test_a_body_that_says_it_is_larger_is_refused_before_it_is_read() -> None:
    headers = {"content-length": str(2 * 1024**3)}
    assert asyncio.run(raw(b"/v1/fleet/push-object", **headers)) == 413


def test_a_body_that_does_not_say_how_large_it_is_is_refused_once_it_is() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield bytes(1024 * 1024)

    assert through("/v1/fleet/push-object", content=pieces()).status_code == 413


def test_the_nodes_signature_passes_and_what_belongs_to_one_connection_does_not() -> None:
    seen: dict[str, str] = {}

    def look(request: httpx.Request) -> httpx.Response:
        seen.update(request.headers)
        return httpx.Response(200, headers={"x-flower": "yes", "connection": "close"})

    headers = {"x-signature": "signed", "x-forwarded-for": "10.0.0.1", "keep-alive": "timeout=5"}
    answer = through("/v1/fleet/get-run", answering=look, headers=headers)
    assert seen["x-signature"] == "signed"
    assert {"x-forwarded-for", "keep-alive"}.isdisjoint(seen)
    assert seen["accept-encoding"] == "identity"
    assert "connection" not in answer.headers
    assert answer.headers["x-flower"] == "yes"


# --- the SuperLink --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 401, 409, 500])
def test_what_the_superlink_says_is_passed_on(status: int) -> None:
    answer = through("/v1/fleet/get-fab", answering=lambda _: httpx.Response(status, content=b"why"))
    assert (answer.status_code, answer.content) == (status, b"why")


def test_a_superlink_that_is_away_is_a_reason_to_ask_again() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("certificate of TLS connection", request=request)

    answer = through("/v1/fleet/get-fab", answering=away)
    # A SuperNode gives up for good where an error speaks of certificates.
    assert (answer.status_code, answer.content) == (503, b"unavailable")


# --- the doorman ----------------------------------------------------------------------------------------


def test_the_doorman_holds_questions_for_work_only() -> None:
    asked: list[str] = []

    def nothing(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200)

    doorman = Doorman(hold_seconds=0.05, tick_seconds=600)
    through("/v1/fleet/push-object", answering=nothing, doorman=doorman)
    through(PULL_MESSAGES, answering=nothing, doorman=doorman)
    assert asked == ["/v1/fleet/push-object", PULL_MESSAGES, PULL_MESSAGES]


def test_the_file_of_a_gate_is_read_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up = Gate(upstream="https://127.0.0.1:1", upstream_ca="ca.crt", socket=str(tmp_path / "gate.sock"))
    served: list[dict[str, object]] = []
    monkeypatch.setattr(gate, "client", lambda _: httpx.AsyncClient())
    monkeypatch.setattr(gate.uvicorn, "run", lambda _, **settings: served.append(settings))
    gate.write(set_up, tmp_path / "gate.json")
    gate.main(tmp_path / "gate.json")
    assert served[0]["uds"] == set_up.socket
    assert served[0]["ssl_certfile"] is None
