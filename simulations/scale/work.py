"""One size of a market: drawn, trained and judged in this process, with what a clock and a meter showed.

Merchants live in memory, without files (`simulations.scenarios.memory`); coordinator, strategy and training
are the product's own.
"""

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from client.evaluation import labels_of, logits_of
from server import coordinator
from server.config import RunSettings
from server.coordinator import RoundSummary
from server.roster import Member, registered
from shared_model import files
from shared_model.heads import measure_of
from shared_model.model import MultiTaskModel, build, initial_shared, movers
from shared_model.parameters import from_arrays
from shared_model.protocol import SharedArrays
from shared_model.schema import Federation

from ..benchmarks.memory import peak_bytes
from ..engines import Engine
from ..scenarios import ScenarioMarket, ShopRows, Shops
from ..scenarios.tables import tier
from ..scores import constant_logits
from ..seeds import generator
from ..vectorised.choice import Choice
from ..vectorised.grid import VectorisedGrid
from ..vectorised.shops import MemoryShop, memory_app, memory_market
from ..vectorised.table import Table
from . import plan as plans


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a clock and a memory meter showed; no results.

    Attributes:
        drawing: Seconds until all merchants' rows were there, of processor time as all others here: one
            thread works, so on an idle machine it is what passes.
        rounds: Seconds of every round, with its checkpoint.
        passed: Seconds that passed from the first round to the last, on this machine as it was.
        peak: Bytes, the most that the process held.
        before: Bytes, the most that it had held before the first merchant was drawn.
    """

    drawing: float
    rounds: tuple[float, ...]
    passed: float
    peak: int
    before: int

    @property
    def training(self) -> float:
        """Seconds of all rounds."""
        return sum(self.rounds)

    def per_merchant(self, asked: int) -> float:
        """Return the seconds of a merchant's round, the median over rounds, the first one left out."""
        return median(self.rounds[1:] or self.rounds) / asked


@dataclass(frozen=True, kw_only=True)
class Size:
    """What came of a market of one size.

    Attributes:
        merchants: Of the market.
        asked: Merchants of a round.
        rows: Training rows of all merchants.
        losses: Task -> loss of the released model on test rows of the judged merchants, over that of each
            one's best constant; less is better.
        trained: How merchants trained, in words.
        measured: By clock and meter.
    """

    merchants: int
    asked: int
    rows: int
    losses: dict[str, float]
    trained: tuple[str, ...]
    measured: Measured


def run(file: Path, merchants: int, out: Path) -> None:
    """Run one size of a scale file, unless it is done; leave it in `out`.

    Raises:
        ConfigError: The file says something that is not allowed.
    """
    torch.set_num_threads(1)
    if out.exists():
        return
    plan = plans.load(file)
    size = sized(
        plan.federation,
        plans.market_of(plan, merchants),
        engine=plan.scale.engine,
        seed=plan.scale.seed,
        judged=min(plan.scale.judged, *plan.scale.merchants),
    )
    files.write(out, json.dumps(asdict(size), indent=1).encode(), durable=False)


def read(path: Path) -> Size:
    """Return what `run` left."""
    return parsed(json.loads(path.read_bytes()))


def parsed(written: Mapping[str, Any]) -> Size:
    """Return a size that was turned into JSON."""
    measured = Measured(**{**written["measured"], "rounds": tuple(written["measured"]["rounds"])})
    return Size(**{**written, "trained": tuple(written["trained"]), "measured": measured})


def sized(federation: Federation, market: ScenarioMarket, *, engine: Engine, seed: int, judged: int) -> Size:
    """Draw a market, train it, and judge what was released."""
    began, before = time.process_time(), peak_bytes()
    shops = Shops(market, federation, keep=False)
    tiers: dict[str, str] = {}
    tables: dict[str, Table] = {}
    for name in shops:
        tables[name] = training_rows(shops[name], federation)
        tiers[name] = tier(federation, tables[name].units)
    drawn, clock = time.process_time(), time.perf_counter()
    members = memory_market(federation, tables, seed=seed, tier=tiers)
    grid = VectorisedGrid(
        memory_app(members),
        {name: {"merchant": name} for name in members},
        federation=federation,
        shops=members,
        engine=engine,
    )
    rounds: list[float] = []
    released = _trained(grid, federation, members, seed, rounds)
    ends = np.array([drawn, *rounds])
    measured = Measured(
        drawing=drawn - began,
        rounds=tuple(np.diff(ends).tolist()),
        passed=time.perf_counter() - clock,
        peak=peak_bytes(),
        before=before,
    )
    per_round = federation.federation.merchants_per_round
    return Size(
        merchants=len(members),
        asked=min(per_round or len(members), len(members)),
        rows=sum(len(table.unit) for table in tables.values()),
        losses=_losses(federation, shops, released, judged),
        trained=tuple(dict.fromkeys(_in_words(ran.choice) for ran in grid.ran)),
        measured=measured,
    )


def training_rows(shop: ShopRows, federation: Federation) -> Table:
    """Return a merchant's training rows, in the order of their owners; only these are kept in memory."""
    if federation.privacy is not None:
        private = shop.private(federation)
        rows = private.batch(torch.arange(len(private)))
        return Table(encoded=rows, tasks=private.tasks, unit=private.unit, units=private.units)
    chosen = shop.rows("train")
    owners, unit = np.unique(shop.unit[chosen.numpy()], return_inverse=True)
    order = np.argsort(unit, kind="stable")
    rows = shop.batch(chosen[torch.from_numpy(order)])
    return Table(encoded=rows, tasks=shop.tasks, unit=torch.from_numpy(unit[order]), units=len(owners))


def _trained(
    grid: VectorisedGrid,
    federation: Federation,
    members: Mapping[str, MemoryShop],
    seed: int,
    rounds: list[float],
) -> SharedArrays:
    """Train with the coordinator; enter in `rounds` when each ended."""
    told = {name: shop.describe() for name, shop in members.items()}
    roster = {
        grid.node_ids[name]: Member(name=name, tier=known.tier, tasks=known.tasks)
        for name, known in told.items()
    }

    def on_round(summary: RoundSummary) -> None:
        rounds.append(time.process_time())

    with tempfile.TemporaryDirectory() as folder:
        return coordinator.train(
            grid,
            federation,
            initial_shared(federation, seed),
            settings=RunSettings(directory=Path(folder), lineage="scale", seed=seed, durable=False),
            roster=registered(roster),
            moved_by=movers(federation),
            noise_of=lambda number: generator(seed, "merchants", str(number)),
            on_round=on_round,
        )


def _losses(federation: Federation, shops: Shops, arrays: SharedArrays, judged: int) -> dict[str, float]:
    """Return the mean over merchants of loss over the best constant's, of the shared model alone."""
    model = build(federation, generator=torch.Generator().manual_seed(0))
    from_arrays(model, arrays)
    ratios: dict[str, list[float]] = {}
    for name in shops.names[:judged]:
        shop = shops[name]
        for task in shop.tasks:
            ratio = _ratio(model, shop, task)
            if ratio is not None:
                ratios.setdefault(task, []).append(ratio)
    return {task: float(np.mean(found)) for task, found in ratios.items()}


def _ratio(model: MultiTaskModel, shop: ShopRows, task: str) -> float | None:
    rows, spec = shop.rows("test"), shop.tasks[task]
    if not len(rows):
        return None
    truth = labels_of(shop, task, rows)
    constant = constant_logits(spec, labels_of(shop, task, shop.rows("train"))).expand(len(rows), -1)
    score = measure_of(spec).row_score
    mine = float(score(spec, logits_of(model, shop, task, rows, own=False), truth).mean())
    theirs = float(score(spec, constant, truth).mean())
    return mine / theirs if theirs else None


def _in_words(choice: Choice) -> str:
    how = f"cohorts of {choice.size}" if choice.together else "one after another"
    return f"{how} ({choice.reason})"
