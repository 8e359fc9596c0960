"""How retrieval tasks are trained in a step: what each row chose, against which other items.

Notation: B rows, I items, S drawn items.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from shared_model import schema
from shared_model.features import Batch, Contest
from shared_model.model import MultiTaskModel
from shared_model.retrieval import RetrievalHead


def with_contests(
    model: MultiTaskModel, batch: Batch, tasks: Mapping[str, schema.Task], public: str
) -> Batch:
    """Return the batch with a contest in the place of the label of every retrieval task.

    Up to `max_full` items the chosen one stands against all others, beyond against `negatives` drawn ones.

    Args:
        model: Knows the size of every catalogue.
        batch: With labels.
        tasks: Declarations of the tasks; labels of other tasks stay as they are.
        public: Names the step; decides what is drawn.
    """
    contests, labels = dict(batch.contests), dict(batch.labels)
    for name, spec in tasks.items():
        head = model.head(name) if name in labels else None
        if isinstance(spec, schema.Retrieval) and isinstance(head, RetrievalHead):
            contests[name] = Contest(
                labels[name].nan_to_num(0).long(), drawn(spec, head.items, f"{public}/{name}")
            )
            labels[name] = labels[name] * 0  # the place of the chosen item; a missing label stays missing
    return replace(batch, contests=contests, labels=labels)


def drawn(spec: schema.Retrieval, items: int, public: str) -> Tensor | None:
    """Return the positions of a task's negatives, int64, (S,); None where no item is left out.

    Everybody who knows the name of the step knows the draw, so it says nothing of the rows.

    Args:
        spec: The task.
        items: I.
        public: Name of the draw.
    """
    if items <= spec.max_full:
        return None
    seed = hashlib.sha256(f"negatives/{public}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(seed[:7], "big"))
    return torch.randperm(items, generator=generator)[: spec.negatives]
