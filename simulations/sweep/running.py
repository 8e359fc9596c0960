"""All points of a sweep, several at a time.

Guarantee: a sweep that was stopped goes on when it is run again, and one whose grid grew trains what is new
only (`tests/simulations/sweep/test_running.py`).
"""

from functools import partial
from pathlib import Path

from ..parallel import Progress, together
from . import plan as plans
from . import work
from .plan import Plan, Point
from .work import Job

POINTS = "points"


def run(plan: Plan, out: Path, *, workers: int, progress: Progress) -> None:
    """Train every point that is missing; leave its predictions under `out`.

    Raises:
        FedbazaarError: As `work.run`; what was finished before stays.
    """
    at_once = min(len(plan.seeds), plans.share(len(plan.points), len(plan.seeds), workers))
    chunks = [plan.seeds[first : first + at_once] for first in range(0, len(plan.seeds), at_once)]
    jobs = [job_of(plan, point, out, chunk) for point in plan.points for chunk in chunks]
    calls = [partial(work.run, job) for job in jobs]
    together(calls, workers=workers, stage="points", progress=progress)


def job_of(plan: Plan, point: Point, out: Path, seeds: tuple[int, ...]) -> Job:
    """Return the job of one point under some seeds."""
    return Job(
        contract=point.contract,
        experiment=point.experiment,
        base=plan.experiment.parent,
        where=plan.where,
        served=plan.served,
        seeds=seeds,
        folder=out / POINTS / plan.key(point),
    )
