"""Tensors of different lengths side by side."""

from collections.abc import Sequence

from torch import Tensor


def filled_up(tensors: Sequence[Tensor], empty: float) -> Tensor:
    """Return tensors of one number of axes along a new first axis, each axis as long as its longest.

    >>> import torch
    >>> filled_up([torch.tensor([1, 2]), torch.tensor([3])], 0)
    tensor([[1, 2],
            [3, 0]])
    """
    longest = [max(lengths) for lengths in zip(*(tensor.shape for tensor in tensors), strict=True)]
    out = tensors[0].new_full((len(tensors), *longest), empty)
    for place, tensor in zip(out, tensors, strict=True):
        place[tuple(slice(length) for length in tensor.shape)] = tensor
    return out
