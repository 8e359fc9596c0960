"""Broken mechanisms, each in exactly one part: the proof that the auditor has teeth.

All of them are mistakes that somebody made, or advised, in public. Every one must be refuted by a certificate
or a bound (`caught`); the honest mechanism by none.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from client.merchant import Merchant
from client.private import rounds
from client.private.clipping import Group
from client.private.engines import Engine, engine
from client.private.noise import Noise, SecureNoise, SeededNoise
from client.private.rounds import PrivateRounds
from client.private.sampling import poisson
from client.rounds import Trained
from client.state import RoundState, load_serving
from shared_model import schema
from shared_model.heads import Losses, row_losses
from shared_model.layers import Embedding, recording
from shared_model.model import MultiTaskModel
from shared_model.parameters import load, take
from shared_model.privacy.plan import Plan
from shared_model.protocol import Instruction

from .mechanism import HONEST, Mechanism
from .silence import Silence

# --- noise and clipping -------------------------------------------------------------------------------


def _noise_times(factor: float) -> Mechanism:
    def clip_groups(plan: Plan, names: Sequence[str]) -> tuple[Group, ...]:
        honest = _honest_groups(plan, names)
        return tuple(replace(group, noise_std=group.noise_std * factor) for group in honest)

    return replace(HONEST, clip_groups=clip_groups)


def _no_clip(plan: Plan, names: Sequence[str]) -> tuple[Group, ...]:
    return tuple(replace(group, clipping_norm=float("inf")) for group in _honest_groups(plan, names))


def _clip_per_layer(plan: Plan, names: Sequence[str]) -> tuple[Group, ...]:
    """Every parameter gets a whole clipping norm, and the noise of one."""
    return tuple(
        replace(group, name=name, parameters=(name,))
        for group in _honest_groups(plan, names)
        for name in group.parameters
    )


def _honest_groups(plan: Plan, names: Sequence[str]) -> tuple[Group, ...]:
    """Return what the honest mechanism clips."""
    return HONEST.clip_groups(plan, names)


class _Laplace:
    """Noise of the right size and another shape."""

    def __init__(self, generator: torch.Generator) -> None:
        self._inner = SeededNoise(generator)

    def normal_(self, out: Tensor) -> Tensor:
        u = self._inner.uniform_(torch.empty_like(out)).sub_(0.5)
        return out.copy_(-u.sign() * torch.log1p(-2 * u.abs()) / 2**0.5)

    def uniform_(self, out: Tensor) -> Tensor:
        return self._inner.uniform_(out)


def _one_seed(generator: torch.Generator) -> Noise:
    return SeededNoise(torch.Generator().manual_seed(7))


# --- engines ------------------------------------------------------------------------------------------


class _Wrapped:
    """Around a real engine, a fresh one for every step, so that the whole model lies open between steps."""

    def __init__(
        self,
        mode: Any,
        model: nn.Module,
        groups: Sequence[Group],
        *,
        learning_rate: float,
        divisor: float,
        noise: Noise,
    ) -> None:
        self.model, self.rate = model, learning_rate / divisor
        constants: dict[str, Any] = {"learning_rate": learning_rate, "divisor": divisor, "noise": noise}
        self.fresh = partial(engine, mode, model, self.groups(groups), **constants)

    def groups(self, groups: Sequence[Group]) -> Sequence[Group]:
        return groups

    def step(self, losses: Callable[[], Tensor], unit_of_row: Tensor, units: int) -> None:
        self.take(losses, unit_of_row, units)

    def take(self, losses: Callable[[], Tensor], unit_of_row: Tensor, units: int) -> None:
        """Take one real step, with all its noise."""
        inner: Engine = self.fresh()
        inner.step(losses, unit_of_row, units)
        inner.release()

    def release(self) -> None:
        """Nothing is owed."""


class _ClipPerBatch(_Wrapped):
    """The sum of the whole batch is clipped, as if one shopper owned all rows."""

    def step(self, losses: Callable[[], Tensor], unit_of_row: Tensor, units: int) -> None:
        self.take(losses, torch.zeros_like(unit_of_row), 1)


class _TouchedRowsOnly(_Wrapped):
    """Rows of a table that no shopper read get no noise: sparse, fast, and a list of who reads what."""

    def step(self, losses: Callable[[], Tensor], unit_of_row: Tensor, units: int) -> None:
        before = take(self.model, [name for name, _ in self.model.named_parameters()])
        with torch.no_grad(), recording() as tape:
            if len(unit_of_row):
                losses()
        self.take(losses, unit_of_row, units)
        read = {id(r.layer): r.input.flatten() for r in tape if isinstance(r.layer, Embedding)}
        for name, layer in self.model.named_modules():
            if isinstance(layer, Embedding):
                untouched = torch.ones(len(layer.weight), dtype=torch.bool)
                untouched[read.get(id(layer), torch.zeros(0, dtype=torch.long))] = False
                kept = torch.where(untouched.unsqueeze(1), before[f"{name}.weight"], layer.weight.detach())
                load(self.model, {f"{name}.weight": kept})


class _HeadsWithoutNoise(_Wrapped):
    """Only what is released is clipped and noised; heads take ordinary steps."""

    def groups(self, groups: Sequence[Group]) -> Sequence[Group]:
        self.heads = [n for group in groups for n in group.parameters if ".own." in n]
        return [replace(g, parameters=tuple(n for n in g.parameters if n not in self.heads)) for g in groups]

    def step(self, losses: Callable[[], Tensor], unit_of_row: Tensor, units: int) -> None:
        own = [p.requires_grad_() for n, p in self.model.named_parameters() if n in self.heads]
        gradients = torch.autograd.grad(losses().sum(), own) if own and len(unit_of_row) else ()
        self.take(losses, unit_of_row, units)
        with torch.no_grad():
            for parameter, gradient in zip(own, gradients, strict=False):
                parameter.sub_(self.rate * gradient)


class _NoNoiseWithoutRows(_Wrapped):
    """An empty batch is skipped."""

    def step(self, losses: Callable[[], Tensor], unit_of_row: Tensor, units: int) -> None:
        if len(unit_of_row):
            self.take(losses, unit_of_row, units)


class _Debtor:
    """The noise of a source, until nothing is paid any more."""

    def __init__(self, inner: Noise) -> None:
        self._inner, self.pays = inner, True

    def normal_(self, out: Tensor) -> Tensor:
        return self._inner.normal_(out) if self.pays else out.zero_()

    def uniform_(self, out: Tensor) -> Tensor:
        return self._inner.uniform_(out)


class _ForgetsOwedNoise(_Wrapped):
    """Rows that nobody read are released without the noise that they are owed."""

    def __init__(self, *arguments: Any, noise: Noise, **constants: Any) -> None:
        self.debtor = _Debtor(noise)
        super().__init__(*arguments, noise=self.debtor, **constants)

    def take(self, losses: Callable[[], Tensor], unit_of_row: Tensor, units: int) -> None:
        inner: Engine = self.fresh()
        inner.step(losses, unit_of_row, units)
        self.debtor.pays = False
        inner.release()
        self.debtor.pays = True


class _SkipsBrokenSteps(_Wrapped):
    """A step whose loss is not finite is not taken."""

    def step(self, losses: Callable[[], Tensor], unit_of_row: Tensor, units: int) -> None:
        with torch.no_grad():
            sound = not len(unit_of_row) or bool(losses().isfinite().all())
        if sound:
            self.take(losses, unit_of_row, units)


class _NoiseInTheFirstStep(_Wrapped):
    """Only the first step of a round adds noise."""

    def __init__(self, *arguments: Any, noise: Noise, **constants: Any) -> None:
        self.debtor = _Debtor(noise)
        super().__init__(*arguments, noise=self.debtor, **constants)

    def step(self, losses: Callable[[], Tensor], unit_of_row: Tensor, units: int) -> None:
        self.take(losses, unit_of_row, units)
        self.debtor.pays = False


class _NoiseGrowsWithSteps(_Wrapped):
    """Noise is added once, at the end: that of one step times the number of steps, not its root."""

    def __init__(self, *arguments: Any, noise: Noise, **constants: Any) -> None:
        self.noise, self.owed = noise, 0
        super().__init__(*arguments, noise=Silence(), **constants)

    def groups(self, groups: Sequence[Group]) -> Sequence[Group]:
        self.stds = {name: group.noise_std for group in groups for name in group.parameters}
        return groups

    def step(self, losses: Callable[[], Tensor], unit_of_row: Tensor, units: int) -> None:
        self.take(losses, unit_of_row, units)
        self.owed += 1

    def release(self) -> None:
        now, owed = take(self.model, self.stds), self.owed * self.rate
        drawn = {name: self.noise.normal_(torch.empty_like(value)) for name, value in now.items()}
        load(self.model, {name: now[name] + owed * self.stds[name] * drawn[name] for name in now})
        self.owed = 0


# --- samplers -----------------------------------------------------------------------------------------


class _Shuffled:
    """Epochs over a shuffled order, in batches of one size."""

    def __init__(self) -> None:
        self._waiting: list[Tensor] = []

    def __call__(self, units: int, rate: float, noise: Noise) -> Tensor:
        if not self._waiting or int(sum(len(b) for b in self._waiting)) > units:
            order = noise.uniform_(torch.empty(units, dtype=torch.float64)).argsort()
            self._waiting = list(torch.split(order, max(1, round(rate * units))))
        return self._waiting.pop().sort().values


def _fixed_size(units: int, rate: float, noise: Noise) -> Tensor:
    order = noise.uniform_(torch.empty(units, dtype=torch.float64)).argsort()
    return order[: round(rate * units)].sort().values


def _rate_plus_5_percent(units: int, rate: float, noise: Noise) -> Tensor:
    return poisson(units, min(1.0, 1.05 * rate), noise)


def _at_most_the_expected(units: int, rate: float, noise: Noise) -> Tensor:
    return poisson(units, rate, noise)[: round(rate * units)]


class _OnceARound:
    """The first step's sample serves the whole round."""

    def __init__(self) -> None:
        self._last: tuple[Noise, Tensor] | None = None

    def __call__(self, units: int, rate: float, noise: Noise) -> Tensor:
        if self._last is None or self._last[0] is not noise:
            self._last = noise, poisson(units, rate, noise)
        return self._last[1]


# --- sources of noise in production -------------------------------------------------------------------


class _HalfSecure(SecureNoise):
    """Secret noise, half of it."""

    def normal_(self, out: Tensor) -> Tensor:
        return super().normal_(out).mul_(0.5)


def _constant_seed(rounds_: PrivateRounds, purpose: str, number: int) -> Noise:
    """A debugger's seed that stayed: whoever reads the code can take the noise off again."""
    return SeededNoise(torch.Generator().manual_seed(7))


# --- constants and losses -----------------------------------------------------------------------------


def _divisor_from_n(plan: Plan, units: int) -> Plan:
    return replace(plan, divisor=max(1.0, float(round(units * plan.sampling_rate))))


def _broadcast(task: schema.Task, logits: Tensor, labels: Tensor) -> Losses:
    """Half the squared error of predictions (B, 1) against labels (B,): a matrix, and then its mean."""
    honest = row_losses(task, logits, labels)
    if not isinstance(task, schema.Regression):
        return honest
    return Losses(0.5 * (logits - labels.nan_to_num(0.0)).square().mean(-1), honest.present)


def _charged_afterwards(rounds_: PrivateRounds, model: MultiTaskModel, instruction: Instruction) -> Trained:
    """Train first, and write down what it cost when it is known to have worked."""
    own = rounds_._rows_for(instruction)
    noise = rounds_._noise(f"noise/{instruction.lineage}", instruction.round)
    vars(rounds)["train_private"](model, own, rounds_._federation, rounds_._plan, noise)
    return Trained(rounds_._charge(instruction, "round"), {})


def _begins_with_what_is_served(merchant: Merchant, last: RoundState | None) -> Mapping[str, Tensor]:
    """Warm-start the next round from the serving heads, which fit so well."""
    served = load_serving(merchant.config.state)
    return {**HONEST.local_of(merchant, last), **(served.heads if served else {})}


MUTANTS: dict[str, Callable[[], Mechanism]] = {
    "noise x 0.99": lambda: _noise_times(0.99),
    "noise x 0.95": lambda: _noise_times(0.95),
    "noise x 0.5": lambda: _noise_times(0.5),
    "no noise": lambda: _noise_times(0.0),
    "Laplace noise": lambda: replace(HONEST, noise=_Laplace),
    "one seed for every step": lambda: replace(HONEST, noise=_one_seed),
    "noise on touched rows only": lambda: replace(HONEST, engine=_TouchedRowsOnly),
    "no noise without rows": lambda: replace(HONEST, engine=_NoNoiseWithoutRows),
    "owed noise forgotten": lambda: replace(HONEST, engine=_ForgetsOwedNoise),
    "heads without noise": lambda: replace(HONEST, engine=_HeadsWithoutNoise),
    "no clip": lambda: replace(HONEST, clip_groups=_no_clip),
    "clip per batch": lambda: replace(HONEST, engine=_ClipPerBatch),
    "per-layer clip accounted as one": lambda: replace(HONEST, clip_groups=_clip_per_layer),
    "broken steps skipped": lambda: replace(HONEST, engine=_SkipsBrokenSteps),
    "shuffled batches": lambda: replace(HONEST, poisson=_Shuffled()),
    "batches of a fixed size": lambda: replace(HONEST, poisson=_fixed_size),
    "batches cut to a size": lambda: replace(HONEST, poisson=_at_most_the_expected),
    "sampling rate + 5 %": lambda: replace(HONEST, poisson=_rate_plus_5_percent),
    "one sample for a round": lambda: replace(HONEST, poisson=_OnceARound()),
    "noise in the first step only": lambda: replace(HONEST, engine=_NoiseInTheFirstStep),
    "noise x steps, not x their root": lambda: replace(HONEST, engine=_NoiseGrowsWithSteps),
    "half of the secret noise": lambda: replace(HONEST, source=lambda *of: _HalfSecure()),
    "a constant seed in production": lambda: replace(HONEST, source=_constant_seed),
    "charged after the release": lambda: replace(HONEST, train=_charged_afterwards),
    "serving heads flow back": lambda: replace(HONEST, local_of=_begins_with_what_is_served),
    "divisor from n": lambda: replace(HONEST, plan=_divisor_from_n),
    "[B, 1] loss broadcast": lambda: replace(HONEST, row_losses=_broadcast),
}
"""Name -> the mechanism, made anew since some remember what they drew."""
