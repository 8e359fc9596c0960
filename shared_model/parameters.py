"""Move parameters between a model and the arrays that travel. Which ones travel, the model says."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from .protocol import SharedArrays


def to_arrays(module: nn.Module, names: Iterable[str]) -> SharedArrays:
    """Return copies of the named parameters as float32 arrays."""
    parameters = dict(module.named_parameters())
    return {name: parameters[name].detach().float().cpu().numpy().copy() for name in names}


def from_arrays(module: nn.Module, arrays: SharedArrays) -> None:
    """Write `arrays`, which may be read-only, into the parameters of the same names.

    Raises:
        KeyError: The module has no such parameter.
        RuntimeError: A shape differs.
    """
    # torch warns of memory that it must not write to, although nothing here writes
    writable = {name: np.require(array, requirements="W") for name, array in arrays.items()}
    load(module, {name: torch.from_numpy(array) for name, array in writable.items()})


def refill(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Let the parameters of these names begin anew with `tensors` as their memory; nothing is copied.

    Raises:
        KeyError: The module has no such parameter.
    """
    parameters = dict(module.named_parameters())
    for name, tensor in tensors.items():
        parameters[name].data = tensor


def hand_over(module: nn.Module, names: Iterable[str]) -> SharedArrays:
    """Return the named float32 parameters as arrays, without a copy, and leave the module without them.

    Until `refill` the parameters are empty: between two rounds a merchant needs no memory for what travels.
    """
    parameters = dict(module.named_parameters())
    found = {name: parameters[name].detach().numpy() for name in names}
    for name in found:
        parameters[name].data = parameters[name].data.new_empty(0)
        parameters[name].grad = None
    return found


def load(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Write `tensors` into the parameters of the same names (errors as in `from_arrays`)."""
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for name, tensor in tensors.items():
            if parameters[name].shape != tensor.shape:  # `copy_` would repeat the values of a smaller one
                raise RuntimeError(
                    f"Expected {name} of shape {tuple(parameters[name].shape)}, got {tuple(tensor.shape)}."
                )
            parameters[name].copy_(tensor)


def take(module: nn.Module, names: Iterable[str]) -> dict[str, Tensor]:
    """Return copies of the named parameters."""
    parameters = dict(module.named_parameters())
    return {name: parameters[name].detach().clone() for name in names}
