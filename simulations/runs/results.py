"""Which numbers of a run directory are results: those that are the same when it is made again.

What a clock or a memory meter showed is no result, and neither is what says who made the run and when; both
stand under names of their own (`MEASURED`), in every study's files.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from shared_model.errors import StateError

MEASURED = frozenset(
    {
        "at",
        "command",
        "created",
        "environment",
        "environments",
        "ledgers",
        "measured",
        "megabytes",
        "seconds",
    }
)
"""Keys of JSON files that are not compared. Ledgers count releases under numbers drawn afresh, and times."""

_SHOWN = 5


def files_of(directory: Path, patterns: Iterable[str]) -> dict[str, Path]:
    """Return the result files of a run directory by their names inside it."""
    found = {path for pattern in patterns for path in directory.glob(pattern) if path.is_file()}
    return {str(path.relative_to(directory)): path for path in sorted(found)}


def hashes(directory: Path, patterns: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of the canonical form of every result file."""
    return {name: digest(path) for name, path in files_of(directory, patterns).items()}


def digest(path: Path) -> str:
    """Return the SHA-256 of what a result file says, whatever a clock showed."""
    return hashlib.sha256(json.dumps(content(path), sort_keys=True).encode()).hexdigest()


def content(path: Path) -> Any:
    """Return what a result file says, as JSON values: without what is measured, arrays as their hashes.

    Raises:
        StateError: The file cannot be read as what its name says.
    """
    try:
        return _READERS.get(path.suffix, _bytes)(path)
    except Exception as error:
        raise StateError(f"{path} cannot be read ({error}).") from error


def differences(before: Any, now: Any, where: str = "") -> Iterator[str]:
    """Yield in words where two contents differ, bit for bit."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys((*before, *now)):
            place = f"{where}.{key}" if where else str(key)
            if key not in before or key not in now:
                yield f"{place} is {'new' if key in now else 'missing'}"
            else:
                yield from differences(before[key], now[key], place)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for position, (left, right) in enumerate(zip(before, now, strict=True)):
            yield from differences(left, right, f"{where}[{position}]")
    elif json.dumps(before) != json.dumps(now):  # NaN equals itself here, and 1 is not 1.0
        yield f"{where or 'content'} was {_short(before)}, is {_short(now)}"


def shown(found: Iterable[str]) -> str:
    """Return the first differences, and how many more there are."""
    lines = list(found)
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "; ".join([*lines[:_SHOWN], *more])


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _without_measured(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_measured(v) for key, v in value.items() if key not in MEASURED}
    return [_without_measured(v) for v in value] if isinstance(value, list) else value


def _json(path: Path) -> Any:
    return _without_measured(json.loads(path.read_text(encoding="utf-8")))


def _safetensors(path: Path) -> Any:
    with safe_open(path, framework="np") as file:
        arrays = {name: _array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        return {**_without_measured(dict(file.metadata() or {})), **arrays}


def _npz(path: Path) -> Any:
    with np.load(path) as arrays:
        return {name: _array(arrays[name]) for name in arrays.files}


def _array(array: np.ndarray[Any, Any]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return f"{array.dtype} {list(array.shape)} {digest[:16]}"


def _bytes(path: Path) -> Any:
    return hashlib.sha256(path.read_bytes()).hexdigest()


_READERS = {".json": _json, ".safetensors": _safetensors, ".npz": _npz}
