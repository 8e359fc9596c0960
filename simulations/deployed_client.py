"""The ClientApp of the deployment benchmark: ours, and stock Flower's under a message type of its own.

Stock is what Flower's own examples do: the model lives in the ClientApp, and every message imports torch,
reads the shop's rows and trains. The module imports as little as it can, since both start anew for every
message.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict

from client.app import client_app
from client.reach import merchant_for

STOCK = "train.stock"

client = client_app(lambda context: merchant_for(context.node_config))


@client.train("stock")
def _train_inside(message: Message, context: Context) -> Message:
    import torch

    from client.training import train_plain
    from shared_model.model import build
    from shared_model.parameters import from_arrays, to_arrays
    from shared_model.schema import load_federation

    torch.set_num_threads(1)
    federation = load_federation(Path(str(context.node_config["contract"])))
    model = build(federation, generator=torch.Generator().manual_seed(0))
    from_arrays(model, {n: a.numpy() for n, a in message.content.array_records["arrays"].items()})
    rows = TensorExamples(torch.load(str(context.node_config["rows"])), federation.tasks)
    train_plain(model, rows, federation, torch.Generator().manual_seed(0))
    trained = to_arrays(model, model.shared_parameters())
    record = ArrayRecord({name: Array(array) for name, array in trained.items()})
    return Message(
        RecordDict({"arrays": record, "metrics": MetricRecord({"num-examples": 1.0})}), reply_to=message
    )


class TensorExamples:
    """Rows as they lie in one file of tensors, all of them for training (`client.data.examples.Examples`)."""

    def __init__(self, tensors: Any, tasks: Any) -> None:
        self._tensors, self.tasks = tensors, tasks
        self.rows_of = dict.fromkeys(tasks, "example")

    def rows(self, split: str, *, kind: str | None = None, task: str | None = None) -> Any:
        """Return all row numbers."""
        import torch

        return torch.arange(len(self._tensors["numeric"]))

    def batch(self, rows: Any, tasks: Iterable[str] | None = None) -> Any:
        """Return the rows with their labels."""
        from shared_model.features import Batch

        chosen = {name: tensor[rows] for name, tensor in self._tensors.items()}
        return Batch(
            numeric=chosen["numeric"],
            ids={n.removeprefix("ids."): t for n, t in chosen.items() if n.startswith("ids.")},
            labels={n.removeprefix("labels."): t for n, t in chosen.items() if n.startswith("labels.")},
        )
