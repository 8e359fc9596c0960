"""How well scores tell two groups apart.

Notation: N scored things, each with a truth of 0 or 1.
"""

import torch
from scipy.stats import rankdata
from torch import Tensor


def auc(scores: Tensor, truth: Tensor) -> float:
    """Return the chance that a thing of truth 1 has a higher score than one of truth 0; ties count half.

    Args:
        scores: Any shape.
        truth: 0 or 1, of the same shape, both present.

    Source: Hanley and McNeil (1982), the area under the ROC curve as the Wilcoxon statistic.

    >>> auc(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1]))
    0.75
    """
    ranks = torch.from_numpy(rankdata(scores.flatten().double().numpy()))
    positive = truth.flatten().bool()
    ones, zeros = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def true_positive_rate(scores: Tensor, truth: Tensor, *, false_positive_rate: float) -> float:
    """Return the share of things of truth 1 above the threshold that so many of truth 0 exceed at most.

    Args:
        scores: Any shape.
        truth: 0 or 1, of the same shape, both present.
        false_positive_rate: Share of truth 0 that may lie above the threshold.

    Source: Carlini et al. (2022): a membership attack is as good as it is at few false alarms.

    >>> scores, truth = torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1])
    >>> true_positive_rate(scores, truth, false_positive_rate=0)
    0.5
    """
    flat, positive = scores.flatten().double(), truth.flatten().bool()
    negatives = flat[~positive].sort(descending=True).values
    threshold = negatives[min(int(false_positive_rate * len(negatives)), len(negatives) - 1)]
    return float((flat[positive] > threshold).double().mean())
