"""Merchants of a scenario in memory, without files: for studies with thousands of them.

Each is drawn when it is asked for, from its own random stream, and kept: what a merchant holds depends on the
scenario, the contract and its number alone. The rows are those that the client reads from the files of the
same scenario (`tests/simulations/scenarios/test_memory.py`).

Notation: N rows of a merchant, U units, B rows of a batch.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from client.data.examples import Split
from client.data.private_build import latest
from client.data.split import PARTS
from client.data.table import KIND
from shared_model import schema
from shared_model.errors import ConfigError
from shared_model.features import Batch
from shared_model.schema import Federation, Task

from .drawing import Drawn, draw
from .options import ScenarioMarket
from .outcomes import OUTCOMES
from .tables import tier
from .world import World


class ShopRows:
    """Encoded rows of one merchant (`client.data.examples.Owned`), read-only.

    Attributes:
        name: Of the merchant.
        tasks: Those that it has.
        rows_of: Task to row kind, which is that of a ready table.
        stored: All rows with their labels; ids are int32 here.
        part: Part of the split of every row (`client.data.split.PARTS`), shape (N,).
    """

    def __init__(self, world: World, drawn: Drawn) -> None:
        """Encode what was drawn."""
        self.name = drawn.character.name
        self.tasks: Mapping[str, Task] = {task: world.contract.tasks[task] for task in drawn.labels}
        self.stored = _encoded(world, drawn)
        self.part = world.part(drawn.day)
        self._day, self._shopper = drawn.day.astype(np.int16), drawn.shopper.astype(np.int32)

    @cached_property
    def unit(self) -> NDArray[np.int64]:
        """Shopper of every row, numbered from 0, shape (N,)."""
        return np.unique(self._shopper, return_inverse=True)[1].astype(np.int64)

    @property
    def rows_of(self) -> Mapping[str, str]:
        """Task to the kind of its rows."""
        return dict.fromkeys(self.tasks, KIND)

    def __len__(self) -> int:
        return len(self.part)

    def rows(self, split: Split, *, kind: str | None = None, task: str | None = None) -> Tensor:
        """Return row numbers of a split (see `client.data.examples.Examples`); all labels are known."""
        if kind not in (None, KIND) or (task is not None and task not in self.tasks):
            return torch.zeros(0, dtype=torch.long)
        return torch.from_numpy(np.flatnonzero(self.part == PARTS.index(split)))

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        """Return the encoded rows with the labels of `tasks` (of all, by default)."""
        return _selected(self.stored, rows, self.tasks if tasks is None else tasks)

    def private(self, contract: Federation) -> "PrivateShopRows":
        """Return the training rows of which each belongs to one unit, as a contract with privacy asks.

        Raises:
            ValueError: The contract has no privacy.
        """
        if contract.privacy is None:
            raise ValueError("Expected a contract with a [privacy] table.")
        training = np.flatnonzero(self.part == PARTS.index("train"))
        unit = self.unit[training] if contract.privacy.unit == "shopper" else training
        nothing, most = np.zeros(len(training), np.int64), np.array([contract.privacy.max_records])
        order = latest(unit, nothing, self._day[training], most=most)
        owner = np.unique(unit[order], return_inverse=True)[1]
        return PrivateShopRows(self, contract, training[order], owner)


class PrivateShopRows:
    """Training rows in the order of their units (`client.data.examples.PrivateExamples`), read-only.

    Attributes:
        tasks: What is trained.
        units: U.
        unit: Of every row, ascending, shape (N,).
        weight: Of every row's loss, 1, shape (N,).
    """

    def __init__(
        self, shop: ShopRows, contract: Federation, order: NDArray[np.int64], owner: NDArray[np.int64]
    ) -> None:
        """View rows `order` of a merchant, which belong to `owner`."""
        self.tasks = {name: t for name, t in shop.tasks.items() if name in _trained(contract)}
        self.unit = torch.from_numpy(owner.astype(np.int64))
        self.units = int(owner.max()) + 1 if len(owner) else 0
        self.weight = torch.ones(len(owner))
        self._shop, self._order = shop, torch.from_numpy(order)
        across = set(schema.reads_across_shoppers(contract))
        numbers = [n for n, f in contract.features.items() if isinstance(f, schema.Numeric)]
        self._missing = [place for place, name in enumerate(numbers) if name in across]
        self._ends = torch.searchsorted(self.unit, torch.arange(self.units), right=True)

    def __len__(self) -> int:
        return len(self._order)

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        """Return the encoded rows; what is computed across shoppers is missing."""
        found = _selected(self._shop.stored, self._order[rows], self.tasks if tasks is None else tasks)
        found.numeric[:, self._missing] = torch.nan
        return found

    def rows_of_units(self, drawn: Tensor) -> Tensor:
        """Return the numbers of the rows of some units, in the order of `drawn`."""
        ends = self._ends[drawn]
        counts = ends - torch.where(drawn > 0, self._ends[(drawn - 1).clamp_min(0)], 0)
        before = counts.cumsum(0) - counts
        return torch.arange(int(counts.sum())) + torch.repeat_interleave(ends - counts - before, counts)


class Shops(Mapping[str, ShopRows]):
    """All merchants of a scenario, drawn when they are asked for.

    Attributes:
        world: What they have in common.
        names: All merchants.
    """

    def __init__(self, options: ScenarioMarket, contract: Federation, *, keep: bool = True) -> None:
        """Draw nothing yet.

        Args:
            options: The scenario; its own `contract` is not read.
            contract: The agreement.
            keep: Keep what was drawn once; without, memory is that of one merchant.

        Raises:
            ConfigError: The contract asks for a choice of items, whose catalogue is made from files.
        """
        for name, task in contract.tasks.items():
            if isinstance(task, schema.Retrieval):
                allowed = "a task of another kind, or a scenario whose merchants are written as files"
                raise ConfigError("the contract", f"tasks.{name}.kind", task.kind, allowed)
        self.world = World(options, contract)
        self.names = self.world.names
        self._numbers = {name: number for number, name in enumerate(self.names)}
        self._keep = keep
        self._drawn: dict[str, ShopRows] = {}

    def shop(self, name: str) -> ShopRows:
        """Return the rows of a merchant.

        Raises:
            KeyError: There is no such merchant.
        """
        if name in self._drawn:
            return self._drawn[name]
        found = ShopRows(self.world, draw(self.world, self._numbers[name]))
        if self._keep:
            self._drawn[name] = found
        return found

    def private(self, name: str) -> PrivateShopRows:
        """Return the private view of a merchant's training rows (see `shop`)."""
        return self.shop(name).private(self.world.contract)

    def tier(self, name: str) -> str:
        """Return the contract's tier that a merchant declares."""
        shop = self.shop(name)
        return tier(self.world.contract, len(np.unique(shop.unit[shop.part == PARTS.index("train")])))

    def __getitem__(self, name: str) -> ShopRows:
        return self.shop(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _encoded(world: World, drawn: Drawn) -> Batch:
    arrays: dict[str, NDArray[Any]] = {"numeric": np.zeros((len(drawn.day), 0), np.float32)}
    for one, behind in zip(world.inputs, drawn.behind, strict=True):
        arrays |= one.encoded(behind, drawn.character.name)
    labels = {
        task: torch.from_numpy(OUTCOMES[spec.kind].encoded(spec, label))
        for task, label in drawn.labels.items()
        if (spec := world.contract.tasks[task])
    }
    return Batch(
        numeric=torch.from_numpy(arrays["numeric"]),
        ids=_named(arrays, "ids."),
        vectors=_named(arrays, "vectors."),
        labels=labels,
    )


def _named(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): torch.from_numpy(a) for n, a in arrays.items() if n.startswith(prefix)}


def _selected(stored: Batch, rows: Tensor, tasks: Iterable[str]) -> Batch:
    return Batch(
        numeric=stored.numeric.index_select(0, rows),
        ids={name: t.index_select(0, rows).long() for name, t in stored.ids.items()},
        vectors={name: t.index_select(0, rows) for name, t in stored.vectors.items()},
        labels={task: stored.labels[task].index_select(0, rows) for task in tasks},
    )


def _trained(contract: Federation) -> set[str]:
    """Names of the tasks that a merchant with a ready table trains (`client.data.private_checks`)."""
    at_home = {*schema.with_labels(contract, "at_home"), *schema.with_labels(contract, "noised")}
    return set(contract.tasks) - at_home
