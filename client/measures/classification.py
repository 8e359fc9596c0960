"""Measures of yes-or-no answers and of classes, from torchmetrics.

Notation: B rows, O classes or labels.
"""

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_calibration_error,
    binary_f1_score,
    binary_precision,
    binary_recall,
    multiclass_accuracy,
    multiclass_f1_score,
    multilabel_f1_score,
)

LEAST_OF_EACH = 5
"""Fewer positive or negative labels make an AUC of noise, so none is given."""
BINS = 10
"""Of equal width, for the expected calibration error (Guo et al. 2017, eq. 3)."""


def binary(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Return accuracy, precision, recall, F1, ECE and, with enough of both, AUC; at least one row.

    Precision, recall and F1 are those of "yes", at a probability above one half.

    Args:
        logits: Shape (B,).
        labels: 0 or 1, shape (B,).
    """
    probability, truth = logits.sigmoid(), labels.long()
    measures = {
        **decisions(probability > 0.5, labels > 0.5),
        "ECE": float(binary_calibration_error(probability, truth, n_bins=BINS, norm="l1")),
    }
    if min(int(truth.sum()), int((1 - truth).sum())) >= LEAST_OF_EACH:
        measures["AUC"] = float(binary_auroc(probability, truth))
    return measures


def decisions(decided: Tensor, truth: Tensor) -> dict[str, float]:
    """Return accuracy, precision, recall and F1 of decisions, both boolean, shape (B,); 0 for 0/0."""
    made, right = decided.int(), truth.int()
    return {
        "accuracy": float((made == right).double().mean()),
        "precision": float(binary_precision(made, right)),
        "recall": float(binary_recall(made, right)),
        "F1": float(binary_f1_score(made, right)),
    }


def multiclass(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Return accuracy and the mean F1 over classes that occur; logits (B, O), class numbers (B,)."""
    classes, truth = logits.shape[-1], labels.long()
    return {
        "accuracy": float(multiclass_accuracy(logits, truth, num_classes=classes, average="micro")),
        "F1": float(multiclass_f1_score(logits, truth, num_classes=classes, average="macro")),
    }


def multilabel(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the share of labels that are right and the mean F1 over labels; both (B, O)."""
    truth = labels.long()
    return {
        "accuracy": float(((logits > 0) == (truth > 0)).to(torch.float64).mean()),
        "F1": float(multilabel_f1_score(logits.sigmoid(), truth, num_labels=logits.shape[-1])),
    }
