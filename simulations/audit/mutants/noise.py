"""Broken noise: too little, of another law, not everywhere, not every time, or not secret."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from client.private.clipping import Group
from client.private.engines import Engine
from client.private.noise import Noise, SecureNoise, SeededNoise
from client.private.rounds import PrivateRounds
from shared_model.layers import Embedding, recording
from shared_model.parameters import load, take
from shared_model.privacy.plan import Plan
from simulations.audit.mechanism import HONEST, Mechanism
from simulations.audit.silence import Silence

from .wrapped import Wrapped


def _noise_times(factor: float) -> Mechanism:
    def clip_groups(plan: Plan, names: Sequence[str]) -> tuple[Group, ...]:
        honest = HONEST.clip_groups(plan, names)
        return tuple(replace(group, noise_std=group.noise_std * factor) for group in honest)

    return replace(HONEST, clip_groups=clip_groups)


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


class _TouchedRowsOnly(Wrapped):
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


class _HeadsWithoutNoise(Wrapped):
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


class _NoNoiseWithoutRows(Wrapped):
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


class _ForgetsOwedNoise(Wrapped):
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


class _NoiseInTheFirstStep(Wrapped):
    """Only the first step of a round adds noise."""

    def __init__(self, *arguments: Any, noise: Noise, **constants: Any) -> None:
        self.debtor = _Debtor(noise)
        super().__init__(*arguments, noise=self.debtor, **constants)

    def step(self, losses: Callable[[], Tensor], unit_of_row: Tensor, units: int) -> None:
        self.take(losses, unit_of_row, units)
        self.debtor.pays = False


class _NoiseGrowsWithSteps(Wrapped):
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


class _HalfSecure(SecureNoise):
    """Secret noise, half of it."""

    def normal_(self, out: Tensor) -> Tensor:
        return super().normal_(out).mul_(0.5)


def _constant_seed(rounds_: PrivateRounds, purpose: str, number: int) -> Noise:
    """A debugger's seed that stayed: whoever reads the code can take the noise off again."""
    return SeededNoise(torch.Generator().manual_seed(7))


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
    "noise in the first step only": lambda: replace(HONEST, engine=_NoiseInTheFirstStep),
    "noise x steps, not x their root": lambda: replace(HONEST, engine=_NoiseGrowsWithSteps),
    "half of the secret noise": lambda: replace(HONEST, source=lambda *of: _HalfSecure()),
    "a constant seed in production": lambda: replace(HONEST, source=_constant_seed),
}
"""Name -> the mechanism (`simulations.audit.mutants`)."""
