"""A cohort ends where its merchants would have ended one by one."""

from collections.abc import Collection, Mapping, Sequence

import pytest
import torch
from torch import Tensor

from client.training import train_plain
from shared_model.model import MultiTaskModel
from shared_model.parameters import load, take
from shared_model.schema import Federation
from simulations.vectorised.cohort import Entrant, trained
from simulations.vectorised.draws import Drawing
from simulations.vectorised.stack import Stack
from simulations.vectorised.structure import Structure
from simulations.vectorised.table import Table

from .made_up import BOTTOMS, contract, shop

Parameters = dict[str, Tensor]
SIZES = (30, 4, 17, 55, 10)


def model_of(federation: Federation, catalogues: Mapping[str, int] | None = None) -> MultiTaskModel:
    structure = Structure(tasks=tuple(federation.tasks.items()))
    return structure.model(federation, catalogues).double()


def stream(merchant: int, number: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * number + merchant)


def in_turn(
    federation: Federation, shops: Sequence[Table], shared: Parameters, local: list[Parameters], number: int
) -> list[Parameters]:
    """One round, one merchant after another."""
    found = []
    for merchant, table in enumerate(shops):
        model = model_of(federation, table.catalogues)
        load(model, {**shared, **local[merchant]})
        train_plain(model, table, federation, stream(merchant, number))
        found.append(take(model, [name for name, _ in model.named_parameters()]))
    return found


def together(
    federation: Federation, shops: Sequence[Table], shared: Parameters, local: list[Parameters], number: int
) -> list[Parameters]:
    """One round, all merchants at once."""
    drawing = drawing_of(federation)
    entrants = []
    for merchant, table in enumerate(shops):
        draw = drawing.plain(table, stream(merchant, number))
        assert draw is not None
        entrants.append(Entrant(draw=draw, local=local[merchant]))
    return everything(drawing, trained(drawing, shared, entrants), local)


def drawing_of(federation: Federation, tasks: Collection[str] | None = None) -> Drawing:
    structure = Structure(tasks=tuple(federation.tasks.items()))
    return Drawing(federation, structure, tier="any", tasks=tasks, model=model_of(federation))


def everything(drawing: Drawing, stack: Stack, local: list[Parameters]) -> list[Parameters]:
    """All parameters of all merchants; those that the round does not read are what they were."""
    return [own | {name: stack.of(m, name).clone() for name in drawing.read} for m, own in enumerate(local)]


def run(engine, federation: Federation, rounds: int, sizes: Sequence[int] = SIZES) -> Parameters:  # type: ignore[no-untyped-def]
    """Return all parameters after some rounds of plain averaging."""
    shops = [shop(federation, number, rows=rows) for number, rows in enumerate(sizes)]
    model = model_of(federation)
    shared = take(model, model.shared_parameters())
    local = [local_of(federation, table) for table in shops]
    for number in range(rounds):
        found = engine(federation, shops, shared, local, number)
        shared = {name: torch.stack([f[name] for f in found]).mean(0) for name in shared}
        local = [{name: f[name] for name in local[0]} for f in found]
    return shared | {f"{m}/{name}": value for m, own in enumerate(local) for name, value in own.items()}


def local_of(federation: Federation, table: Table) -> Parameters:
    model = model_of(federation, table.catalogues)
    return take(model, model.local_parameters())


def furthest(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.parametrize("bottom", BOTTOMS)
def test_every_bottom_ends_where_the_loop_ends(bottom: str) -> None:
    federation = contract(bottom)
    assert furthest(run(in_turn, federation, 2), run(together, federation, 2)) < 1e-9


@pytest.mark.parametrize("bottom", ["shared_bottom", pytest.param("ple", marks=pytest.mark.slow)])
def test_twenty_rounds_end_where_the_loop_ends(bottom: str) -> None:
    federation = contract(bottom)
    assert furthest(run(in_turn, federation, 20), run(together, federation, 20)) < 1e-6
