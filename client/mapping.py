"""How a ready table's columns stand for features and labels."""

from collections.abc import Mapping
from pathlib import Path

from shared_model import schema
from shared_model.errors import ConfigError
from shared_model.schema import Federation, Task

from .merchant_file import ReadyTable


def check_mapping(file: Path, table: ReadyTable, tasks: Mapping[str, Task], federation: Federation) -> None:
    """Check what a ready table maps.

    Raises:
        ConfigError: It maps what the contract does not declare, maps a column twice, or lets a feature read
            a label.
    """
    for task in table.labels:
        if task not in tasks and task not in federation.tasks:
            allowed = f"one of the tasks {', '.join({**federation.tasks, **tasks})}"
            raise ConfigError(file, f"table.labels.{task}", task, allowed)
    slots = feature_slots(federation)
    for feature in table.columns:
        if feature not in slots:
            raise ConfigError(file, f"table.columns.{feature}", feature, f"one of {', '.join(slots)}")
    read: dict[str, str] = {}
    for slot, guesses in slots.items():
        named = table.columns.get(slot)
        if named is not None and named in read:
            allowed = f"another column; this one is already mapped to {read[named]}"
            raise ConfigError(file, f"table.columns.{slot}", named, allowed)
        if named is not None:
            read[named] = slot
        leaks = {named} if named is not None else set(guesses)
        for task, label in table.labels.items():
            if label in leaks:
                allowed = f"a column that no feature reads; {slot} would read the label"
                raise ConfigError(file, f"table.labels.{task}", label, allowed)


def feature_slots(federation: Federation) -> dict[str, tuple[str, ...]]:
    """Return what a ready table may map, with the columns that are tried where it does not.

    A feature is a slot of its own; a sequence `s` described by `f` has the slot `s.f`.
    """
    slots: dict[str, tuple[str, ...]] = {}
    for name, feature in federation.features.items():
        if isinstance(feature, schema.Sequence):
            alone = (name, feature.column) if len(feature.of) == 1 else ()
            slots |= {f"{name}.{of}": tuple(c for c in (f"{name}.{of}", *alone) if c) for of in feature.of}
        else:
            slots[name] = (name, feature.column) if feature.column else (name,)
    return slots
