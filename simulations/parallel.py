"""Many calls, several at a time, each in a process of its own."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

Progress = Callable[[str, int, int], None]
"""Is told of a stage, how many of its steps are done, and how many there are."""


def together(calls: Sequence[Callable[[], object]], *, workers: int, stage: str, progress: Progress) -> None:
    """Make calls in `workers` fresh processes; they and what they hold must be picklable.

    Raises:
        Exception: What a call raised; those that have not begun are dropped, those at work end first.
    """
    progress(stage, 0, len(calls))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting: set[Future[object]] = {pool.submit(call) for call in calls}
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                progress(stage, len(calls) - len(waiting), len(calls))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
