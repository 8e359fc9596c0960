"""One private round taken apart, so that each part can be watched, and replaced by a broken one.

The audit runs `client.private.training.train_private` itself, not a model of it. `Mechanism` names the parts
that it is made of; inside `release` the parts named there stand in the places of the real ones. So a mutant
differs from what merchants run in exactly one function.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

import client.training
from client.merchant import Merchant
from client.private import training
from client.private.clipping import Group
from client.private.engines import Engine, engine
from client.private.grid import to_grid
from client.private.noise import Noise, SeededNoise
from client.private.rounds import PrivateRounds
from client.private.sampling import poisson
from client.rounds import Trained
from client.state import RoundState
from client.training import trained_parameters
from client.weighting import Memory
from shared_model import schema
from shared_model.losses import Losses, row_losses
from shared_model.model import MultiTaskModel
from shared_model.parameters import load, take
from shared_model.privacy.plan import Plan
from shared_model.protocol import TELEMETRY, Instruction

from .workload import Workload

_MODULES = (training, client.training)
"""Where `train_private` finds its parts; the losses of rows are those of plain training."""


def _as_planned(plan: Plan, units: int) -> Plan:
    return plan


def _own_source(rounds: PrivateRounds, purpose: str, number: int) -> Noise:
    return PrivateRounds._noise(rounds, purpose, number)


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """The parts of a private round; as they are here, those that merchants run.

    Attributes:
        poisson: Who takes part in a step.
        clip_groups: Which parameters are clipped together, to what norm, with how much noise.
        engine: Clips, sums, adds noise, steps.
        row_losses: The loss of every row.
        to_grid: The public grid that a release is rounded to.
        noise: Where noise and coins come from, for one round, given the audit's generator.
        plan: The public constants, given those of the contract and the number of units, which an honest
            mechanism does not look at.
        train: A whole round: charge, then train.
        source: Where the noise of a round comes from at a merchant, given the round's purpose and number.
        local_of: The parameters that stay, as a round begins with them.
    """

    poisson: Callable[[int, float, Noise], Tensor] = poisson
    clip_groups: Callable[[Plan, Sequence[str]], tuple[Group, ...]] = training.clip_groups
    engine: Callable[..., Engine] = engine
    row_losses: Callable[[schema.Task, Tensor, Tensor], Losses] = row_losses
    to_grid: Callable[[Tensor, float], Tensor] = to_grid
    noise: Callable[[torch.Generator], Noise] = SeededNoise
    plan: Callable[[Plan, int], Plan] = _as_planned
    source: Callable[[PrivateRounds, str, int], Noise] = _own_source
    train: Callable[[PrivateRounds, MultiTaskModel, Instruction, Memory], Trained] = PrivateRounds.train
    local_of: Callable[[Merchant, RoundState | None], Mapping[str, Tensor]] = Merchant._local_of

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the parts where `train_private` looks for them; afterwards the real ones stand there again."""
        names = [field.name for field in fields(self)]
        places = [(module, name) for module in _MODULES for name in names if hasattr(module, name)]
        real = {place: getattr(*place) for place in places}
        try:
            _put({(module, name): getattr(self, name) for module, name in places})
            yield
        finally:
            _put(real)


HONEST = Mechanism()
"""What merchants run."""


def release(
    mechanism: Mechanism,
    model: nn.Module,
    rows: Workload,
    federation: schema.Federation,
    plan: Plan,
    generator: torch.Generator,
    *,
    start: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Return what one round of `plan` releases: for every parameter the sum that its change stands for.

    For a plan of one step this is the noisy clipped sum itself. Under `TELEMETRY` stand the noised losses of
    a plan that has them.

    Args:
        mechanism: Its parts.
        model: Set to `start` first, and holds the result of the round afterwards.
        rows: Of the merchant.
        federation: The contract.
        plan: Its constants.
        generator: Of noise and coins.
        start: What the round begins with; None: zeros.
    """
    names = [name for name, _ in model.named_parameters()]
    begun = start or {name: torch.zeros_like(value) for name, value in take(model, names).items()}
    load(model, begun)
    used = mechanism.plan(plan, rows.units)
    with mechanism.in_place():
        told = training.train_private(model, rows, federation, used, mechanism.noise(generator))  # type: ignore[arg-type]
    scale = plan.divisor / plan.learning_rate
    sums = {name: (begun[name] - value) * scale for name, value in take(model, names).items()}
    return sums if told is None else {**sums, TELEMETRY: told}


def jacobian(
    mechanism: Mechanism,
    model: MultiTaskModel,
    rows: Workload,
    federation: schema.Federation,
    plan: Plan,
    generator: torch.Generator,
) -> Tensor:
    """Return all that one step under a rule for conflicts says about everybody, shape (T, P).

    What the rule makes of it is no business of the claim: it looks at nothing else. For the arguments see
    `release`; the model is as it is, and all tasks of `rows` are trained.

    Raises:
        TypeError: The contract has no rule.
    """
    from client.private.conflict import JacobianSteps  # TorchJD takes seconds to import

    tasks, used = list(rows.tasks), mechanism.plan(plan, rows.units)
    with mechanism.in_place():
        groups = training.clip_groups(used, trained_parameters(model, tasks, federation.local))
        noise = mechanism.noise(generator)
        losses, machine = training.stepping(model, groups, tasks, federation, used, noise)
        if not isinstance(machine, JacobianSteps):
            raise TypeError("Expected a contract with a rule for conflicts.")
        batch = partial(losses, model, rows.everything, rows.tasks, tasks, rows.weight)
        return machine.jacobian(batch, rows.unit, rows.units)


def _put(parts: Mapping[tuple[ModuleType, str], Any]) -> None:
    for (module, name), part in parts.items():
        setattr(module, name, part)
