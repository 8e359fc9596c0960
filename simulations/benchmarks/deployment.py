"""Rounds of a real deployment against stock Flower's, in one run on this machine.

Three SuperNodes a mode, TLS and node keys everywhere. `stock` is Flower as its examples use it: nodes at the
SuperLink, FedAvg, the model inside the ClientApp. `thin` is our ClientApp before an agent; `bridge` the agent
behind the warm executor; `half` the same with float16 on the wire. Ours go through the proxy with its
doorman, as in production. One round of each mode in turn, the first of each left out, medians.
"""

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl
import torch
from rich.console import Console

from server.deployment import flower, market, superlink
from shared_model.errors import AggregationError
from simulations.deployed_server import Mode, Plan
from simulations.local_deployment import LocalDeployment, free_port, wait_until

from . import hop
from .report import Result

_MERCHANTS = 3
_ROWS = 2_000
_NUMBERS = 20
_SMALL_ROUNDS, _LARGE_ROUNDS = 7, 5
_TABLE_ROWS, _TABLE_WIDTH = 234_375, 64
"""Of 4 bytes each: 60 MB."""
_LONGEST_SECONDS = 3600.0

_CONTRACT = """
[federation]
name = "deployed"
rounds = {rounds}
local_steps = {steps}
expected_batch = 256
deadline_seconds = 300
quorum = 1.0

[local]
learning_rate = 0.1

{features}

[bottom]
architecture = "shared_bottom"
hidden = [24, 16]

[tasks.bought]
kind = "binary"
"""
_NUMERIC = "".join(f'[features.x{i:02d}]\nkind = "numeric"\n' for i in range(_NUMBERS))
_TABLE = f'[features.item]\nkind = "categorical"\nbuckets = {_TABLE_ROWS}\nwidth = {_TABLE_WIDTH}\n'

_SHOP = """schema = "shop-v1"

[merchant]
name = "{name}"

[table]
source = "rows.parquet"
time = "day"

[table.labels]
bought = "bought"
"""


def run() -> list[Result]:
    """Return the ratios of a median round, ours to stock Flower's, and what the way to the agent costs."""
    small = _CONTRACT.format(rounds=_SMALL_ROUNDS, steps=50, features=_NUMERIC)
    large = _CONTRACT.format(rounds=_LARGE_ROUNDS, steps=6, features=_NUMERIC + _TABLE)
    little = _medians(small, ("stock", "thin", "bridge"))
    much = _medians(large, ("stock", "bridge", "half"))
    return [
        _ratio("deployment.small_ratio", little, "bridge", 0.4),
        _ratio("deployment.thin_ratio", little, "thin", 0.6),
        _ratio("deployment.large_ratio", much, "bridge", 0.7),
        _ratio("deployment.large_half_ratio", much, "half", 0.5),
        *hop.run(),
    ]


def _ratio(identity: str, seconds: Mapping[str, float], mode: str, target: float) -> Result:
    unit = f"of stock's {seconds['stock']:.1f} s a round ({seconds[mode]:.1f} s)"
    return Result(id=identity, value=seconds[mode] / seconds["stock"], unit=unit, target=target)


def _medians(contract: str, modes: Sequence[str]) -> dict[str, float]:
    """Return the median seconds of a round of each mode, the first round left out."""
    with tempfile.TemporaryDirectory(prefix="fedbazaar-") as folder:
        seconds = measure(Path(folder), contract, modes)
    told = "; ".join(f"{mode}: {' '.join(f'{s:.1f}' for s in found)} s" for mode, found in seconds.items())
    Console(stderr=True, emoji=False).print(f"rounds of {told}", highlight=False)
    return {mode: median(found[1:]) for mode, found in seconds.items()}


def measure(folder: Path, contract: str, modes: Sequence[str]) -> dict[str, list[float]]:
    """Deploy in `folder` and return the seconds of every round of each mode.

    Raises:
        AggregationError: Not all merchants answered in every round.
    """
    names = {mode: tuple(f"{mode}-{i}" for i in range(1, _MERCHANTS + 1)) for mode in modes}
    (folder / "federation.toml").write_text(contract)
    with LocalDeployment(folder) as local, ExitStack() as stock:
        local.begin(folder / "federation.toml", superlink_port=free_port())
        for number, (mode, name) in enumerate((m, n) for m in modes for n in names[m]):
            _write_shop(local, mode, name, number)
            local.enroll(name)
        local.start_coordinator()
        wait_until(lambda: _all_registered(local), 120.0, "the registration of all nodes")
        for mode in modes:
            for name in names[mode]:
                if mode == "stock":
                    stock.callback(_ended, _start_stock(local, name))
                else:
                    local.start_merchant(name)
        local.wait_online(*(name for mode in modes for name in names[mode]), seconds=300.0)
        plan = Plan(
            modes=tuple(_mode(local, mode, names[mode]) for mode in modes),
            rounds=int(contract.split("rounds = ")[1].split()[0]),
            output=str(folder / "rounds.jsonl"),
            signing_key=str(local.market / "keys" / "signing.key"),
            doorman=str(market.load(local.market).poke_socket),
        )
        plan.write(folder / "plan.json")
        _run_app(local, folder / "plan.json")
        return _seconds(Path(plan.output), plan)


def _contract_of(local: LocalDeployment, mode: str) -> Path:
    """Return the contract of a mode's merchants: the market's, or the same in half precision."""
    whole = local.market / "federation.toml"
    if mode != "half":
        return whole
    half = local.folder / "half.toml"
    half.write_text(whole.read_text().replace("[federation]\n", '[federation]\nprecision = "float16"\n', 1))
    return half


def _all_registered(local: LocalDeployment) -> bool:
    return all(member["node"] != "unknown" for member in local.status()["members"])


def _mode(local: LocalDeployment, mode: str, members: tuple[str, ...]) -> Mode:
    directory = local.folder / "trained" / mode
    return Mode(name=mode, contract=str(_contract_of(local, mode)), members=members, directory=str(directory))


def _write_shop(local: LocalDeployment, mode: str, name: str, seed: int) -> None:
    """Write a merchant's folder, with the same rows as a table and as tensors."""
    shop = local.shop(name)
    shop.mkdir(parents=True)
    draw = np.random.default_rng(seed)
    numbers = draw.standard_normal((_ROWS, _NUMBERS), dtype=np.float32)
    items = draw.integers(1, _TABLE_ROWS, _ROWS)
    bought = (numbers[:, 0] > 0).astype(np.float32)
    columns = {f"x{i:02d}": numbers[:, i] for i in range(_NUMBERS)}
    days = pl.Series("day", draw.integers(0, 300, _ROWS)).cast(pl.Date)
    table = pl.DataFrame({**columns, "item": items.astype(str), "bought": bought}).with_columns(days)
    table.write_parquet(shop / "rows.parquet")
    tensors = {"numeric": numbers, "ids.item": items, "labels.bought": bought}
    torch.save({key: torch.from_numpy(value) for key, value in tensors.items()}, shop / "rows.pt")
    (shop / "merchant.toml").write_text(_SHOP.format(name=name))
    local.invite(name)
    (shop / "federation.toml").write_text(_contract_of(local, mode).read_text())
    if mode == "thin":
        with (shop / "merchant.toml").open("a") as file:  # its last table is [connect]
            file.write('executor = "clientapp"\n')


def _start_stock(local: LocalDeployment, name: str) -> "subprocess.Popen[bytes]":
    """Start a SuperNode as Flower's documentation does, at the SuperLink itself."""
    shop, coordinator = local.shop(name), market.load(local.market)
    config = {"contract": str(coordinator.contract), "rows": str(shop / "rows.pt")}
    told: list[str | Path] = [
        flower.program("flower-supernode"),
        "--superlink", f"127.0.0.1:{coordinator.settings.superlink_port}",
        "--root-certificates", superlink.files_of(coordinator).ca,
        "--auth-supernode-private-key", next(shop.rglob("node.key")),
        "--port", str(free_port()),
        "--node-config", " ".join(f"{key}={json.dumps(value)}" for key, value in config.items()),
    ]  # fmt: skip
    output = (local.folder / "output" / f"{name}.txt").open("ab")
    with output:
        return subprocess.Popen(
            told,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=flower.environment(local.folder / "stock" / name),
            start_new_session=True,
        )


def _ended(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait()


def _run_app(local: LocalDeployment, plan: Path) -> None:
    """Submit the two apps and wait until the run is over."""
    app = local.folder / "benchmark"
    app.mkdir()
    (app / "pyproject.toml").write_text(_APP)
    (app / "LICENSE").write_text("")
    (local.folder / "run.toml").write_text(f"plan = {json.dumps(str(plan))}\n")
    home = market.load(local.market).flower_home
    run = flower.start_run(home, app, local.folder / "run.toml")
    wait_until(lambda: flower.runs(home, identity=run)[0].is_over, _LONGEST_SECONDS, "the end of the run")


_APP = """[project]
name = "deployment-benchmark"
version = "1.0.0"
description = "Rounds of a deployment, timed."
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "fedbazaar"

[tool.flwr.app.components]
serverapp = "simulations.deployed_server:server"
clientapp = "simulations.deployed_client:client"

[tool.flwr.app.config]
plan = ""
"""


def _seconds(output: Path, plan: Plan) -> dict[str, list[float]]:
    lines = [json.loads(line) for line in output.read_text().splitlines()] if output.exists() else []
    found: dict[str, list[float]] = {mode.name: [] for mode in plan.modes}
    for line in lines:
        if line["answered"] < _MERCHANTS:
            raise AggregationError(f"Only {line['answered']} of {_MERCHANTS} answered: {line}.")
        found[line["mode"]].append(line["seconds"])
    if any(len(rounds) < plan.rounds for rounds in found.values()):
        raise AggregationError(f"The run ended early: {found}.")
    return found
