"""The standard work by Flower's simulation: FedAvg, two Ray actors of one processor each.

`python -m simulations.benchmarks.engines.peers.flower_ray`: reads what the environment variable of
`flower_app` names, prints one line of JSON.
"""

import json
import logging
import sys
import time
from collections.abc import Iterable
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from .flower_app import app, given, loss_of, network

ACTORS = 2


class TimedFedAvg(FedAvg):
    """FedAvg that notes when every round ended."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.ends = [time.perf_counter()]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Aggregate as FedAvg does."""
        found = super().aggregate_train(server_round, replies)
        self.ends.append(time.perf_counter())
        return found


def main() -> None:
    """Train, and print the seconds of every round and the test loss."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    merchants, asked, rounds = len(given()["x"]), int(given()["asked"]), int(given()["rounds"])
    said: dict[str, Any] = {}
    server = ServerApp()

    @server.main()
    def coordinate(grid: Grid, context: Context) -> None:
        torch.set_num_threads(1)
        strategy = TimedFedAvg(
            fraction_train=asked / merchants,
            fraction_evaluate=0.0,
            min_train_nodes=asked,
            min_available_nodes=merchants,
        )
        initial = ArrayRecord(network().state_dict())
        result = strategy.start(grid=grid, initial_arrays=initial, num_rounds=rounds)
        said["wall"] = [after - before for before, after in pairwise(strategy.ends)]
        said["loss"] = loss_of(result.arrays)

    options: Any = {
        "init_args": {"num_cpus": ACTORS, "include_dashboard": False, "logging_level": logging.ERROR},
        "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
    }
    run_simulation(server, app, num_supernodes=merchants, backend_config=options)
    name = f"flwr {version('flwr')}, ray {version('ray')}"
    sys.stdout.write(f"\n{json.dumps({**said, 'name': name})}\n")


if __name__ == "__main__":
    main()
