"""Read a TOML file into a frozen dataclass that refuses what it does not know.

The dataclasses are pydantic's, strict and closed (`docs/adr/0002-pydantic-at-the-door.md`); this module
turns what pydantic reports into one `ConfigError` that names file, key, value and what is allowed.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from .errors import ConfigError

CLOSED = ConfigDict(extra="forbid", strict=True)
"""Configures every declared dataclass: `@dataclass(frozen=True, kw_only=True, config=CLOSED)`."""

T = TypeVar("T")


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        ConfigError: The file is missing, is not UTF-8 or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(path, "", None, "an existing TOML file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            path, "", f"not UTF-8 ({error.reason} at byte {error.start})", "UTF-8 text"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, "", str(error), "valid TOML") from None


def parse(declared: type[T], tables: Mapping[str, Any], *, file: Path | str) -> T:
    """Return `tables` as an instance of the dataclass `declared`.

    Args:
        declared: A pydantic dataclass configured with `CLOSED`.
        tables: What `read_toml` returned, or the same from elsewhere.
        file: Named in the error.

    Raises:
        ConfigError: An unknown key (the known ones are listed, the nearest is suggested), a wrong type,
            a value out of range, a missing key. Of several problems one is raised, an unknown key before
            others, since a misspelt key also goes missing.
    """
    try:
        return TypeAdapter(declared).validate_json(json.dumps(tables, default=str))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        problem = min(problems, key=lambda p: p["type"] != "unexpected_keyword_argument")
        raise _explained(declared, tables, problem, file) from None


def load(declared: type[T], path: Path) -> T:
    """Read and parse the TOML file at `path` (see `read_toml` and `parse`)."""
    return parse(declared, read_toml(path), file=path)


def canonical(instance: object) -> bytes:
    """Return the one JSON form of a declared dataclass: defaults filled in, keys sorted, no spaces.

    Two files that mean the same have the same form, whatever their order, comments or number formats.
    """
    plain = TypeAdapter(type(instance)).dump_python(instance, mode="json")
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _explained(declared: type, tables: Mapping[str, Any], problem: Any, file: Path | str) -> ConfigError:
    location = _without_tags(tables, problem["loc"])
    key, value = ".".join(map(str, location)), problem["input"]
    if problem["type"] == "unexpected_keyword_argument":
        known = _known_keys(declared, tables, location[:-1])
        near = get_close_matches(str(location[-1]), known, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        return ConfigError(file, key, value, f"one of the keys {', '.join(known)}{hint}")
    if problem["type"] == "missing":
        return ConfigError(file, key, None, "a value; this key is required")
    if problem["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        tag = problem["ctx"]["discriminator"].strip("'")
        allowed = problem["ctx"].get("expected_tags", "a value that docs/contract.md lists")
        return ConfigError(file, f"{key}.{tag}", problem["ctx"].get("tag"), f"one of {allowed}")
    if problem["type"] in {"value_error", "assertion_error"}:
        return ConfigError(file, key, _shortened(value), str(problem["ctx"]["error"]))
    return ConfigError(file, key, value, problem["msg"].removeprefix("Input should be ").lower())


def _shortened(value: object) -> object:
    """A whole table is not worth repeating in a message; a scalar is."""
    return "set as it is" if isinstance(value, dict | list) else value


def _without_tags(tables: Any, location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Drop from a pydantic location the names of union members, which are not keys of the file."""
    kept: list[int | str] = []
    here = tables
    for last, part in ((i == len(location) - 1, part) for i, part in enumerate(location)):
        found = (isinstance(here, dict) and part in here) or (
            isinstance(here, list) and isinstance(part, int)
        )
        if found:
            here = here[part]
            kept.append(part)
        elif last and str(part).isidentifier():
            kept.append(part)
    return tuple(kept)


def _known_keys(declared: Any, tables: Any, location: tuple[int | str, ...]) -> list[str]:
    """The field names of the dataclass that stands at `location` inside `declared`."""
    here: Any = declared
    for part in location:
        tables = tables[part]
        if is_dataclass(here):
            here = get_type_hints(here, include_extras=True)[str(part)]
        else:  # dict[str, X] or tuple[X, ...]: step into X
            here = next(a for a in reversed(get_args(here)) if a is not Ellipsis)
        here = _member(here, tables)
    return [f.name for f in fields(here)] if is_dataclass(here) else []


def _member(hint: Any, tables: Any) -> Any:
    """Unwrap Annotated and Optional; from a union of dataclasses take the one whose kind the table states."""
    while get_origin(hint) is not None and not is_dataclass(hint) and get_origin(hint) not in (dict, tuple):
        members = [a for a in get_args(hint) if is_dataclass(a) or get_origin(a) is not None]
        if not members:
            return hint
        hint = next((m for m in members if is_dataclass(m) and _is_stated(m, tables)), members[0])
    return hint


def _is_stated(member: Any, table: Any) -> bool:
    """Whether `table` states the tag (kind, architecture, ...) of this member of a union."""
    tags = {f.name: get_args(hint)[0] for f in fields(member) if get_args(hint := f.type) and f.name in _TAGS}
    return isinstance(table, dict) and all(table.get(key) == tag for key, tag in tags.items())


_TAGS = ("kind", "architecture")
