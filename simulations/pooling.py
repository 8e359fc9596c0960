"""All merchants' rows in one place: the upper bound that no federation may reach for real."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from client import serving_heads
from client.data.dataset import Dataset
from client.data.examples import Split
from shared_model import schema
from shared_model.features import Batch
from shared_model.model import build
from shared_model.parameters import load, take

from .baselines import Best, fitted, in_one_place, learnable, trained_parameters
from .experiment import Baselines
from .scores import Scores, merged, scores_of


class PooledExamples:
    """Rows of several merchants, numbered one merchant after the other, with labels of common tasks."""

    def __init__(self, datasets: Sequence[Dataset], tasks: Mapping[str, schema.Task]) -> None:
        """Copy the rows of `datasets` into memory, with the labels of `tasks`; NaN where there are none."""
        self.tasks = tasks
        self.rows_of = {t: d.rows_of[t] for d in datasets for t in tasks if t in d.rows_of}
        self._datasets = datasets
        self._first = torch.tensor([0, *(len(d) for d in datasets)]).cumsum(0).tolist()
        everything = [d.batch(torch.arange(len(d)), [t for t in tasks if t in d.tasks]) for d in datasets]
        self._all = _stacked(everything, tasks)

    def rows(self, split: Split, *, kind: str | None = None, task: str | None = None) -> Tensor:
        """Return the rows of every merchant that has them (see `Examples.rows`)."""
        found = [
            first + dataset.rows(split, kind=kind, task=task)
            for first, dataset in zip(self._first, self._datasets, strict=False)
            if (task is None or task in dataset.tasks)
        ]
        return torch.cat(found) if found else torch.zeros(0, dtype=torch.long)

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        """Return the encoded rows (see `Examples.batch`)."""
        wanted = self.tasks if tasks is None else tasks
        return Batch(
            numeric=self._all.numeric[rows],
            ids={name: ids[rows] for name, ids in self._all.ids.items()},
            vectors={name: vectors[rows] for name, vectors in self._all.vectors.items()},
            labels={task: self._all.labels[task][rows] for task in wanted},
        )


def pooled(
    contract: schema.Federation,
    datasets: Mapping[str, Dataset],
    options: Baselines,
    generator: torch.Generator,
) -> Scores:
    """Train the contract's model on everybody's rows; serve it as a federation would: prior and residual."""
    best = trained(contract, datasets, options, generator)
    return merged([served(contract, name, dataset, best) for name, dataset in datasets.items()])


def trained(
    contract: schema.Federation,
    datasets: Mapping[str, Dataset],
    options: Baselines,
    generator: torch.Generator,
) -> dict[str, Best]:
    """Return the best epoch of every task that `datasets` can teach, trained on all their rows in one place.

    Gates and tables of local scope are trained on all these rows too.
    """
    contract = in_one_place(contract)
    names = {t for dataset in datasets.values() for t in learnable(dataset, contract)}
    tasks = {name: task for name, task in contract.tasks.items() if name in names}
    examples = PooledExamples(list(datasets.values()), tasks)
    return fitted(build(contract, generator=generator), examples, list(tasks), options, generator)


def served(
    contract: schema.Federation, name: str, dataset: Dataset, best: Mapping[str, Best], *, own: bool = True
) -> Scores:
    """Return the test scores of what was trained elsewhere, of the tasks that were.

    Args:
        contract: Of the training.
        name: Of the merchant that is served.
        dataset: Its rows.
        best: What `trained` returned, of any merchants' rows.
        own: Fit the merchant's own parts of heads on its training rows; without, the prior alone answers.
    """
    contract = in_one_place(contract)
    model = build(contract, generator=torch.Generator().manual_seed(0))
    parts: list[Scores] = []
    for task in (task for task in learnable(dataset, contract) if task in best):
        load(model, take(best[task].model, trained_parameters(model)))
        if own:
            serving_heads.put(model, task, serving_heads.fit(model, dataset, task))
        parts.append(scores_of(model, name, dataset, "test", tasks=[task], own=own))
    return merged(parts)


def _stacked(batches: list[Batch], tasks: Iterable[str]) -> Batch:
    labels = {}
    for task in tasks:
        shape = next((b.labels[task].shape[1:] for b in batches if task in b.labels), torch.Size())
        labels[task] = torch.cat(
            [b.labels.get(task, torch.full((len(b), *shape), torch.nan)) for b in batches]
        )
    return Batch(
        numeric=torch.cat([b.numeric for b in batches]),
        ids={name: torch.cat([b.ids[name] for b in batches]) for name in batches[0].ids},
        vectors={name: torch.cat([b.vectors[name] for b in batches]) for name in batches[0].vectors},
        labels=labels,
    )
