"""Rows and models that an auditor makes up, in the form in which private training reads a merchant's.

Notation: B rows, U units, T tasks, G clip groups, N coordinates that are reserved for canaries.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from shared_model import schema
from shared_model.features import Batch
from shared_model.layers import Embedding, Linear
from shared_model.losses import Losses

WIDTH = 8
"""Dense inputs of the laboratory's model."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Rows with their owners, as `client.data.private_rows.PrivateRows` gives them.

    Attributes:
        tasks: Name -> task.
        everything: All rows.
        unit: Owner of every row, shape (B,), ascending.
        units: U; a unit may own no row.
        weight: Of every row's loss, shape (B,).
        drawn: Notes the units of every step, in order.
    """

    tasks: Mapping[str, schema.Task]
    everything: Batch
    unit: Tensor
    units: int
    weight: Tensor
    drawn: list[Tensor] = field(default_factory=list)

    def rows_of_units(self, drawn: Tensor) -> Tensor:
        """Return the numbers of the rows that the units `drawn` own, ascending; note who was drawn."""
        self.drawn.append(drawn)
        return torch.isin(self.unit, drawn).nonzero().squeeze(1)

    def batch(self, numbers: Tensor, tasks: Sequence[str]) -> Batch:
        """Return the rows `numbers` with the labels of `tasks`."""
        return at(self.everything, numbers, tasks)


def at(batch: Batch, numbers: Tensor, tasks: Iterable[str]) -> Batch:
    """Return some rows of a batch."""
    return replace(
        batch,
        numeric=batch.numeric[numbers],
        ids={name: ids[numbers] for name, ids in batch.ids.items()},
        vectors={name: vectors[numbers] for name, vectors in batch.vectors.items()},
        labels={task: batch.labels[task][numbers] for task in tasks},
    )


def beside(first: Batch, second: Batch) -> Batch:
    """Return the rows of one batch and then those of another."""
    return Batch(
        numeric=torch.cat([first.numeric, second.numeric]),
        ids={name: torch.cat([ids, second.ids[name]]) for name, ids in first.ids.items()},
        vectors={name: torch.cat([v, second.vectors[name]]) for name, v in first.vectors.items()},
        labels={task: torch.cat([v, second.labels[task]]) for task, v in first.labels.items()},
    )


def without(rows: Workload, unit: int) -> Workload:
    """Return the neighbouring data: the same rows without those of one unit."""
    kept = (rows.unit != unit).nonzero().squeeze(1)
    owners = rows.unit[kept]
    return Workload(
        tasks=rows.tasks,
        everything=at(rows.everything, kept, rows.everything.labels),
        unit=owners - (owners > unit).long(),
        units=rows.units - 1,
        weight=rows.weight[kept],
    )


class Laboratory(nn.Module):
    """A model with coordinates of its own for every canary: per clip group a table, a linear map, a head.

    The logit of a row is the number that stands in its row of the table, plus a linear map of its dense
    inputs. All parameters are zero, so a row's gradient is what its label says and lies where its id says.

    Shapes:
        ids: under `canary`, (B, L), 0 for none; numeric (B, WIDTH); logits (B, 1).
    """

    uses_prior = is_residual = False

    def __init__(self, groups: Sequence[str], coordinates: int) -> None:
        super().__init__()
        source = torch.Generator()
        self.tables = {group: Embedding(coordinates + 1, 1, generator=source) for group in groups}
        self.maps = {group: Linear(WIDTH, 1, bias=False, generator=source) for group in groups}
        parts = {
            group: nn.ModuleDict({"prior": self.tables[group], "own": self.maps[group]}) for group in groups
        }
        self.heads = nn.ModuleDict(parts)

    def forward(self, batch: Batch, tasks: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Return the logits of `tasks`."""
        return self.represent(batch, tasks)

    def represent(self, batch: Batch, tasks: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Return the logits of `tasks`, which are all that there is."""
        return {task: self._logit(batch, task) for task in (self.heads if tasks is None else tasks)}

    def logits(
        self,
        representations: Mapping[str, Tensor],
        batch: Batch,
        tasks: Iterable[str],
        *,
        own: bool = True,
    ) -> dict[str, Tensor]:
        """Return those of `tasks`; there is nothing of a merchant's own to leave out."""
        return {task: representations[task] for task in tasks}

    def domain_losses(self, representations: Mapping[str, Tensor], tasks: Iterable[str]) -> None:
        """Return what says that nobody is to be recognised."""

    def moved_by_several(self, parameters: object, tasks: object) -> frozenset[str]:
        """Return nothing: every clip group has a model of its own."""
        return frozenset()

    def learns_in_rounds(self, task: str) -> bool:
        """All of them do."""
        return task in self.heads

    def moved_by(self, parameter: str) -> frozenset[str]:
        """Return the one task that a parameter belongs to: its name is `heads.<task>.<part>.weight`."""
        return frozenset({parameter.split(".")[1]})

    @property
    def encoder(self) -> "Laboratory":
        """Return what says that no feature is hidden at random while training."""
        return self

    def with_hidden(self, batch: Batch, uniform: Callable[[Tensor], Tensor]) -> Batch:
        """Return the batch as it is."""
        return batch

    def head(self, task: str) -> "Laboratory":
        """Return what says that no own part of a head waits, untrained, for the end of the training."""
        return self

    def weighed(self, losses: Losses) -> Losses:
        """Return them as they are."""
        return losses

    def _logit(self, batch: Batch, task: str) -> Tensor:
        logit: Tensor = self.tables[task](batch.ids["canary"]).sum(-2) + self.maps[task](batch.numeric)
        return logit
