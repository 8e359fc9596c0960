"""Catalogues side by side: what merchants choose from, and what their shoppers bought before.

Those of a cohort are filled up to the longest. An item that is not there has a score that no sum of
exponentials notices (`stack.Stack` sees to its bias), so nothing is learnt from it, to the last bit. A step
needs no contest (`shared_model.features.Contest`): all scores exist, and
their gradient is known (`targets.py`).

Notation: as in the package; I items of a catalogue, H earlier items of a row.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from shared_model.features import Batch
from shared_model.repeats import Earlier, none_earlier

from .padding import filled_up


def catalogues_of(batches: Sequence[Batch]) -> dict[str, Batch]:
    """Return the described items of all merchants, shape (M, I, ...), per task with content."""
    return {
        task: _items([batch.items.get(task) for batch in batches])
        for task in _named(b.items for b in batches)
    }


def _items(catalogues: Sequence[Batch | None]) -> Batch:
    """Return catalogues side by side; a merchant without one has a single item of which nothing is known."""
    first = next(items for items in catalogues if items is not None)
    unknown = Batch(
        numeric=first.numeric[:1] * torch.nan,
        ids={name: torch.zeros_like(ids[:1]) for name, ids in first.ids.items()},
        vectors={name: torch.zeros_like(vectors[:1]) for name, vectors in first.vectors.items()},
    )
    found = [unknown if items is None else items for items in catalogues]
    return Batch(
        numeric=filled_up([items.numeric for items in found], 0.0),
        ids={name: filled_up([items.ids[name].long() for items in found], 0) for name in first.ids},
        vectors={name: filled_up([items.vectors[name] for items in found], 0.0) for name in first.vectors},
    )


def earlier_of(batches: Sequence[Batch]) -> dict[str, list[Earlier]]:
    """Return what the shoppers of every merchant's rows bought before, as wide as the widest, per task."""
    return {
        task: widened([b.earlier.get(task, none_earlier(len(b), b.numeric)) for b in batches])
        for task in _named(b.earlier for b in batches)
    }


def widened(parts: Sequence[Earlier]) -> list[Earlier]:
    """Return parts of rows, (N, H) each, with as many places as the longest list of all has."""
    longest = max(part.items.shape[-1] for part in parts)
    return [
        Earlier(*(torch.nn.functional.pad(t, (0, longest - t.shape[-1])) for t in part)) for part in parts
    ]


def longest_list(earlier: Earlier) -> list[int]:
    """Return for every first index of (K, ..., H) how many places its longest list needs."""
    places = torch.arange(1, earlier.items.shape[-1] + 1)
    needed: Tensor = (earlier.known * places).flatten(1)
    return needed.amax(1).tolist() if needed.shape[1] else [0] * len(needed)


def _named(found: Iterable[Mapping[str, object]]) -> list[str]:
    return sorted({task for mapping in found for task in mapping})
