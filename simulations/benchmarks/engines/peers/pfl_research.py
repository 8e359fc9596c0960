# mypy: ignore-errors
"""The standard work by pfl-research, as its tutorials write it; run by path, in an environment that has it.

`python pfl_research.py WORK`: reads what `runs.handed` wrote to WORK, prints one line of JSON. Under
`python -m torch.distributed.run` it works in several processes, of which the first prints. It imports nothing
of the platform. https://github.com/apple/pfl-research, version 0.6
"""

import json
import os
import sys
import time
from importlib.metadata import version

import numpy as np
import torch
import torch.nn.functional as F
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByUser
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel


class Network(torch.nn.Module):
    """Two hidden layers and one logit, in the form that pfl-research trains."""

    def __init__(self, inputs):
        super().__init__()
        layers = [torch.nn.Linear(inputs, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64), torch.nn.ReLU()]
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(64, 1))

    def forward(self, x):
        """Return logits, shape (B,)."""
        return self.layers(x)[:, 0]

    def loss(self, x, y, is_eval=False):
        """Return the mean loss of a batch."""
        self.train(not is_eval)
        return F.binary_cross_entropy_with_logits(self(x), y)

    def metrics(self, x, y):
        """Nothing is measured during training."""
        return {}


class Clock(TrainingProcessCallback):
    """Notes when every round ended."""

    def __init__(self):
        self.ends = [time.perf_counter()]

    def after_central_iteration(self, aggregate_metrics, model, *, central_iteration):
        """Note the time and go on."""
        self.ends.append(time.perf_counter())
        return False, Metrics()


def main(path):
    """Train, and print the seconds of every round and the test loss."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    given = np.load(path)
    rounds, asked, batch, rate = (
        int(given["rounds"]),
        int(given["asked"]),
        int(given["batch"]),
        float(given["rate"]),
    )
    network = Network(given["x"].shape[2])
    for position, parameter in enumerate(network.parameters()):
        parameter.data = torch.from_numpy(given[f"initial_{position}"])
    shops = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in zip(given["x"], given["y"], strict=True)]
    users = FederatedDataset.from_slices(shops, get_user_sampler("minimize_reuse", range(len(shops))))
    central = torch.optim.SGD(network.parameters(), lr=1.0)
    model = PyTorchModel(model=network, local_optimizer_create=torch.optim.SGD, central_optimizer=central)
    clock = Clock()
    FederatedAveraging().run(
        algorithm_params=NNAlgorithmParams(
            central_num_iterations=rounds,
            evaluation_frequency=10**6,
            train_cohort_size=asked,
            val_cohort_size=0,
        ),
        backend=SimulatedBackend(training_data=users, val_data=users, postprocessors=[WeightByUser()]),
        model=model,
        model_train_params=NNTrainHyperParams(
            local_learning_rate=rate, local_num_epochs=1, local_batch_size=batch
        ),
        model_eval_params=NNEvalHyperParams(local_batch_size=1000),
        callbacks=[clock],
    )
    with torch.no_grad():
        loss = network.loss(
            torch.from_numpy(given["x_test"]), torch.from_numpy(given["y_test"]), is_eval=True
        )
    if int(os.environ.get("RANK", "0")) == 0:
        processes = os.environ.get("WORLD_SIZE", "1")
        name = f"pfl {version('pfl')}, processes: {processes}"
        said = {"wall": np.diff(clock.ends).tolist(), "loss": float(loss), "name": name}
        sys.stdout.write(f"\n{json.dumps(said)}\n")


if __name__ == "__main__":
    main(sys.argv[1])
