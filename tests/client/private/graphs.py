"""What the tests of private training share: models of every kind, batches for them, and a float64 loop."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from client.private import Group, SeededNoise, engine
from shared_model import schema
from shared_model.architectures import ARCHITECTURES
from shared_model.features import Batch
from shared_model.layers import Bank, Embedding, Linear
from shared_model.losses import row_losses
from shared_model.model import MultiTaskModel, build
from tests.shared_model.contracts import CATALOGUE, contract, rows

ROWS = 12
SINGLE = torch.arange(ROWS).flip(0)
"""One row per unit, not in order."""
SEVERAL = torch.tensor([3, 0, 1, 1, 3, 5, 0, 1, 6, 3, 3, 5])
"""Up to four rows per unit, not in order; units 2 and 4 have none."""
UNITS = {"one row per unit": (SINGLE, ROWS), "several rows per unit": (SEVERAL, 7)}

Forward = Callable[[nn.Module, Any], Tensor]
"""`forward(model, inputs)` returns one loss per row."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_group(model: nn.Module, clipping_norm: float = 1.0, noise_std: float = 0.0) -> list[Group]:
    names = tuple(name for name, _ in model.named_parameters())
    return [Group(name="all", parameters=names, clipping_norm=clipping_norm, noise_std=noise_std)]


def stepped(
    mode: str,
    model: nn.Module,
    forward: Forward,
    inputs: Any,
    owners: tuple[Tensor, int],
    groups: list[Group],
    *,
    learning_rate: float = 1.0,
    divisor: float = 1.0,
    seed: int = 0,
    steps: int = 1,
) -> dict[str, Tensor]:
    """How every parameter moved in `steps` steps; the sum of clipped gradients, negated, with noise 0."""
    moved = copy.deepcopy(model)
    made = engine(
        mode, moved, groups, learning_rate=learning_rate, divisor=divisor, noise=SeededNoise(seeded(seed))
    )
    for _ in range(steps):
        made.step(lambda: forward(moved, inputs), *owners)
    made.release()
    after = dict(moved.named_parameters())
    return {name: (after[name] - before).detach() for name, before in model.named_parameters()}


def clipped_loop(
    model: nn.Module,
    forward: Forward,
    inputs_of: Callable[[Tensor], Any],
    owners: tuple[Tensor, int],
    groups: list[Group],
) -> dict[str, Tensor]:
    """The sum of clipped gradients, unit by unit in float64; `inputs_of(rows)` gives the rows' inputs."""
    exact = copy.deepcopy(model).double()
    parameters = dict(exact.named_parameters())
    sums = {name: torch.zeros_like(p) for name, p in parameters.items()}
    of_row, count = owners
    for unit in range(count):
        mine = (of_row == unit).nonzero().squeeze(1)
        if not len(mine):
            continue
        loss = forward(exact, inputs_of(mine)).sum()
        for group in groups:
            wanted = [parameters[name] for name in group.parameters]
            found = torch.autograd.grad(loss, wanted, allow_unused=True, retain_graph=True)
            used = {n: g for n, g in zip(group.parameters, found, strict=True) if g is not None}
            norm = torch.stack([g.square().sum() for g in used.values()]).sum().sqrt() if used else 0.0
            factor = min(1.0, group.clipping_norm / max(float(norm), 1e-300))
            for name, gradient in used.items():
                sums[name] += factor * gradient
    return {name: total.detach() for name, total in sums.items()}


def deviation(moved: dict[str, Tensor], sums: dict[str, Tensor]) -> float:
    """Largest difference of any coordinate between a step of rate 1 and minus the sum, as a share of the sum
    where that is larger than 1."""
    largest = max(float(total.abs().max()) for total in sums.values())
    return max(float((moved[n].double() + sums[n].double()).abs().max()) for n in sums) / max(1.0, largest)


# --- the project's own models -------------------------------------------------------------------------

KINDS: dict[str, Callable[[Any, torch.Generator], Any]] = {
    "numeric": lambda f, g: torch.randn(ROWS, generator=g).masked_fill(torch.arange(ROWS) == 2, torch.nan),
    "categorical": lambda f, g: torch.randint(0, 4, (ROWS,), generator=g),
    "multi": lambda f, g: torch.randint(0, 4, (ROWS, 5), generator=g),
    "text": lambda f, g: torch.randint(0, 6, (ROWS, 7), generator=g),
    "vector": lambda f, g: torch.randn(ROWS, f.length, generator=g),
    "sequence": lambda f, g: torch.randint(0, 4, (ROWS, 6), generator=g),
}
"""Encoded values of a feature, by its kind; few ids, so that they collide, with zeros among them."""

LABELS: dict[str, Callable[[Any, torch.Generator], Tensor]] = {
    "binary": lambda t, g: torch.randint(0, 2, (ROWS,), generator=g).float(),
    "multiclass": lambda t, g: torch.randint(0, len(t.classes), (ROWS,), generator=g).float(),
    "multilabel": lambda t, g: torch.randint(0, 2, (ROWS, len(t.labels)), generator=g).float(),
    "regression": lambda t, g: torch.randn(ROWS, generator=g),
    "count": lambda t, g: torch.randint(0, 4, (ROWS,), generator=g).float(),
    "retrieval": lambda t, g: torch.randint(0, CATALOGUE, (ROWS,), generator=g).float(),
}
"""Labels of a task, by its kind."""


def model_of(architecture: str, seed: int = 0) -> MultiTaskModel:
    """Every kind of feature that the architecture reads, a head of every kind, no parameter zero."""
    made = build(contract(architecture), generator=seeded(seed), catalogues={"next_item": CATALOGUE})
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.15, generator=seeded(seed + parameter.numel()))
    return made


def batch_of(architecture: str, seed: int = 0) -> Batch:
    """Twelve rows; every third label is missing."""
    federation, generator = contract(architecture), seeded(seed)
    made = {n: KINDS[f.kind](f, generator) for n, f in federation.features.items()}
    numeric = [made[n] for n, f in federation.features.items() if isinstance(f, schema.Numeric)]
    ids = {n: made[n] for n, f in federation.features.items() if f.kind in ("categorical", "multi", "text")}
    ids |= {
        f"{n}.{of}": KINDS["sequence"](f, generator)
        for n, f in federation.features.items()
        if isinstance(f, schema.Sequence)
        for of in f.of
    }
    vectors = {n: made[n] for n, f in federation.features.items() if isinstance(f, schema.Vector)}
    labels = {n: LABELS[t.kind](t, generator) for n, t in federation.tasks.items()}
    for position, name in enumerate(labels):
        labels[name][position % 3 :: 3] = torch.nan
    return Batch(numeric=torch.stack(numeric, -1), ids=ids, vectors=vectors, labels=labels)


def task_losses(architecture: str, tasks: list[str] | None = None) -> Forward:
    """The sum of the row losses of `tasks`, of all by default."""
    federation = contract(architecture)
    wanted = list(federation.tasks) if tasks is None else tasks

    def forward(model: nn.Module, inputs: Batch) -> Tensor:
        logits = model(inputs, wanted)
        return torch.stack(
            [row_losses(federation.tasks[t], logits[t], inputs.labels[t]).value for t in wanted]
        ).sum(0)

    return forward


def rows_in_double(batch: Batch) -> Callable[[Tensor], Batch]:
    return lambda chosen: rows(batch, chosen).to("cpu", torch.float64)


EVERY_ARCHITECTURE = sorted(ARCHITECTURES)
EVERY_MODE = ("bookkeeping", "hooks")


# --- one layer at a time ------------------------------------------------------------------------------


class Net(nn.Module):
    """Layers under names, and a function that puts them together."""

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        for position, parameter in enumerate(self.parameters()):
            nn.init.normal_(parameter, std=0.5, generator=seeded(position))


def linear(inputs: int, outputs: int, **options: Any) -> Linear:
    return Linear(inputs, outputs, generator=seeded(), **options)


def bank(experts: int, inputs: int, outputs: int, *, shared_input: bool) -> Bank:
    return Bank(experts, inputs, outputs, shared_input=shared_input, generator=seeded())


def table(rows: int, width: int) -> Embedding:
    return Embedding(rows, width, generator=seeded())
