"""Measures of numbers: errors in natural and in transformed units, and whether high was told from low.

Notation: B rows.
"""

from torch import Tensor
from torchmetrics.functional.regression import mean_absolute_error, mean_squared_error

from .classification import decisions


def errors(predicted: Tensor, truth: Tensor) -> dict[str, float]:
    """Return the mean absolute and the mean squared error in natural units; shape (B,) both."""
    return {
        "MAE": float(mean_absolute_error(predicted, truth)),
        "MSE": float(mean_squared_error(predicted, truth)),
    }


def normalised(predicted: Tensor, truth: Tensor) -> dict[str, float]:
    """Return the mean squared error over the variance of the truth, and over its squared range.

    The first is 1 for the best constant. The second is what a study reports that scales its target to
    [0, 1] first; one very large value makes it small, whatever the model. Neither is there for equal labels.

    Args:
        predicted: In the units of training, shape (B,).
        truth: The same.
    """
    spread = float(truth.max() - truth.min())
    if not spread:
        return {}
    square = float(mean_squared_error(predicted, truth))
    return {
        "MSE / variance": square / float(truth.var(correction=0)),
        "MSE / range^2": square / spread**2,
    }


def halves(predicted: Tensor, truth: Tensor, median: float, share: float) -> dict[str, float]:
    """Return accuracy, precision, recall and F1 of "more than `median`"; shape (B,) both.

    The rows with the largest predictions are called high, so many that their share is `share`. The median
    itself would be a poor place to decide: where it is the lowest label, a mean above it is nearly always
    predicted. Of equal predictions across the border none is called high, so a constant calls no row high.

    Args:
        predicted: Any increasing function of what is predicted.
        truth: Labels.
        median: Of labels known before.
        share: Of those labels that are above it, which is at most one half.
    """
    called = round(share * len(predicted))
    border = predicted.sort(descending=True).values[called]
    decided = decisions(predicted > border, truth > median)
    return {f"{name} (above median)": value for name, value in decided.items()}
