"""Which layer owns which trained parameter, and in which clip group it is; anything unclear is refused."""

import math
from collections.abc import Mapping, Sequence

from torch import nn

from shared_model.errors import PrivacyError
from shared_model.layers import Bank, Embedding, Linear

from .clipping import Group

_FORM: dict[type[nn.Module], int] = {Linear: 2, Bank: 3, Embedding: 2}
"""The layers that may own a trained parameter; dimensions of their weights in the form for one merchant."""


def trained(model: nn.Module, groups: Sequence[Group]) -> Mapping[nn.Parameter, Group]:
    """Return the clip group of every trained parameter. What is in no group is not trained.

    Raises:
        PrivacyError: A parameter is unknown, is in two groups, is owned by no layer that has a rule or by
            more than one layer, or has a merchant axis; or a group has no bound or noise that is a number.
    """
    for group in groups:
        if not (group.clipping_norm > 0 and 0 <= group.noise_std < math.inf):
            raise PrivacyError(
                f"Expected a clipping norm above 0 and a finite noise of at least 0 in group {group.name},"
                f" got {group.clipping_norm} and {group.noise_std}."
            )
    found = dict(model.named_parameters(remove_duplicate=False))
    names = [name for group in groups for name in group.parameters]
    for name in names:
        if name not in found:
            raise PrivacyError(f"The model has no parameter {name}.")
    group_of: dict[nn.Parameter, Group] = {}
    for group in groups:
        for name in group.parameters:
            if found[name] in group_of:
                raise PrivacyError(f"Parameter {name} is clipped twice; it must be in exactly one group.")
            group_of[found[name]] = group
    if not group_of:
        raise PrivacyError("Expected at least one trained parameter.")
    owners = _owners(model)
    for name in names:
        _check_owner(name, found[name], owners[found[name]])
    return group_of


def _owners(model: nn.Module) -> dict[nn.Parameter, list[nn.Module]]:
    owners: dict[nn.Parameter, list[nn.Module]] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(parameter, []).append(module)
    return owners


def _check_owner(name: str, parameter: nn.Parameter, owners: list[nn.Module]) -> None:
    if len(owners) != 1 or type(owners[0]) not in _FORM:
        raise PrivacyError(
            f"No rule clips parameter {name}: it is owned by {' and '.join(type(o).__name__ for o in owners)}"
            f" and not by one layer of {', '.join(kind.__name__ for kind in _FORM)}."
        )
    weight = owners[0].weight
    if not isinstance(weight, nn.Parameter) or weight.dim() != _FORM[type(owners[0])]:
        raise PrivacyError(f"Parameter {name} holds several merchants; private training is for one.")
