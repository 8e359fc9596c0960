"""The noise of a private cohort: every merchant's own, where it belongs.

Notation: as in the package; P trained parameters outside large tables.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from client.private.clipping import Group
from client.private.noise import Noise

from .draws import Draw, tables_of
from .stack import Stack


class Moved(NamedTuple):
    """Numbers that lie together and are clipped together: a parameter, and those of the model in it."""

    parameter: nn.Parameter
    names: tuple[str, ...]
    group: Group


class NoiseOf:
    """Adds the noise of a step to the parameters of a cohort."""

    def __init__(
        self,
        stack: Stack,
        moved: Sequence[Moved],
        named: Mapping[str, Group],
        rate: float,
        draws: Sequence[Draw],
        mine: Sequence[Collection[str]],
    ) -> None:
        """Take the noise of all steps.

        Args:
            stack: The cohort's parameters.
            moved: Those that any merchant trains.
            named: Their clip groups, in the order in which noise is drawn.
            rate: Of a unit of noise.
            draws: What every merchant drew.
            mine: The names of the parameters that every merchant trains, and so has noise for.
        """
        self._draws, self._mine, self._rate = draws, mine, rate
        tables = tables_of(stack.model)
        self._sizes = {n: stack.model.get_parameter(n).data[0].numel() for n in named if n not in tables}
        self._drawn = [
            self._widened(d.noise, m) for d, m in zip(draws, mine, strict=True) if d.noise is not None
        ]
        self._dense = [one for one in moved if one.names[0] not in tables]
        self._tables = [one for one in moved if one.names[0] in tables and one.group.noise_std]

    def sources(self, name: str) -> list[Noise | None]:
        """Return from where every merchant draws the noise of a table; None where it does not train it."""
        return [d.source if name in m else None for d, m in zip(self._draws, self._mine, strict=True)]

    def _widened(self, noise: Tensor, mine: Collection[str]) -> Tensor:
        """Return a merchant's noise, (K, ...), at the places of all parameters, (K, P); 0 for others'."""
        if all(name in mine for name in self._sizes):
            return noise
        has = torch.tensor([name in mine for name in self._sizes])
        where = has.repeat_interleave(torch.tensor(list(self._sizes.values()))).nonzero().squeeze(1)
        return noise.new_zeros(len(noise), sum(self._sizes.values())).index_copy_(1, where, noise)

    def add(self, step: int) -> None:
        """Add to every number the noise of its group."""
        if self._dense:
            drawn = torch.stack([noise[step] for noise in self._drawn])
            parts = dict(zip(self._sizes, torch.split(drawn, list(self._sizes.values()), 1), strict=True))
            for one in self._dense:
                value, found = one.parameter.data, [parts[name] for name in one.names]
                whole = found[0] if len(found) == 1 else torch.cat(found, 1)
                value.sub_(whole.view_as(value), alpha=one.group.noise_std * self._rate)
        for one in self._tables:
            for merchant, source in zip(one.parameter.data, self.sources(one.names[0]), strict=True):
                if source is not None:
                    drawn = source.normal_(torch.empty_like(merchant))
                    merchant.add_(drawn, alpha=one.group.noise_std * self._rate)
