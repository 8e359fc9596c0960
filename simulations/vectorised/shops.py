"""Simulated merchants as a cohort sees them: from files, or in memory.

A merchant from files is the product's own (`client.merchant.Merchant`): it checks what it is asked, charges
its ledger, keeps its state and makes its answer itself; only the steps between are taken elsewhere. One in
memory has no disk, so that ten thousand of them fit: it keeps what it trained at home, and its ledger is a
chain of hashes that promises nothing.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Protocol

import torch
from flwr.clientapp import ClientApp
from torch import Tensor

from client.app import client_app
from client.data.private_checks import private_tasks
from client.merchant import Description, Merchant, Opened
from client.rounds import Trained
from client.streams import stream, uniform
from client.training import train_plain, trained_parameters
from shared_model import precision, schema
from shared_model.errors import Refused
from shared_model.parameters import from_arrays, load, take, to_arrays
from shared_model.precision import PRECISIONS
from shared_model.privacy.plan import plan_of, trained_tasks
from shared_model.protocol import Answer, Instruction, Refusal, SharedArrays

from .draws import Draw, Drawing
from .structure import Structure, structure_of
from .table import TrainingRows

if TYPE_CHECKING:
    from client.private.noise import Noise


@dataclass(frozen=True, kw_only=True)
class Key:
    """Merchants with equal keys can be trained together.

    Attributes:
        structure: Of their models.
        tier: Under a privacy policy; otherwise empty, since it decides nothing.
        tasks: That they may train under a privacy policy; otherwise empty, since that decides nothing. In
            memory it does not either: whoever lacks a task neither moves nor noises what it alone trains.
    """

    structure: Structure
    tier: str = ""
    tasks: frozenset[str] = frozenset()


class Shop(Protocol):
    """A simulated merchant."""

    @property
    def key(self) -> Key:
        """With whom it can be trained."""

    @property
    def rows(self) -> int:
        """About how many rows it has, to put merchants of like sizes together."""

    @property
    def catalogues(self) -> Mapping[str, int]:
        """Items per retrieval task."""

    def open_round(self, instruction: Instruction, arrays: SharedArrays) -> Answer | Opened:
        """Return what a round trains from, or the answer that it was given before.

        Raises:
            FedbazaarError: The merchant refuses.
        """

    def draw(self, opened: Opened, drawing: Drawing) -> tuple[Draw | None, str]:
        """Draw the rows of a round, and its noise; None where there is nothing to train on.

        Returns:
            What was drawn, and the head of the ledger that holds the round's charge; empty without privacy.

        Raises:
            FedbazaarError: The budget is spent.
        """

    def close_round(
        self, opened: Opened, shared: SharedArrays, local: Mapping[str, Tensor], ledger: str
    ) -> Answer:
        """Keep what the round left, and return the answer.

        Raises:
            Refused: A number is not finite.
        """


class FileShop:
    """A merchant with a folder of its own."""

    def __init__(self, merchant: Merchant) -> None:
        """Take the merchant that a ClientApp would reach."""
        self._merchant = merchant

    @cached_property
    def key(self) -> Key:
        """See `Shop`."""
        config, federation = self._merchant.config, self._merchant.federation
        structure = structure_of(config, federation)
        if federation.privacy is None:
            return Key(structure=structure)
        tasks = frozenset(t for t in config.tasks if t in private_tasks(config, federation))
        return Key(structure=structure, tier=config.tier, tasks=tasks)

    @cached_property
    def rows(self) -> int:
        """See `Shop`."""
        return len(self._merchant.dataset.rows("train"))

    @cached_property
    def catalogues(self) -> Mapping[str, int]:
        """See `Shop`."""
        return {task: len(items) for task, items in self._merchant.dataset.catalogues.items()}

    def open_round(self, instruction: Instruction, arrays: SharedArrays) -> Answer | Opened:
        """See `Shop`; errors as in `Merchant.train`."""
        return self._merchant.open_round(instruction, arrays)

    def draw(self, opened: Opened, drawing: Drawing) -> tuple[Draw | None, str]:
        """See `Shop`; under a privacy policy the round is charged first."""
        instruction, rounds = opened.instruction, self._merchant.rounds
        if self._merchant.federation.privacy is None:
            source = self._merchant.stream(instruction.lineage, instruction.round)
            return drawing.plain(self._merchant.dataset, source), ""
        from client.private.rounds import PrivateRounds

        assert isinstance(rounds, PrivateRounds)
        charged = rounds.charge(instruction)
        return drawing.private(charged.rows, charged.noise), charged.head

    def close_round(
        self, opened: Opened, shared: SharedArrays, local: Mapping[str, Tensor], ledger: str
    ) -> Answer:
        """See `Shop`."""
        return self._merchant.close_round(opened, shared, {**opened.local, **local}, Trained(ledger, {}, {}))


@dataclass(kw_only=True)
class MemoryShop:
    """A merchant without files, whose seed decides all of its draws.

    Attributes:
        name: Unique in its market.
        federation: The contract.
        examples: Its training rows.
        seed: Of the simulation.
        tier: One of the contract's.
        structure: As a merchant that wants all tasks of the contract.
        first_local: Parameters that stay, before the first round; but for tables of items the same for all
            merchants.
    """

    name: str
    federation: schema.Federation
    examples: TrainingRows
    seed: int
    tier: str
    structure: Structure
    first_local: Mapping[str, Tensor]
    _local: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)
    _ledger: str = field(default="", init=False, repr=False)

    @property
    def key(self) -> Key:
        """See `Shop`."""
        if self.federation.privacy is None:
            return Key(structure=self.structure)
        tasks = frozenset(trained_tasks(self.federation)).union(self.examples.tasks)
        return Key(structure=self.structure, tier=self.tier, tasks=tasks)

    @property
    def rows(self) -> int:
        """See `Shop`."""
        return len(self.examples.unit)

    @property
    def catalogues(self) -> Mapping[str, int]:
        """See `Shop`."""
        return self.examples.catalogues

    def describe(self) -> Description:
        """Return the public facts about the merchant; it trains the priors of all tasks that it has."""
        return Description(name=self.name, tier=self.tier, tasks=frozenset(self.examples.tasks))

    def adopt(self, instruction: Instruction, arrays: SharedArrays) -> None:
        """Acknowledge a release; nothing is served here."""

    def train(self, instruction: Instruction, arrays: SharedArrays) -> Answer:
        """Train one round alone."""
        opened = self.open_round(instruction, arrays)
        model = self.structure.model(self.federation, self.catalogues)
        from_arrays(model, opened.start)
        load(model, opened.local)
        if self.federation.privacy is None:
            train_plain(model, self.examples, self.federation, self._source(instruction))
        else:
            from client.private.training import train_private

            plan = plan_of(self.federation, self.tier)
            train_private(model, self.examples, self.federation, plan, self._noise(instruction))
        shared = to_arrays(model, model.shared_parameters())
        tasks = [t for t in self.examples.tasks if model.learns_in_rounds(t)]
        mine = set(trained_parameters(model, tasks, self.federation.local)) - shared.keys()
        return self.close_round(opened, shared, take(model, mine), self._charged(instruction))

    def open_round(self, instruction: Instruction, arrays: SharedArrays) -> Opened:
        """See `Shop`; nothing is refused."""
        start = precision.rounded(arrays, PRECISIONS["float32"])
        local = {**self.first_local, **self._local} if self._local else self.first_local
        return Opened(instruction=instruction, start=start, local=local, tables={}, memory={})

    def draw(self, opened: Opened, drawing: Drawing) -> tuple[Draw | None, str]:
        """See `Shop`."""
        if self.federation.privacy is None:
            return drawing.plain(self.examples, self._source(opened.instruction)), ""
        draw = drawing.private(self.examples, self._noise(opened.instruction))
        return draw, self._charged(opened.instruction)

    def close_round(
        self, opened: Opened, shared: SharedArrays, local: Mapping[str, Tensor], ledger: str
    ) -> Answer:
        """See `Shop`; only what a round trains is kept."""
        instruction, agreed = opened.instruction, PRECISIONS[self.federation.federation.precision]
        source = partial(stream, self.seed, self.name, f"rounding/{instruction.lineage}", instruction.round)
        answer = precision.encoded(shared, opened.start, agreed, uniform(source))
        shapes = {name: array.shape for name, array in opened.start.items()}
        if problem := precision.problem_with(answer, shapes, agreed):
            raise Refused(Refusal.FAILED, f"training diverged: {problem}. Lower local.learning_rate.")
        self._local.update(local)
        return Answer(answer, ledger)

    def _source(self, instruction: Instruction) -> torch.Generator:
        return stream(self.seed, self.name, instruction.lineage, instruction.round)

    def _noise(self, instruction: Instruction) -> "Noise":
        from client.private.noise import SeededNoise  # Opacus, only where it trains

        return SeededNoise(stream(self.seed, self.name, f"noise/{instruction.lineage}", instruction.round))

    def _charged(self, instruction: Instruction) -> str:
        """Return the next head of what stands for a ledger; empty without privacy."""
        if self.federation.privacy is not None:
            told = f"{self._ledger}/{instruction.lineage}/{instruction.round}"
            self._ledger = hashlib.sha256(told.encode()).hexdigest()
        return self._ledger


def memory_app(shops: Mapping[str, MemoryShop]) -> ClientApp:
    """Return the ClientApp of merchants in memory; a node's config names its merchant under `merchant`."""
    return client_app(lambda context: shops[str(context.node_config["merchant"])])


def memory_market(
    federation: schema.Federation,
    examples: Mapping[str, TrainingRows],
    *,
    seed: int,
    tier: str | Mapping[str, str] = "",
) -> dict[str, MemoryShop]:
    """Return merchants in memory, by name.

    Args:
        federation: The contract.
        examples: Rows of every merchant.
        seed: Of all draws.
        tier: Of all of them, or of each; by default the contract's first.
    """
    structure = Structure(tasks=tuple(sorted(federation.tasks.items())))
    model = structure.model(federation)
    local = take(model, model.local_parameters())
    first = next(iter(federation.tiers))
    return {
        name: MemoryShop(
            name=name,
            federation=federation,
            examples=rows,
            seed=seed,
            tier=(tier if isinstance(tier, str) else tier[name]) or first,
            structure=structure,
            first_local=_with_items(local, rows.catalogues),
        )
        for name, rows in examples.items()
    }


def _with_items(local: Mapping[str, Tensor], catalogues: Mapping[str, int]) -> Mapping[str, Tensor]:
    """Return parameters that stay, with tables of so many items, which start at zero (`RetrievalHead`)."""
    if not catalogues:
        return local  # of all merchants, the same tensors
    found = dict(local)
    for task, items in catalogues.items():
        for name in (f"heads.{task}.own.weight", f"heads.{task}.own.bias"):
            found[name] = local[name].new_zeros(items, *local[name].shape[1:])
    return found
