"""Train a federation of simulated merchants in this process, and score what any training released."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
from flwr.serverapp import Grid

from client.app import app
from client.data.dataset import Dataset
from client.evaluation import labels_of, logits_of
from client.merchant import Merchant
from client.reach import merchant_for
from server import coordinator
from server.config import RunSettings
from server.coordinator import RoundSummary
from server.roster import Member, Roster, registered
from server.wire_record import recorded
from shared_model import schema
from shared_model.losses import row_losses
from shared_model.model import MultiTaskModel, build, initial_shared, movers
from shared_model.parameters import from_arrays
from shared_model.protocol import Instruction, SharedArrays, digest

from .baselines import learnable
from .engines import Engine
from .scores import Key, Scores, merged, scores_by, scores_of
from .seeds import generator
from .vectorised import report
from .vectorised.grid import VectorisedGrid
from .vectorised.shops import FileShop, Shop


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where the files of a simulated federation lie.

    Attributes:
        contract: `federation.toml`.
        merchants: Name -> `merchant.toml`.
    """

    contract: Path
    merchants: Mapping[str, Path]

    def node_config(self, name: str, seed: int) -> dict[str, str | int]:
        """Return what Flower's `--node-config` would say at this merchant; paths are absolute."""
        merchant, contract = self.merchants[name].absolute(), self.contract.absolute()
        return {"merchant": str(merchant), "contract": str(contract), "seed": seed}

    def merchant(self, name: str, seed: int) -> Merchant:
        """Return the merchant that the ClientApp reaches under this configuration.

        Raises:
            ConfigError: One of its files says something that is not allowed.
            DataError: Its data cannot be used.
        """
        found = merchant_for(self.node_config(name, seed))
        if not isinstance(found, Merchant):
            raise TypeError(f"Expected the merchant {name} to live in this process.")
        return found


def train(
    site: Site,
    *,
    directory: Path,
    lineage: str,
    seed: int,
    receivers: Collection[str] = (),
    on_round: Callable[[RoundSummary], None] | None = None,
    engine: Engine = "auto",
) -> SharedArrays:
    """Train in process and return the released arrays; go on where an earlier call in `directory` stopped.

    Args:
        site: Contract and merchants.
        directory: Of the run: journal and checkpoints.
        lineage: Names the training.
        seed: Of initial weights and of every merchant's draws.
        receivers: Merchants that take no part in training.
        on_round: Is told of every completed round.
        engine: How merchants train; what was chosen and why is written to `directory` (`vectorised.report`).
    """
    grid = grid_of(site, seed, receivers=receivers, engine=engine)
    members = {
        grid.node_ids[name]: _member(site.merchant(name, seed), name in receivers) for name in site.merchants
    }
    settings = RunSettings(directory=directory, lineage=lineage, seed=seed, durable=False)
    released = coordinate(grid, registered(members), site, settings, on_round)
    report.write(directory, grid.ran)
    return released


def grid_of(
    site: Site, seed: int, *, receivers: Collection[str] = (), engine: Engine = "auto"
) -> VectorisedGrid:
    """Return the grid that reaches the merchants of a site in this process (arguments as in `train`).

    A merchant is opened when it is first asked something.
    """
    nodes = {name: site.node_config(name, seed) for name in site.merchants}
    trainers = [name for name in site.merchants if name not in receivers]
    shops = _Shops(trainers, lambda name: FileShop(site.merchant(name, seed)))
    federation = schema.load_federation(site.contract)
    return VectorisedGrid(app, nodes, federation=federation, shops=shops, engine=engine)


class _Shops(Mapping[str, Shop]):
    """Merchants that are opened when they are looked up, and then kept."""

    def __init__(self, names: Sequence[str], opened: Callable[[str], Shop]) -> None:
        self._names, self._opened = dict.fromkeys(names), cache(opened)

    def __getitem__(self, name: str) -> Shop:
        if name not in self._names:
            raise KeyError(name)
        return self._opened(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def coordinate(
    grid: Grid,
    roster: Roster,
    site: Site,
    settings: RunSettings,
    on_round: Callable[[RoundSummary], None] | None,
) -> SharedArrays:
    """Run the coordinator of a simulated federation over any grid and return the released arrays."""
    federation = schema.load_federation(site.contract)
    with recorded(grid, settings.directory, durable=settings.durable) as recording:
        return coordinator.train(
            recording,
            federation,
            initial_shared(federation, settings.seed),
            settings=settings,
            roster=roster,
            moved_by=movers(federation),
            noise_of=lambda number: generator(settings.seed, "merchants", str(number)),
            on_round=on_round,
        )


def served_scores(merchants: Mapping[str, Merchant], arrays: SharedArrays, lineage: str) -> Scores:
    """Let every merchant adopt what `lineage` released; return the test scores of what it then serves."""
    return merged([_served(name, merchant, arrays, lineage) for name, merchant in merchants.items()])


def prior_scores(
    federation: schema.Federation, datasets: Mapping[str, Dataset], arrays: SharedArrays
) -> Scores:
    """Return the test scores of the released model alone: what a merchant that never trained is served."""
    model = build(federation, generator=torch.Generator().manual_seed(0))
    from_arrays(model, arrays)
    parts = [
        scores_of(model, name, d, "test", tasks=_with_prior(federation, d), own=False)
        for name, d in datasets.items()
    ]
    return merged(parts)


def validation_losses(
    federation: schema.Federation, datasets: Mapping[str, Dataset], arrays: SharedArrays
) -> dict[str, float | None]:
    """Return the mean over merchants of the shared prior's validation loss, per task with a prior."""
    model = build(federation, generator=torch.Generator().manual_seed(0))
    from_arrays(model, arrays)
    losses: dict[str, list[float]] = {}
    for dataset in datasets.values():
        for task in _with_prior(federation, dataset):
            if len(dataset.rows("validation", task=task)):
                losses.setdefault(task, []).append(_validation_loss(model, dataset, task))
    return {task: sum(values) / len(values) for task, values in losses.items()}


def _validation_loss(model: MultiTaskModel, dataset: Dataset, task: str) -> float:
    rows = dataset.rows("validation", task=task)
    logits = logits_of(model, dataset, task, rows, own=False)
    return float(row_losses(dataset.tasks[task], logits, labels_of(dataset, task, rows)).value.mean())


def _member(merchant: Merchant, receives: bool) -> Member:
    facts = merchant.describe()
    return Member(
        name=facts.name, tier=facts.tier, tasks=facts.tasks, role="receive" if receives else facts.role
    )


def release(federation: schema.Federation, arrays: SharedArrays, lineage: str) -> Instruction:
    """Return the instruction that comes with what `lineage` released."""
    return Instruction(
        kind="adopt",
        fingerprint=federation.fingerprint,
        lineage=lineage,
        round=federation.federation.rounds,
        digest=digest(arrays),
    )


def _served(name: str, merchant: Merchant, arrays: SharedArrays, lineage: str) -> Scores:
    merchant.adopt(release(merchant.federation, arrays, lineage), arrays)
    served = merchant.served()
    found: Scores = {}
    for task in merchant.dataset.tasks:
        rows = merchant.dataset.rows("test", task=task)
        if task in merchant.federation.tasks and len(rows):
            predict = partial(served.logits, task)
            found[Key(name, task, "test")] = scores_by(merchant.dataset, task, rows, predict)
    return found


def _with_prior(federation: schema.Federation, dataset: Dataset) -> list[str]:
    return [t for t in learnable(dataset, federation) if federation.tasks[t].head == "residual"]
