"""A ClientApp finds its merchant in one place: in its own process, or behind a socket."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from client import reach
from client.merchant import Merchant
from client.reach import NodeConfig, merchant_for
from shared_model.errors import ConfigError

FILES = {"merchant": "merchant.toml", "contract": "federation.toml"}


class FakeStub:
    def __init__(self, socket: Path) -> None:
        self.socket = socket


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> type[FakeStub]:
    module = ModuleType("client.agent.stub")
    module.AgentStub = FakeStub  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "client.agent", ModuleType("client.agent"))
    monkeypatch.setitem(sys.modules, "client.agent.stub", module)
    return FakeStub


def test_a_socket_leads_to_the_agent_behind_it(stub: type[FakeStub]) -> None:
    found = merchant_for({"agent": "/run/shop/agent.sock"})
    assert isinstance(found, stub)
    assert found.socket == Path("/run/shop/agent.sock")


@pytest.mark.parametrize(
    ("node", "key"),
    [
        ({"agent": "a.sock", **FILES}, "merchant"),
        ({"agent": "a.sock", "contract": "federation.toml"}, "contract"),
        ({"agent": "a.sock", "seed": 3}, "seed"),
        ({"agent": ""}, "agent"),
        ({"agent": True}, "agent"),
        ({"merchant": "merchant.toml"}, "contract"),
        ({"contract": "federation.toml"}, "merchant"),
    ],
    ids=str,
)
def test_it_is_one_place_or_the_other(stub: type[FakeStub], node: NodeConfig, key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        merchant_for(node)
    assert refused.value.key == key


def test_two_messages_at_once_open_a_merchant_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    second_waits = threading.Event()

    def opening(*_: object, **__: object) -> object:
        opened.append(object())
        second_waits.wait(0.2)  # long enough for a second thread to come by, if it could
        return opened[-1]

    monkeypatch.setattr(Merchant, "open", opening)
    reach._opened.cache_clear()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: merchant_for(FILES), range(2))
    reach._opened.cache_clear()
    assert first is second
    assert len(opened) == 1
