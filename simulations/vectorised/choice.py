"""Whether merchants train together or one after another: a formula, never a measurement.

The two ways round floats differently. So the choice must not depend on how busy a machine is, or a run could
not be repeated; it follows from the contract, the sizes of the model and the number of merchants.

Notation: as in the package; P numbers in the parameters that every row passes through, D width of a
representation.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from shared_model import schema
from shared_model.layers import Bank, Embedding, Linear
from shared_model.model import MultiTaskModel
from shared_model.retrieval import CELLS, RetrievalHead

from ..engines import Engine
from .plain import steps_go_straight

_GAIN = 1.05
"""Predicted speed-up below which merchants train one after another. The formula is careful where it is near
1: what it predicts at 1.06 to 1.15 gained 1.1 to 1.2 (one merchant, Adam or thousands of items)."""

_LOOP_STEP, _COHORT_STEP, _MERCHANT_STEP = 0.8e-3, 0.5e-3, 0.05e-3
"""Seconds of a step of one merchant alone, of a cohort, and of each merchant in it, beside arithmetic, for a
model of four layers."""

_RATES = {True: (50e9, 60e9), False: (60e9, 45e9)}
"""Multiplications and additions in a second, in the loop and in a cohort: where steps go straight into the
parameters of a cohort, which makes no gradients then, and where they do not. Measured with layers of 512 to
2048 and 1 to 16 merchants."""

_LOOP_SCORE, _COHORT_SCORE = 5e-9, 4e-9
"""Seconds that a part of an item's score takes beyond its multiplications, in a step of one merchant, which
computes losses and differentiates them, and in one of a cohort (`targets.py`); measured with 50 to 40,000
items, 3 to 64 merchants, with towers and without."""

_THERE = 0.9
"""Share of the places of a group that hold an item where catalogues are large (`groups.py`); with small ones
there is no doubt about what is faster."""

_CACHE = 8 << 20
"""Bytes that a cohort's parameters and activations may take; beyond, it is cut into smaller ones."""

_SIZES = (64, 32, 16)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How a group of merchants trains.

    Attributes:
        together: As cohorts, rather than one after another.
        size: Merchants of a cohort.
        reason: In words, for the report.
    """

    together: bool
    size: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Size:
    """What of a model decides what a step costs.

    Attributes:
        numbers: P.
        width: How many numbers layers make of one row.
        layers: Those that own parameters.
        represented: D, what an item's score is a product with.
        choices: Parts that the score of an item is a sum of, for every item choice that is trained.
        items: Places of the catalogues that they choose from.
        scores: Parts of scores that a step computes.
    """

    numbers: int
    width: int
    layers: int
    represented: int = 0
    choices: Mapping[str, int] = field(default_factory=dict)
    items: int = 0
    scores: int = 0

    def with_items(self, places: Mapping[str, int], rows: int) -> "Size":
        """Return the size with catalogues of so many places, by task, from which `rows` choose in a step."""
        scores = rows * sum(places[task] * parts for task, parts in self.choices.items())
        return replace(self, items=sum(places.values()), scores=scores)


def size_of(model: MultiTaskModel, tasks: Collection[str] = ()) -> Size:
    """Return the size of a model that holds one merchant, without its items.

    Args:
        model: Of any weights.
        tasks: That are trained; read for item choices alone.
    """
    heads = {task: head for task in tasks if isinstance(head := model.head(task), RetrievalHead)}
    dense = [m for m in model.modules() if isinstance(m, Linear | Bank)]
    return Size(
        numbers=sum(p.numel() for layer in dense for p in layer.parameters(recurse=False)),
        width=sum(m.weight.shape[:-1].numel() for m in dense),
        layers=len(dense) + sum(isinstance(m, Embedding) for m in model.modules()),
        represented=model.bottom.width,
        choices={task: 1 + head.uses_prior for task, head in heads.items()},
    )


def choose(
    engine: Engine, federation: schema.Federation, why_not: str | None, size: Size, merchants: int
) -> Choice:
    """Return how merchants of one structure train.

    Args:
        engine: What was asked for. What cannot be done in cohorts is never done in them.
        federation: The contract.
        why_not: What `obstacle` says of them, or `groups.obstacle_of_items`.
        size: Of their model.
        merchants: How many are asked in a round.
    """
    if engine == "loop":
        return Choice(together=False, size=1, reason="engine = loop")
    if why_not is not None:
        return Choice(together=False, size=1, reason=why_not)
    together = cohort_size(federation, size)
    if engine == "vectorised":
        return Choice(together=True, size=together, reason="engine = vectorised")
    gain = predicted_gain(federation, size, min(merchants, together))
    among = f" of up to {size.items} items" if size.items else ""
    words = f"{merchants} merchants{among}, predicted speed-up {gain:.1f}"
    return Choice(together=gain >= _GAIN, size=together, reason=words)


def obstacle(federation: schema.Federation, model: MultiTaskModel) -> str | None:
    """Return why merchants with such a model cannot be trained in cohorts, or None."""
    return next((reason for is_so, reason in _obstacles(federation, model) if is_so), None)


def _obstacles(federation: schema.Federation, model: MultiTaskModel) -> list[tuple[bool, str]]:
    local, privacy = federation.local, federation.privacy
    decays, has_tables = bool(local.weight_decay), bool(model.encoder.tables)
    return [
        (federation.federation.row_blocks > 1, "federation.row_blocks"),
        (local.conflict != "none", f"local.conflict = {local.conflict}"),
        (local.meta is not None, "local.meta"),
        (local.weighting in ("dwa", "gradnorm"), f"local.weighting = {local.weighting}"),
        (
            decays and has_tables and local.optimizer == "adam",
            "weight decay with adam moves all rows of tables",
        ),
        (privacy is not None and privacy.engine != "bookkeeping", "privacy.engine"),
        (privacy is not None and privacy.telemetry is not None, "privacy.telemetry"),
        (
            privacy is not None and any(t.labels == "noised" for t in privacy.tasks.values()),
            "tasks whose rows were told train apart",
        ),
        (
            privacy is not None and has_tables and (decays or bool(local.proximal)),
            "under privacy weight decay and the proximal term move all rows of tables",
        ),
    ]


def cohort_size(federation: schema.Federation, size: Size) -> int:
    """Return the largest cohort whose parameters and activations stay in the cache, 16 at least.

    It may be smaller where more scores of items would have to exist at a time than `CELLS`.
    """
    tables = size.items * size.represented
    each = 4 * (size.numbers + tables + federation.federation.expected_batch * size.width + 2 * size.scores)
    found = next((merchants for merchants in _SIZES if merchants * each <= _CACHE), _SIZES[-1])
    return min(found, max(1, CELLS // size.scores)) if size.scores else found


def predicted_gain(federation: schema.Federation, size: Size, merchants: int) -> float:
    """Return how many times as fast a cohort is as its merchants one after another."""
    straight, depth = federation.privacy is None and steps_go_straight(federation.local), size.layers / 4
    loop_rate, cohort_rate = _RATES[straight]
    flops = 6 * size.numbers * federation.federation.expected_batch
    products = 6 * size.represented * size.scores
    loop = _LOOP_STEP * depth + flops / loop_rate
    loop += _THERE * (products / loop_rate + size.scores * _LOOP_SCORE)
    together = _MERCHANT_STEP * depth + (flops + products) / cohort_rate + size.scores * _COHORT_SCORE
    return merchants * loop / (_COHORT_STEP * depth + merchants * together)
