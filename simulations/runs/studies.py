"""What can be run, kept and made again: one row of a table each.

A study is a function of its file, its arguments and a directory. It goes on where it stopped when it is
called again with the same directory, and writes its results there.
"""

from typing import Any

from shared_model import files

from ..runner import Progress
from . import inputs
from .asked import Asked, Study

TRAININGS = ("*/checkpoints/*.safetensors", "*/*/checkpoints/*.safetensors")
"""The last checkpoints of all trainings, which hold the released arrays."""


def _run(asked: Asked, progress: Progress) -> Any:
    from .. import runner

    return runner.run(asked.request, progress)


def _frontier(asked: Asked, progress: Progress) -> Any:
    from .. import frontier, frontier_page

    found = frontier.frontier(asked.request, asked.arguments["epsilons"], progress)
    frontier.write(found, asked.out / "frontier.json")
    frontier_page.write_page(found, asked.out / "frontier.html")
    return found


def _transfer(asked: Asked, progress: Progress) -> Any:
    from ..transfer import curves_page, leaving_out

    options = leaving_out.Options(**{name: asked.arguments[name] for name in ("folds", "merchants", "seeds")})
    found = leaving_out.transfer(asked.request, options, progress)
    leaving_out.write(found, asked.out / "transfer.json")
    curves_page.write_page(found, asked.out / "transfer.html")
    return found


def _matrix(asked: Asked, progress: Progress) -> Any:
    from ..transfer import matrix, matrix_page

    found = matrix.matrix(asked.request, asked.arguments["by"], asked.arguments["seeds"], progress)
    matrix.write(found, asked.out / "matrix.json")
    matrix_page.write_page(found, asked.out / "matrix.html")
    return found


def _join(asked: Asked, progress: Progress) -> Any:
    from ..join import page, report, running
    from ..join.options import Options

    named = {name: asked.arguments[name] for name in ("merchant", "contributions", "seeds")}
    epsilons = asked.arguments["epsilons"]
    options = Options(**named, epsilons=None if epsilons is None else tuple(epsilons))
    found = running.join(asked.request, options, progress)
    report.write(found, asked.out / "join.json")
    page.write_page(found, asked.out / "join.html")
    return found


def _compare(asked: Asked, progress: Progress) -> Any:
    from ..compare import running, table
    from ..compare.page import page

    wanted = inputs.comparison(asked)
    running.run(wanted, progress)
    found = table.results(wanted, asked.command)
    table.write(found, asked.out / "compare.json")
    written = page(running.plan_of(wanted), found)
    files.write(asked.out / "results.md", written.encode(), durable=False)
    return written


def _sweep(asked: Asked, progress: Progress) -> Any:
    from ..sweep import page, plan, running, table

    planned = plan.load(asked.file, data=asked.data)
    running.run(planned, asked.out, workers=asked.arguments["workers"], progress=progress)
    found = table.results(planned, asked.out, asked.command)
    table.write(found, asked.out)
    page.write_page(found, asked.out / "sweep.html")
    return found


def _schedule(asked: Asked, progress: Progress) -> Any:
    from ..schedule import page, plan, table, training

    planned = plan.load(asked.file, data=asked.data)
    training.run_all(planned, asked.file, asked.data, asked.out, asked.arguments["workers"], progress)
    found = table.results(planned, asked.out, asked.command, progress)
    table.write(found, asked.out / "schedule.json")
    page.write_page(found, asked.out / "schedule.html")
    return found


def _scale(asked: Asked, progress: Progress) -> Any:
    from ..scale import page, plan

    planned = plan.load(asked.file)
    found = page.run(planned, asked.file, asked.out, asked.command, progress)
    page.write(found, asked.out / "scale.json")
    page.write_page(found, asked.out / "scale.html")
    return found


STUDIES: dict[str, Study] = {
    "run": Study(perform=_run, inputs=inputs.of_experiment, results=("result.json", *TRAININGS)),
    "frontier": Study(
        perform=_frontier,
        inputs=inputs.of_experiment,
        results=("frontier.json", "*/result.json", *TRAININGS),
    ),
    "transfer": Study(
        perform=_transfer,
        inputs=inputs.of_experiment,
        results=("transfer.json", "**/measured.json", *TRAININGS),
    ),
    "matrix": Study(
        perform=_matrix,
        inputs=inputs.of_experiment,
        results=("matrix.json", "alone/*.npz", "matrix/**/*.npz"),
    ),
    "join": Study(perform=_join, inputs=inputs.of_experiment, results=("join.json", "**/*.npz", *TRAININGS)),
    "compare": Study(
        perform=_compare,
        inputs=inputs.of_comparison,
        results=("compare.json", "predictions/**/*.npz", "truth/**/*.npz"),
    ),
    "scale": Study(perform=_scale, inputs=inputs.of_scale, results=("scale.json", "sizes/*.json")),
    "schedule": Study(
        perform=_schedule, inputs=inputs.of_schedule, results=("schedule.json", "trained/*/curve.json")
    ),
    "sweep": Study(
        perform=_sweep, inputs=inputs.of_sweep, results=("sweep.json", "sweep.csv", "points/*/*.npz")
    ),
}
"""Name, as in `fedbazaar-sim NAME` -> how it is run."""
