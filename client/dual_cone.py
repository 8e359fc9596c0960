"""The projection that UPGrad and DualProj need, by scipy; TorchJD's own asks for two more packages.

Notation: T gradients, the rows of J; G = J J^T.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import Tensor
from torchjd.linalg import DualConeProjector, PSDMatrix


class NonNegative(DualConeProjector):
    """Projects J^T u onto the dual cone of the rows of J, as non-negative least squares.

    The weights v of the projection minimise v^T G v among v >= u (Quinton and Rey 2024, proposition 1). With
    v = u + s and G = A^T A that is the least |A s + A u| among s >= 0.
    """

    def __call__(self, U: Tensor, G: PSDMatrix) -> Tensor:  # noqa: N803
        """Return the weights v, shape (..., T), for u in `U`, shape (..., T); G has the shape (T, T)."""
        values, vectors = np.linalg.eigh(G.double().numpy())
        root = np.sqrt(values.clip(0.0))[:, None] * vectors.T
        found = np.apply_along_axis(_weights, -1, U.double().numpy(), root)
        return torch.from_numpy(found).to(G.dtype)


def _weights(u: NDArray[np.float64], root: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = u + nnls(root, -root @ u)[0]
    return found
