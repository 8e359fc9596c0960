"""The ClientApp of the standard work as Flower's examples write one, its data kept by every Ray actor."""

import os
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from numpy.typing import NDArray
from torch import Tensor, nn

WORK = "FEDBAZAAR_BENCHMARK_WORK"
"""Names the file that `runs.handed` wrote, for the actors too."""

app = ClientApp()


@lru_cache(maxsize=1)
def given() -> dict[str, NDArray[Any]]:
    """Return what `runs.handed` wrote."""
    return dict(np.load(os.environ[WORK]))


def network() -> nn.Sequential:
    """Return two hidden layers and one logit, as training begins."""
    inputs = given()["x"].shape[2]
    model = nn.Sequential(
        nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1), nn.Flatten(0)
    )
    for position, parameter in enumerate(model.parameters()):
        parameter.data = torch.from_numpy(given()[f"initial_{position}"].copy())
    return model


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train one epoch and return the new parameters."""
    torch.set_num_threads(1)
    work, position = given(), int(context.node_config["partition-id"])
    model = network()
    model.load_state_dict(message.content.array_records["arrays"].to_torch_state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=float(work["rate"]))
    x, y = (torch.from_numpy(work[name][position]) for name in ("x", "y"))
    for rows in torch.split(torch.randperm(len(x)), int(work["batch"])):
        optimizer.zero_grad()
        _loss(model, x[rows], y[rows]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    metrics = MetricRecord({"num-examples": len(x)})
    return Message(
        RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics}), reply_to=message
    )


def loss_of(arrays: ArrayRecord) -> float:
    """Return the mean loss on the test rows."""
    model = network()
    model.load_state_dict(arrays.to_torch_state_dict())
    with torch.no_grad():
        rows = (torch.from_numpy(given()[name]) for name in ("x_test", "y_test"))
        return float(_loss(model, *rows))


def _loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(model(x), y)
