"""What the fields of a contract cannot say one by one."""

import itertools
from pathlib import Path

from .. import library
from ..errors import ConfigError
from .bottoms import Cascade, Wide
from .features import Categorical, Multi, Numeric, Sequence, Text
from .federation import Federation
from .gradient_checks import check_gradients
from .tasks import Binary, Regression, Retrieval, Task, TaskDeclaration

LEAST_ROWS = 1024
"""Tables with fewer rows travel whole in every round, whatever `federation.row_blocks` says."""


def tables_in_blocks(federation: Federation) -> dict[str, int]:
    """Return name of a feature -> rows of its table, for the tables of which a round sends some rows."""
    if federation.federation.row_blocks == 1 or isinstance(federation.bottom, Wide):  # it has no tables
        return {}
    return {
        name: feature.buckets
        for name, feature in federation.features.items()
        if isinstance(feature, Categorical | Multi | Text)
        and feature.scope == "shared"
        and feature.buckets >= LEAST_ROWS
    }


def check_parts(federation: Federation, file: Path | str) -> None:
    """Check every feature, every task and every tier of a contract.

    Raises:
        ConfigError: One of them contradicts itself or another one.
    """
    _check_answers(federation, file)
    for name, feature in federation.features.items():
        if isinstance(feature, Sequence):
            _check_sequence(federation, name, feature, file)
        if isinstance(feature, Text):
            _check_text(name, feature, file)
    for name, task in federation.tasks.items():
        check_task(name, task, file=file)
        check_content(name, task, federation, file=file)
    _check_reptile(federation, file)
    _check_row_blocks(federation, file)
    _check_adaptation(federation, file)
    if isinstance(federation.bottom, Cascade):
        _check_chain(federation, federation.bottom.chain, file)
    check_gradients(federation, file)


def check_task(name: str, task: Task, *, file: Path | str, table: str = "tasks") -> None:
    """Check what the fields of a task cannot say one by one.

    Args:
        name: Of the task.
        task: As parsed.
        file: Named in the error.
        table: Where the task stands in that file.

    Raises:
        ConfigError: Its library task is unknown or of another kind, or its bounds are empty.
    """
    if task.library:
        _check_library(f"{table}.{name}", task, file)
    if isinstance(task, Regression) and not task.low < task.high:  # NaN bounds too
        raise ConfigError(file, f"{table}.{name}.low", task.low, f"less than high, which is {task.high}")


def _check_answers(federation: Federation, file: Path | str) -> None:
    deadline = federation.federation.deadline_seconds
    for name, tier in federation.tiers.items():
        if tier.answer_seconds >= deadline:
            allowed = f"less than federation.deadline_seconds, which is {deadline:g}"
            raise ConfigError(file, f"tiers.{name}.answer_seconds", tier.answer_seconds, allowed)


def check_content(
    name: str, task: Task, federation: Federation, *, file: Path | str, table: str = "tasks"
) -> None:
    """Check that the features which describe items can do so (arguments as in `check_task`).

    Raises:
        ConfigError: One of them does not describe an item, stays at a merchant, is read by no bottom of this
            kind or named twice; or the contract promises privacy.
    """
    if not isinstance(task, Retrieval) or not task.content:
        return
    key = f"{table}.{name}.content"
    if federation.privacy is not None:
        allowed = (
            "nothing in a contract with [privacy]: a tower learns from a catalogue that all shoppers made, "
            "so no shopper's part of it could be clipped; without content the choice of an item is learnt "
            "at home, after the release"
        )
        raise ConfigError(file, key, list(task.content), allowed)
    wide = isinstance(federation.bottom, Wide)
    describing = [
        n
        for n, f in federation.features.items()
        if isinstance(f, Numeric) or not (wide or isinstance(f, Sequence) or f.scope == "local")
    ]
    for feature in task.content:
        if feature not in describing:
            kinds = (
                "numeric features, as the bottom is wide" if wide else "features of shared scope, no sequence"
            )
            raise ConfigError(file, key, feature, f"{kinds}: {', '.join(describing) or 'there are none'}")
    if len(set(task.content)) < len(task.content):
        raise ConfigError(file, key, list(task.content), "every feature at most once")


def _check_sequence(federation: Federation, name: str, feature: Sequence, file: Path | str) -> None:
    described = [n for n, f in federation.features.items() if isinstance(f, Categorical)]
    for of in feature.of:
        if of not in described:
            allowed = f"names of categorical features: {', '.join(described) or 'there are none'}"
            raise ConfigError(file, f"features.{name}.of", of, allowed)
    if len(set(feature.of)) < len(feature.of):
        raise ConfigError(file, f"features.{name}.of", list(feature.of), "every feature at most once")
    if feature.encoder == "mean" and feature.width is not None:
        allowed = "nothing with encoder = mean, which is as wide as the tables of its features together"
        raise ConfigError(file, f"features.{name}.width", feature.width, allowed)
    tables = [
        f.width for n, f in federation.features.items() if n in feature.of and isinstance(f, Categorical)
    ]
    if feature.encoder == "attention" and (feature.width or sum(tables)) < 2:
        allowed = "at least 2 with encoder = attention, since a single number cannot be normalised"
        raise ConfigError(file, f"features.{name}.width", feature.width, allowed)


def _check_text(name: str, feature: Text, file: Path | str) -> None:
    low, high = feature.characters
    if not (low == high == 0 or 1 <= low <= high <= 8):
        raise ConfigError(
            file, f"features.{name}.characters", [low, high], "1 <= shortest <= longest <= 8, or [0, 0]"
        )
    if feature.words == 0 and high == 0:
        raise ConfigError(file, f"features.{name}.words", 0, "at least 1 where characters are [0, 0]")


def _check_reptile(federation: Federation, file: Path | str) -> None:
    weights = {tier.weight for tier in federation.tiers.values()}
    if federation.server.optimizer == "reptile" and len(weights) > 1:
        allowed = "fedavg where tiers have different weights, since reptile counts every merchant once"
        raise ConfigError(file, "server.optimizer", "reptile", allowed)


def _check_row_blocks(federation: Federation, file: Path | str) -> None:
    if federation.federation.row_blocks > 1 and not tables_in_blocks(federation):
        allowed = f"1, since no table that travels has {LEAST_ROWS:,} rows or more"
        raise ConfigError(file, "federation.row_blocks", federation.federation.row_blocks, allowed)


def _check_adaptation(federation: Federation, file: Path | str) -> None:
    adaptation = federation.adaptation
    if adaptation is None:
        return
    if isinstance(federation.bottom, Wide):
        allowed = "a network with [adaptation]: a wide bottom has no representation that could adapt"
        raise ConfigError(file, "bottom.architecture", federation.bottom.architecture, allowed)
    if len(set(adaptation.domains)) < len(adaptation.domains):
        raise ConfigError(file, "adaptation.domains", list(adaptation.domains), "every domain at most once")


def _check_chain(federation: Federation, chain: tuple[str, ...], file: Path | str) -> None:
    """A product of probabilities means something only where every later task implies the earlier ones."""
    if len(set(chain)) < len(chain):
        raise ConfigError(file, "bottom.chain", list(chain), "every task at most once")
    links = {
        name: t for name, t in federation.tasks.items() if isinstance(t, Binary) and t.head == "residual"
    }
    for name in chain:
        if name not in links:
            allowed = f"binary tasks with a shared prior: {', '.join(links) or 'there are none'}"
            raise ConfigError(file, "bottom.chain", name, allowed)
    for earlier, later in itertools.pairwise(chain):
        _check_link(earlier, links[earlier], later, links[later], file)


def _check_link(earlier: str, first: Binary, later: str, then: Binary, file: Path | str) -> None:
    rows = [library.TASKS[task.library].rows if task.library else "" for task in (first, then)]
    if rows[0] != rows[1]:
        allowed = f"tasks on one kind of row; {earlier} and {later} have no row in common"
        raise ConfigError(file, "bottom.chain", later, allowed)
    if then.initial >= first.initial:
        allowed = f"less than that of {earlier}, which is {first.initial}: {later} implies {earlier}"
        raise ConfigError(file, f"tasks.{later}.initial", then.initial, allowed)


def _check_library(key: str, task: TaskDeclaration, file: Path | str) -> None:
    if task.library not in library.TASKS:
        allowed = f"a library task: {', '.join(library.TASKS)}; or nothing, for a mapped label column"
        raise ConfigError(file, f"{key}.library", task.library, allowed)
    kind, needed = getattr(task, "kind", None), library.TASKS[task.library].kind
    allowed_kinds = {"regression", "count"} if task.library == "units" else {needed}
    if kind not in allowed_kinds:
        allowed = f"{' or '.join(sorted(allowed_kinds))}, which is what {task.library} is"
        raise ConfigError(file, f"{key}.kind", kind, allowed)
