"""Releases at small shops, to personalise from."""

from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from client.data.dataset import Dataset
from client.halves import judging
from client.personalization.start import Start
from shared_model.architectures import ARCHITECTURES
from shared_model.model import MultiTaskModel, build
from shared_model.parameters import take
from tests.client import shops

_OPTIONS: dict[str, dict[str, Any]] = {
    "shared_bottom": {"hidden": [4]},
    "mmoe": {"experts": 2, "hidden": [4]},
    "cascade": {"chain": ["bought", "again"]},
}
BOTTOMS = {name: {"architecture": name, **_OPTIONS.get(name, {})} for name in sorted(ARCHITECTURES)}


def start(folder: Path, architecture: str = "mmoe", strength: float = 10.0, **options: Any) -> Start:
    """A release with random shared values; the wide bottom has only priors, so they are drawn here."""
    again = {
        "again": {"kind": "binary", "initial": 0.2}
    }  # nobody has labels of it; a cascade wants two tasks
    agreement = shops.contract(bottom=BOTTOMS[architecture], tasks=again)
    merchant = shops.merchant(folder, agreement=agreement, **options)
    model = build(merchant.federation, generator=torch.Generator().manual_seed(1))
    source = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".prior." in name:
                parameter.add_(torch.randn(parameter.shape, generator=source), alpha=0.1)
    return Start(
        model=model, dataset=merchant.dataset, strength=strength, generator=torch.Generator().manual_seed(3)
    )


def everything(model: MultiTaskModel) -> dict[str, Tensor]:
    return take(model, [name for name, _ in model.named_parameters()])


def far(first: MultiTaskModel, second: MultiTaskModel) -> float:
    """The largest difference of any parameter."""
    others = everything(second)
    return max(float((value - others[name]).abs().max()) for name, value in everything(first).items())


def judged_rows(dataset: Dataset, task: str) -> Tensor:
    return judging(dataset, task).rows


def without_validation() -> pl.DataFrame:
    """Rows whose validation part has no label, so that nothing there can stop a training."""
    frame = shops.examples()
    held = pl.int_range(len(frame)).is_between(40, 49)
    return frame.with_columns(
        [pl.when(held).then(None).otherwise(pl.col(label)).alias(label) for label in ("bought", "amount")]
    )
