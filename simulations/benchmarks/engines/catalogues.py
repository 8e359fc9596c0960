"""The product's work with one task more: which item of the merchant's own catalogue is bought next.

Notation: N rows of a merchant, I items of its catalogue, H earlier items of a row.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared_model.features import Batch
from shared_model.repeats import Earlier
from shared_model.schema import Retrieval, Task
from simulations.vectorised.table import Table

from .work import Work

TASK, CONTENT, EARLIER = "next", ("number_00", "number_01", "number_02"), 6
"""The task; what describes an item; H."""

_LEAST, _MOST = 10, 20_000


def with_catalogues(work: Work, *, median: int) -> Work:
    """Return the work with a choice of an item at every merchant, whose items a tower sees.

    Args:
        work: As `work.product` makes it, without privacy.
        median: Half of the merchants have more items than this.
    """
    source = np.random.default_rng(2)
    sizes = np.exp(source.normal(np.log(median), 0.8, len(work.merchants)))
    task = Retrieval(kind="retrieval", content=CONTENT, repeats=True, max_items=_MOST)
    contract = replace(work.contract, tasks={**work.contract.tasks, TASK: task})
    merchants = {
        name: _with_items(rows, int(np.clip(size, _LEAST, _MOST)), task, source)
        for (name, rows), size in zip(work.merchants.items(), sizes, strict=True)
    }
    return replace(work, contract=contract, merchants=merchants)


def _with_items(rows: Table, items: int, task: Task, source: np.random.Generator) -> Table:
    count = len(rows.encoded)
    known = torch.arange(EARLIER) < torch.from_numpy(source.integers(0, EARLIER + 1, (count, 1)))
    earlier = Earlier(
        _popular((count, EARLIER), items, source) * known,
        known.float(),
        torch.from_numpy(source.uniform(0, 90, (count, EARLIER)).astype(np.float32)) * known,
    )
    described = source.normal(size=(items, len(CONTENT))).astype(np.float32)
    encoded = replace(
        rows.encoded,
        labels={**rows.encoded.labels, TASK: _popular((count,), items, source).float()},
        items={TASK: Batch(numeric=torch.from_numpy(described))},
        earlier={TASK: earlier},
    )
    return replace(rows, encoded=encoded, tasks={**rows.tasks, TASK: task}, catalogues={TASK: items})


def _popular(shape: tuple[int, ...], items: int, source: np.random.Generator) -> Tensor:
    """Return positions of items, of which the first are the most frequent."""
    found: NDArray[np.int64] = (source.random(shape) ** 3 * items).astype(np.int64)
    return torch.from_numpy(found)
