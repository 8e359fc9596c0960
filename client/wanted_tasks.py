"""Which tasks a merchant wants: common ones by name, and its own with everything that declares them."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic.dataclasses import dataclass

from shared_model import declared, schema
from shared_model.declared import CLOSED
from shared_model.errors import ConfigError
from shared_model.schema import Federation, Positive, Task

from .merchant_file import MerchantFile

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class _CommonTask:
    """A `[[task]]` that the contract declares: what a merchant may set of it.

    Attributes:
        name: In the contract.
        weight: Instead of the contract's.
        head: `local` for a head of the merchant's own that ignores the shared prior.
        residual_penalty: Instead of the contract's.
    """

    name: schema.Name
    weight: Positive | None = None
    head: schema.HeadPolicy | None = None
    residual_penalty: Positive | None = None


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class _OwnTask:
    """A `[[task]]` of the merchant's own, without its name."""

    task: Task


def wanted_tasks(
    file: Path, written: MerchantFile, federation: Federation
) -> tuple[dict[str, Task], frozenset[str]]:
    """Return all common tasks where the file names none, otherwise the named ones; and which of them are own.

    Raises:
        ConfigError: A task is unknown, named twice, declares what it may not, or has no labels.
    """
    if not written.task:
        return dict(federation.tasks), frozenset()
    tasks: dict[str, Task] = {}
    for position, table in enumerate(written.task):
        name = table.get("name")
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
            allowed = "a name: small letters, digits and underscores, beginning with a letter"
            raise ConfigError(file, f"task.{position}.name", name, allowed)
        if name in tasks:
            raise ConfigError(file, f"task.{position}.name", name, "every task at most once")
        common = federation.tasks.get(name)
        tasks[name] = _own(file, name, table, federation) if common is None else _common(file, common, table)
    labelled = written.table.labels if written.table else {}
    own = frozenset(tasks) - frozenset(federation.tasks)
    for name in tasks:
        _check_labelled(file, name, tasks[name], ready=written.table is not None, mapped=name in labelled)
    return tasks, own


def _common(file: Path, task: Task, table: Mapping[str, Any]) -> Task:
    choice = _parse_task(_CommonTask, table, str(table["name"]), file)
    if choice.head == "residual" and task.head == "local":
        allowed = f"local; the contract shares no prior for {choice.name}"
        raise ConfigError(file, f"task.{choice.name}.head", choice.head, allowed)
    chosen = {key: getattr(choice, key) for key in ("weight", "head", "residual_penalty")}
    return replace(task, **{key: value for key, value in chosen.items() if value is not None})


def _own(file: Path, name: str, table: Mapping[str, Any], federation: Federation) -> Task:
    if "kind" not in table:
        allowed = f"a task of the contract ({', '.join(federation.tasks)}), or `kind` for an own task"
        raise ConfigError(file, f"task.{name}.kind", None, allowed)
    if table.get("head", "local") != "local":
        raise ConfigError(file, f"task.{name}.head", table["head"], "local; own tasks share nothing")
    described = {key: value for key, value in table.items() if key != "name"}
    task = _parse_task(_OwnTask, {"task": {**described, "head": "local"}}, name, file).task
    schema.check_task(name, task, file=file, table="task")
    schema.check_content(name, task, federation, file=file, table="task")
    return task


def _parse_task(form: type[T], table: Mapping[str, Any], name: str, file: Path) -> T:
    """Parse one `[[task]]`; an error names it by its name rather than by its position."""
    try:
        return declared.parse(form, table, file=file)
    except ConfigError as error:
        key = "" if error.key == "task" else f".{error.key.removeprefix('task.')}"
        raise ConfigError(file, f"task.{name}{key}", error.value, error.allowed) from None


def _check_labelled(file: Path, name: str, task: Task, *, ready: bool, mapped: bool) -> None:
    if ready and not mapped:
        raise ConfigError(file, f"table.labels.{name}", None, f"the column that holds the labels of {name}")
    if not ready and not task.library:
        allowed = f"a library task in task.{name}, since shop tables hold no label column; or a ready [table]"
        raise ConfigError(file, f"task.{name}.library", None, allowed)
