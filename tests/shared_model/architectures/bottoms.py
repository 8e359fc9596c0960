"""Small bottoms over two inputs, so that what they compute can be checked by hand."""

from typing import Any

import torch
from torch import Tensor, nn

from shared_model import schema
from shared_model.architectures import ARCHITECTURES
from shared_model.blocks import Tasks
from shared_model.features import Encoded, FeatureEncoder


def bottom(spec: schema.Bottom, *tasks: str, own: tuple[str, ...] = ()) -> Any:
    """The bottom of `spec` over the inputs x and y."""
    features = {name: schema.Numeric(kind="numeric") for name in ("x", "y")}
    generator = torch.Generator().manual_seed(0)
    encoder = FeatureEncoder(features, generator=generator)
    return ARCHITECTURES[spec.architecture].build(spec, encoder, Tasks(tasks, own), generator)


def inputs(*rows: list[float]) -> Encoded:
    return Encoded(dense=torch.tensor(rows), embedded=torch.zeros(len(rows), 0))


X = inputs([1.0, 2.0], [-1.0, 0.5])


def fill(module: nn.Module, **values: Any) -> None:
    """Set parameters of a module: `fill(layer, weight=[[1.0]], bias=[0.0])`."""
    with torch.no_grad():
        for name, value in values.items():
            parameter = dict(module.named_parameters())[name]
            parameter.copy_(torch.as_tensor(value, dtype=parameter.dtype).expand_as(parameter))


def parameters(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.named_parameters())
