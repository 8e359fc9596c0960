"""A real merchant at a real SuperLink: what it answers, does not run, says, and leaves behind."""

import json
import os
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import tomli_w

from client.joining import join
from shared_model import signing
from shared_model.protocol import Refusal, SharedArrays, digest
from shared_model.schema import load_federation
from tests.client import shops
from tests.client.superlinks import BIN, ENVIRONMENT, Certificates, SuperLink, certificates, superlink
from tests.client.waiting import eventually

pytestmark = pytest.mark.deploy

PEM = signing.new_key()


# --- a merchant, and a coordinator that asks it once ------------------------------------------------------


def invited(folder: Path, address: str, files: Certificates, executor: str = "bridge") -> Path:
    """Make a small shop that was invited to `address`; return its folder."""
    agreement = shops.contract(federation={"coordinator_key": signing.public_key(PEM)})
    shop, invitation = folder / "shop", folder / "invitation"
    _, contract = shops.write(shop, agreement=agreement)
    invitation.mkdir()
    (invitation / "federation.toml").write_bytes(contract.read_bytes())
    (invitation / "ca.crt").write_bytes(files.authority.read_bytes())
    (invitation / "invitation.toml").write_text(tomli_w.dumps({"address": address}))
    join(shop, invitation, "acme")
    with (shop / "merchant.toml").open("a") as file:
        file.write(f'executor = "{executor}"\n')
    return shop


@dataclass(frozen=True)
class Up:
    """A running `fedbazaar-client up`."""

    process: "subprocess.Popen[bytes]"
    output: Path

    @property
    def said(self) -> str:
        return self.output.read_text()

    def says(self, text: str, *, seconds: float = 60.0) -> None:
        eventually(lambda: text in self.said, seconds=seconds, what=f"{text!r} in:\n{self.said}")

    def below(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, name: str) -> psutil.Process:
        """Return the process of the agent, the bridge or the node."""
        mark = {"agent": "client.agent", "bridge": "client.bridge", "node": "flower-supernode"}[name]
        found = [
            p for p in self.below() if mark in " ".join(p.cmdline()) and "guardian" not in p.cmdline()[3]
        ]
        return found[0]


@contextmanager
def running(shop: Path, *options: str, environment: Mapping[str, str] = ENVIRONMENT) -> Iterator[Up]:
    output = shop / f"said-{time.monotonic_ns()}.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [BIN / "fedbazaar-client", "up", shop, *options],
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=shop,
        )
    started = Up(process, output)
    try:
        yield started
    finally:
        process.terminate()
        process.wait(60)


ASKING = """
import json, time
from pathlib import Path
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()


@app.main()
def main(grid, context):
    question = json.loads(Path(context.run_config["question"]).read_text())
    while not (nodes := list(grid.get_node_ids())):
        time.sleep(0.2)
    arrays = {name: Array(np.array(a, np.float32)) for name, a in question["arrays"].items()}
    content = {"arrays": ArrayRecord(arrays), "instruction": ConfigRecord(question["instruction"])}
    answers = {}
    for kind in question["kinds"]:
        (reply,) = grid.send_and_receive([Message(RecordDict(content), nodes[0], kind)], timeout=120)
        answers[kind] = (
            {"code": reply.error.code, "reason": reply.error.reason}
            if reply.has_error()
            else {name: sorted(record) for name, record in reply.content.items()}
        )
    result = Path(context.run_config["result"])
    result.with_suffix(".new").write_text(json.dumps(answers))
    result.with_suffix(".new").rename(result)
"""


def bundle(folder: Path, result: Path, question: Path, client: str = "") -> Path:
    """Write an app to be sent; `client` is code for the merchants, in a package of the name of our own."""
    app = folder / "asking"
    app.mkdir(parents=True)
    (app / "asking.py").write_text(ASKING)
    if client:
        (app / "client").mkdir()
        (app / "client" / "__init__.py").write_text("")
        (app / "client" / "app.py").write_text(client)
    (app / "pyproject.toml").write_text(
        textwrap.dedent(f"""\
        [project]
        name = "asking"
        version = "0.1.0"
        license = "Apache-2.0"
        dependencies = []
        [tool.flwr.app]
        publisher = "test"
        [tool.flwr.app.components]
        serverapp = "asking:app"
        clientapp = "client.app:app"
        [tool.flwr.app.config]
        result = "{result}"
        question = "{question}"
        """)
    )
    return app


def asked(link: SuperLink, shop: Path, *kinds: str, client: str = "") -> dict[str, dict[str, Any]]:
    """Let a coordinator ask the merchant once for every kind; return what came back."""
    federation = load_federation(shop / "federation.toml")
    arrays: SharedArrays = shops.start(federation)
    order = signing.signed(
        shops.instruction(federation, arrays, merchant="acme", digest=digest(arrays)), signing.read_key(PEM)
    )
    folder = link.folder / f"asked-{time.monotonic_ns()}"
    folder.mkdir()
    question, result = folder / "question.json", folder / "result.json"
    listed = {name: array.tolist() for name, array in arrays.items()}
    question.write_text(
        json.dumps({"arrays": listed, "instruction": order.to_mapping(), "kinds": list(kinds)})
    )
    link.flwr("run", str(bundle(folder, result, question, client)), "market")
    eventually(result.exists, seconds=120, what="a coordinator's result")
    answers: dict[str, dict[str, Any]] = json.loads(result.read_text())
    return answers


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuperLink]:
    with superlink(tmp_path_factory.mktemp("link")) as started:
        yield started


Enrolled = Callable[..., Path]


@pytest.fixture
def enrolled(link: SuperLink, tmp_path: Path) -> Enrolled:
    def enrol(executor: str = "bridge") -> Path:
        shop = invited(tmp_path, link.address, link.certificates, executor)
        link.register(shop / "keys" / "node.pub", "acme")
        return shop

    return enrol


# --- what is answered, and what is not run ----------------------------------------------------------------


def foreign(marker: Path) -> str:
    return (
        f"from pathlib import Path\nPath({str(marker)!r}).touch()\n"
        "from flwr.clientapp import ClientApp\napp = ClientApp()\n"
    )


def test_a_merchant_trains_and_runs_nothing_of_what_was_sent(link: SuperLink, enrolled: Enrolled) -> None:
    shop = enrolled()
    with running(shop) as up:
        up.says(f"node    ready: connected to {link.address}")
        answers = asked(link, shop, "train", "query", "evaluate", client=foreign(shop / "was-run"))
    names = sorted(shops.start(load_federation(shop / "federation.toml")))
    assert answers["train"] == {"arrays": names, "report": ["ledger", "lineage", "round", "version"]}
    assert answers["query"] == {"report": ["name", "role", "tasks", "tier"]}
    assert answers["evaluate"] == {"code": Refusal.FAILED, "reason": None}
    assert not (shop / "was-run").exists()


def test_flowers_own_way_answers_alike_but_runs_what_was_sent(link: SuperLink, enrolled: Enrolled) -> None:
    shop = enrolled("clientapp")
    with running(shop) as up:
        up.says("node    ready")
        assert set(asked(link, shop, "train")["train"]) == {"arrays", "report"}
        asked(link, shop, "train", client=foreign(shop / "was-run"))
    assert (shop / "was-run").exists()  # which is why the bridge exists, and why the test above can fail


def test_the_two_halves_can_run_apart(link: SuperLink, enrolled: Enrolled) -> None:
    shop = enrolled()
    with running(shop, "--role", "agent") as agent, running(shop, "--role", "node") as node:
        agent.says("agent   ready")
        node.says("node    ready")
        assert set(asked(link, shop, "train")["train"]) == {"arrays", "report"}


def test_a_killed_bridge_costs_a_message_not_the_merchant(link: SuperLink, enrolled: Enrolled) -> None:
    shop = enrolled()
    with running(shop) as up:
        up.says("node    ready")
        up.child("bridge").kill()
        up.says("bridge  ended: killed by SIGKILL")
        eventually(lambda: up.said.count("bridge  ready") == 2, seconds=30, what="the bridge's return")
        assert set(asked(link, shop, "train")["train"]) == {"arrays", "report"}


# --- what is left when it ends ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda s: s.name)
@pytest.mark.parametrize("executor", ["bridge", "clientapp"])
def test_nothing_is_left_running(
    link: SuperLink, enrolled: Enrolled, how: signal.Signals, executor: str
) -> None:
    with running(enrolled(executor)) as up:
        up.says("node    ready")
        below = up.below()
        assert len(below) >= 4
        os.kill(up.process.pid, how)
        up.process.wait(60)
        eventually(lambda: not any(p.is_running() for p in below), seconds=30, what="the end of all")


# --- what is said -----------------------------------------------------------------------------------------


def test_a_key_that_is_not_enrolled_is_told_and_tried_again(link: SuperLink, tmp_path: Path) -> None:
    shop = invited(tmp_path, link.address, link.certificates)
    with running(shop, "--role", "node") as up:
        up.says("is not enrolled, or no longer")
        up.says("next start in 15 s")
        link.register(shop / "keys" / "node.pub", "acme")
        up.says("node    ready")


def test_a_node_that_was_killed_comes_back(link: SuperLink, enrolled: Enrolled) -> None:
    with running(enrolled(), "--role", "node") as up:
        up.says("node    ready")
        up.child("node").kill()
        up.says("node    ended: killed by SIGKILL")
        up.says("a node with this key was killed")
        eventually(lambda: up.said.count("node    ready") == 2, seconds=120, what="the node's return")


def test_a_node_that_is_withdrawn_is_told(link: SuperLink, enrolled: Enrolled) -> None:
    with running(enrolled(), "--role", "node") as up:
        up.says("node    ready")
        listed = json.loads(link.flwr("supernode", "ls", "market", "--format", "json"))["nodes"]
        (node,) = [n["node-id"] for n in listed if n["status"] == "online"]
        link.flwr("supernode", "unregister", node, "market")
        up.says("or the node was withdrawn")


def test_clocks_that_are_apart_are_told(link: SuperLink, enrolled: Enrolled) -> None:
    shop = enrolled()
    late = shop / "sitecustomize.py"  # the node's clock is ten minutes ahead
    late.write_text(
        "import sys\nif 'flower-supernode' in sys.argv[0] or 'flower-supernode' in ''.join(sys.orig_argv):\n"
        "    import datetime, flwr.supercore.date as date\n    real = date.now\n"
        "    date.now = lambda: real() + datetime.timedelta(minutes=10)\n"
    )
    with running(shop, "--role", "node", environment=ENVIRONMENT | {"PYTHONPATH": str(shop)}) as up:
        up.says("the two clocks are more than five minutes apart")


@pytest.mark.parametrize(
    ("at_fault", "said"),
    [
        ({"valid_days": -2}, "the coordinator's certificate has expired"),
        ({"host": "market.example"}, "is not made for localhost"),
    ],
    ids=["expired", "another host"],
)
def test_a_certificate_that_is_not_right_is_told(tmp_path: Path, at_fault: dict[str, Any], said: str) -> None:
    files = certificates(tmp_path / "certificates", **at_fault)
    with superlink(tmp_path / "link", files=files) as link:
        shop = invited(tmp_path, link.address, files)
        with running(shop, "--role", "node") as up:
            up.says(said)


def test_another_authoritys_certificate_is_told(link: SuperLink, tmp_path: Path) -> None:
    shop = invited(tmp_path, link.address, certificates(tmp_path / "another"))
    with running(shop, "--role", "node") as up:
        up.says("was not signed by the authority")


def test_a_coordinator_that_is_away_is_told_and_waited_for(tmp_path: Path) -> None:
    with superlink(tmp_path / "link") as link:
        shop = invited(tmp_path, link.address, link.certificates)
        link.register(shop / "keys" / "node.pub", "acme")
        port = link.port
    with running(shop, "--role", "node") as up:
        up.says(f"{link.address} does not answer; trying on")
        with superlink(tmp_path / "link", files=link.certificates, port=port):
            up.says("node    ready")
