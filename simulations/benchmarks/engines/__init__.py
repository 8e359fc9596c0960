"""How fast a round is, against other engines on the same work: `fedbazaar-sim benchmark engines`.

A figure is another engine's time over ours, and ours is a whole round: coordinator, strategy, checks, journal
and checkpoint. Every engine must reach the same loss on rows that nobody trained on (`judged.py`), one thread
a process. Peers that are not there are left out, with the reason (`peers/competitors.py`).
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..report import Result
from . import choosing
from .catalogues import with_catalogues
from .loop import Loop
from .measured import Compared, against, beside
from .opacus_loop import OpacusLoop
from .peers import competitors
from .peers.competitors import Contest
from .stock_loop import StockLoop
from .work import product, standard

_REPEATS, _ROUNDS = 3, 20
_ITEMS = 500
_PRIVACY = {"epsilon": 200.0, "delta": 1e-5, "max_records": 4, "clipping_norm": 1.0}
"""Enough for the rounds of a benchmark; what it costs does not depend on it."""

_log = logging.getLogger(__name__)


def run(*, pfl_python: Path | None = None) -> list[Result]:
    """Measure all figures.

    Args:
        pfl_python: Interpreter of an environment with pfl-research and torch; None leaves that peer out.

    Raises:
        DifferentJobError: An engine reached another loss than ours.
        RuntimeError: A peer failed.
    """
    return [*_peers(pfl_python), *(measure() for measure in FIGURES.values())]


def _peers(pfl_python: Path | None) -> list[Result]:
    """Compare with the peers that are there, in turn with each other and with ours."""
    contests = [c for c in competitors.contests(pfl_python, rounds=_ROUNDS) if _can(c)]
    if not contests:
        return []
    ways = {contest.figure: contest.ways for contest in contests}
    found = against(competitors.work(rounds=_ROUNDS), ways, repeats=_REPEATS)
    return [_result(c.figure, found[c.figure], c.target, c.settings) for c in contests]


def _can(contest: Contest) -> bool:
    if contest.missing is not None:
        _log.warning("%s is left out: %s", contest.figure, contest.missing)
    return contest.missing is None


def _loop() -> Result:
    work = standard(rounds=40)
    settings = "one model and one SGD reused, rows put in order once and sliced"
    return _result("engines.loop", beside(work, StockLoop(work)), 5.0, settings)


def _lean(figure: str, target: float, **options: Any) -> Result:
    work = product(rounds=10, **options)
    settings = "autograd.grad and foreach SGD on reused tensors, a merchant's own tasks only"
    return _result(figure, beside(work, Loop(work)), target, settings)


def _private(figure: str, target: float, **options: Any) -> Result:
    work = product(rounds=6, asked=20, privacy=_PRIVACY, **options)
    settings = "GradSampleModule hooks, DPOptimizer, a shopper a sample, padded to 4 records"
    return _result(figure, beside(work, OpacusLoop(work)), target, settings)


def _auto() -> Result:
    worst = choosing.worst()
    unit = f"x, the better engine over auto, at {worst.name}"
    return Result(id="engines.auto_worst", value=worst.share, unit=unit, target=0.95, higher_is_better=True)


def _items() -> Result:
    """Our own loop is the other engine here: nobody else trains item choices side by side."""
    gained = choosing.gain(with_catalogues(product(rounds=4, asked=20), median=_ITEMS))
    unit = f"x, our own loop over auto, 20 merchants that choose among about {_ITEMS} items of their own"
    return Result(id="engines.items", value=gained, unit=unit, target=1.0, higher_is_better=True)


FIGURES: dict[str, Callable[[], Result]] = {
    "engines.loop": _loop,
    "engines.product": lambda: _lean("engines.product", 3.2),
    "engines.mmoe": lambda: _lean("engines.mmoe", 1.6, architecture="mmoe"),
    "engines.private": lambda: _private("engines.private", 12.0),
    "engines.private_mmoe": lambda: _private("engines.private_mmoe", 7.0, architecture="mmoe"),
    "engines.items": _items,
    "engines.auto_worst": _auto,
}
"""Figure -> what measures it, of those that need nothing but this process."""


def _result(figure: str, compared: Compared, target: float, settings: str) -> Result:
    times = f"{compared.theirs:.1f} ms over ours, {compared.ours:.1f} ms ({compared.chosen})"
    unit = f"x, {times}; theirs: {', '.join(filter(None, (compared.other, settings)))}"
    return Result(id=figure, value=compared.ratio, unit=unit, target=target, higher_is_better=True)
