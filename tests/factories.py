"""Made-up objects that look like the real thing; what a test does not care about has a sensible default."""

import numpy as np

from server.reporting.results import (
    Cell,
    Check,
    ContractFacts,
    Merchant,
    PrivacyFacts,
    Result,
    Round,
    Rows,
    Task,
)
from simulations.statistics import Interval, verdict
from simulations.summary import summarise

GROUPS = {"large": 900, "medium": 250, "small": 70}
"""Typical number of orders of a merchant of each group."""

_METHODS = ("alone", "federated", "prior", "pooled", "constant")
_OLIST_LIKE = {
    # task: alone, federated, prior, pooled, constant
    "delivery_days": (0.487, 0.426, 0.431, 0.418, 0.634),
    "bad_review": (0.494, 0.467, 0.469, 0.461, 0.509),
    "units": (0.480, 0.468, 0.475, 0.452, 0.641),
    "next_item": (0.474, 0.471, None, 0.460, 0.440),
}
TASKS = (
    Task(
        name="delivery_days", kind="regression", metric="rmse", unit="log days", higher_is_better=False,
        alone_method="single_task",
        alone_candidates={"linear": 0.571, "single_task": 0.487, "multi_task": 0.484},
    ),
    Task(
        name="bad_review", kind="binary", metric="log loss", unit="nats", higher_is_better=False,
        alone_method="multi_task",
        alone_candidates={"linear": 0.502, "single_task": 0.508, "multi_task": 0.494},
    ),
    Task(
        name="units", kind="regression", metric="rmse", unit="log units", higher_is_better=False,
        alone_method="single_task",
        alone_candidates={"linear": 0.595, "single_task": 0.480, "multi_task": 0.489},
    ),
    Task(
        name="next_item", kind="retrieval", metric="recall@10", unit="", higher_is_better=True,
        alone_method="single_task",
        alone_candidates={"linear": None, "single_task": 0.474, "multi_task": 0.466},
    ),
)  # fmt: skip


def make_result(*, merchants: int = 12, seed: int = 0, **changes: object) -> Result:
    """Return a result such as a comparison on real shops gives; `changes` replace whole fields."""
    generator = np.random.default_rng(seed)
    shops = tuple(_merchant(position, merchants, generator) for position in range(merchants))
    cells = tuple(_cell(shop, task, generator) for shop in shops for task in TASKS)
    fields: dict[str, object] = {
        "name": "olist",
        "created": "2025-06-01T12:00:00+00:00",
        "seconds": 41.2,
        "command": "fedbazaar-sim compare olist --seeds 3",
        "environment": {"python": "3.11.7", "torch": "2.13.0", "flwr": "1.41.0", "fedbazaar": "0.1.0"},
        "privacy": PrivacyFacts(
            on=False,
            text="This federation ran without differential privacy: what merchants sent may reveal "
            "something about single shoppers.",
        ),
        "contract": ContractFacts(
            fingerprint="9f2c" * 16,
            architecture="wide",
            rounds=80,
            shared_parameters=123,
            bytes_per_round=984,
            bytes_down=492,
            bytes_up=492,
            merchants_per_round=12,
            bytes_of_all=11808,
        ),
        "seeds": (0, 1, 2),
        "merchants": shops,
        "tasks": TASKS,
        "cells": cells,
        "summary": summarise(cells, shops, TASKS, generator),
        "rounds": tuple(_round(number, merchants) for number in range(1, 81)),
        "checks": _CHECKS,
    }
    return Result(**(fields | changes))  # type: ignore[arg-type]


def _merchant(position: int, merchants: int, generator: np.random.Generator) -> Merchant:
    group = tuple(GROUPS)[position * len(GROUPS) // merchants]
    orders = int(GROUPS[group] * generator.uniform(0.5, 1.6))
    return Merchant(
        name=f"shop-{generator.integers(16**4):04x}-{position:02d}",
        tier=group,
        group=group,
        orders=orders,
        rows=Rows(train=2 * orders, validation=orders // 5, test=orders // 2),
    )


def _cell(shop: Merchant, task: Task, generator: np.random.Generator) -> Cell:
    """Larger shops gain less and vary less; one shop in fifteen has no labels for a task."""
    if generator.random() < 1 / 15:
        return Cell(merchant=shop.name, task=task.name, test_rows=0)
    noise = 0.5 / np.sqrt(shop.orders)
    level = generator.normal(1, 0.15)
    values = {
        method: None if mean is None else level * mean * (1 + noise * generator.normal())
        for method, mean in zip(_METHODS, _OLIST_LIKE[task.name], strict=True)
    }
    sign = -1 if task.higher_is_better else 1
    gain = sign * (values["alone"] - values["federated"]) * (1.6 if shop.group == "small" else 0.8)
    values["federated"] = values["alone"] - sign * gain
    spread = 1.5 * noise * values["alone"]
    interval = Interval(estimate=gain, low=gain - spread, high=gain + spread)
    return Cell(
        merchant=shop.name, task=task.name, test_rows=shop.rows.test, **values,
        gain=gain, low=interval.low, high=interval.high, verdict=verdict(interval),
    )  # fmt: skip


def _round(number: int, merchants: int) -> Round:
    """The loss falls as 1 / round; one merchant misses every tenth round."""
    missing = int(number % 10 == 0)
    losses = {"delivery_days": 0.43, "bad_review": 0.47, "units": 0.46}
    validation = {task: last + 0.25 / number for task, last in losses.items()}
    return Round(
        round=number, seconds=0.12, accepted=merchants - missing, missing=missing, validation=validation
    )


_CHECKS = (
    Check(
        id="olist.days_all", value=12.5, unit="%", target=10, met=True,
        text="Delivery days improve by at least 10 % over training alone.",
    ),
    Check(
        id="olist.units_small", value=1.4, unit="%", target=2, met=False,
        text="Units improve by at least 2 % at small merchants.",
    ),
    Check(
        id="olist.seconds", value=41.2, unit="s", target=None, met=True, text="Wall time of the comparison."
    ),
)  # fmt: skip
