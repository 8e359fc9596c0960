"""What joining costs a merchant: bytes as recorded, work as it is measured here, privacy by the ledger."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np

from client.merchant import Merchant
from client.private.ledgers import ledger_file
from server.wire_record import RECORD
from shared_model import journal, npy, traffic
from shared_model.model import initial_shared
from shared_model.precision import PRECISIONS, rounded
from shared_model.privacy.ledger import Limit, read_charges
from shared_model.privacy.limits import spent
from shared_model.protocol import Instruction, digest
from shared_model.row_blocks import schedule_of, travelling

from .. import federated, partition
from .report import Cost, Seconds
from .trainings import Trainings

_ROUNDS = 5
"""So many are timed; the first, which reads more, does not count."""

T = TypeVar("T")


def cost(trainings: Trainings, name: str) -> Cost:
    """Return what one level costs one merchant, in one training.

    Bytes are of arrays, without the few hundred of an instruction and what transport adds.
    """
    bench, seed = trainings.bench, trainings.seeds[0]
    shapes = {name: array.shape for name, array in initial_shared(bench.federation, seed).items()}
    down = traffic.of_mean_round(bench.federation, shapes).down
    release = sum(npy.size(shape, np.dtype(np.float32)) for shape in shapes.values())
    up, rounds = _recorded(trainings.directory(seed) / RECORD, name)
    policy = bench.federation.privacy
    return Cost(
        level=trainings.level,
        role=bench.site.merchant(name, seed).describe().role,
        rounds=rounds,
        bytes_down=down,
        bytes_up=round(up / rounds) if rounds else 0,
        bytes_in_all=rounds * down + up + release,
        seconds=_worked(trainings, name),
        epsilon=_spent(trainings, name),
        delta=None if policy is None else policy.delta,
    )


def _worked(trainings: Trainings, name: str) -> Seconds:
    """Time a copy of the merchant, which is removed afterwards."""
    bench, seed = trainings.bench, trainings.seeds[0]
    folder = bench.out / "timed"
    try:
        market = replace(bench.market, merchants={name: bench.market.merchants[name]})
        (path,) = partition.write(market, folder)
        opened, merchant = _timed(lambda: Merchant.open(path, bench.site.contract, seed=seed))
        rounds = _rounds(merchant, trainings) if merchant.describe().role == "train" else [0.0]
        arrays = trainings.arrays(seed)
        release = federated.release(bench.federation, arrays, "timed")
        adopted, _ = _timed(lambda: merchant.adopt(release, arrays))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Seconds(open=opened, round=median(rounds), adopt=adopted)


def _rounds(merchant: Merchant, trainings: Trainings) -> list[float]:
    """Return the seconds of a few rounds, all from the first arrays."""
    contract = trainings.bench.federation
    agreed, schedule = PRECISIONS[contract.federation.precision], schedule_of(contract)
    shared = initial_shared(contract, trainings.seeds[0])
    found = []
    for number in range(1, min(_ROUNDS, contract.federation.rounds) + 1):
        arrays = rounded(travelling(shared, schedule.rows(number)), agreed)
        asked = Instruction(
            fingerprint=contract.fingerprint,
            lineage="timed",
            round=number,
            digest=digest(arrays),
            merchant=merchant.config.name,
            answered=number - 1,
        )
        seconds, _ = _timed(partial(merchant.train, asked, arrays))
        found.append(seconds)
    return found[1:] or found


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


def _recorded(path: Path, name: str) -> tuple[int, int]:
    """Return the bytes of arrays that the merchant answered with, and in how many rounds."""
    rounds: dict[int, int] = {}
    for line in journal.read(path):
        if line["event"] == "reply" and line["merchant"] == name and line["type"].startswith("train"):
            rounds[line["round"]] = sum(a["bytes"] for a in line["records"]["arrays"]["arrays"].values())
    return sum(rounds.values()), len(rounds)


def _spent(trainings: Trainings, name: str) -> float | None:
    """Return the epsilon of one training by the merchant's ledger; zero where it released nothing."""
    policy, seed = trainings.bench.federation.privacy, trainings.seeds[0]
    if policy is None:
        return None
    folder = trainings.bench.site.merchant(name, seed).config.ledger
    file = ledger_file(folder, seed=seed, lineage=trainings.lineage(seed))
    limit = Limit(policy.epsilon, policy.delta, trainings.bench.federation.fingerprint)
    return spent(read_charges(file), limit) if file.exists() else 0.0
