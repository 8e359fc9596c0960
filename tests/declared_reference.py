"""What a declared dataclass allows, as the first cells of its table in a document.

The tables of `docs/contract.md` are `| key | allowed | default | meaning |`. The first three cells follow
from the dataclass and are compared with it; the meaning is written by hand.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import TypeAdapter


class Row(NamedTuple):
    """The first three cells of a key."""

    key: str
    allowed: str
    default: str


def declared_rows(declared: type) -> list[Row]:
    """Return a row per key that `declared` itself declares; inherited keys stand in their own table."""
    described = TypeAdapter(declared).json_schema()
    described = described.get("$defs", {}).get(declared.__name__, described)
    required = described.get("required", [])
    return [_row(name, described["properties"][name], required) for name in declared.__annotations__]


def _row(name: str, described: Mapping[str, Any], required: list[str]) -> Row:
    default = "required" if name in required else _default(described)
    return Row(f"`{name}`", _allowed(described), default)


def _default(described: Mapping[str, Any]) -> str:
    value = described.get("default")
    return "-" if value is None or isinstance(value, dict) else f"`{toml_value(value)}`"


def toml_value(value: object) -> str:
    """Return a value as TOML writes it.

    >>> toml_value(True), toml_value([64, 64]), toml_value("last"), toml_value(float("-inf"))
    ('true', '[64, 64]', '"last"', '-inf')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return f"[{', '.join(map(toml_value, value))}]" if isinstance(value, list | tuple) else repr(value)


def _allowed(described: Mapping[str, Any]) -> str:
    """Say in words what a JSON schema allows."""
    if "anyOf" in described:
        return _allowed(next(d for d in described["anyOf"] if d.get("type") != "null"))
    if "$ref" in described or "oneOf" in described:
        return "table"
    if "const" in described or "enum" in described:
        return ", ".join(f'`"{word}"`' for word in described.get("enum", [described.get("const")]))
    return _KINDS[described["type"]](described)


def _number(word: str, described: Mapping[str, Any]) -> str:
    bounds = [f"{said} {described[key]:g}" for key, said in _BOUNDS.items() if key in described]
    if (least := described.get("minimum")) is not None and (most := described.get("maximum")) is not None:
        bounds = [f"{least} to {most}"]
    return f"{word} {' and '.join(bounds)}".strip()


_BOUNDS = {
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "up to",
    "exclusiveMaximum": "below",
}


def _list(described: Mapping[str, Any]) -> str:
    if "prefixItems" in described:
        return f"list of {len(described['prefixItems'])}: {_allowed(described['prefixItems'][0])}"
    least = f", at least {described['minItems']}" if described.get("minItems") else ""
    return f"list of: {_allowed(described['items'])}{least}"


_PATTERNS = {
    "^[a-z0-9][a-z0-9-]{0,62}$": "name of small letters, digits and hyphens",
    "^[a-z][a-z0-9_]{0,62}$": "name",
    "^(ed25519:[A-Za-z0-9+/]{43}=)?$": "`ed25519:` and 32 bytes in base64",
}

_KINDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "boolean": lambda _: "`true`, `false`",
    "integer": lambda described: _number("whole number", described),
    "number": lambda described: _number("number", described),
    "string": lambda described: _PATTERNS[described["pattern"]] if "pattern" in described else "text",
    "array": _list,
    "object": lambda _: "a table per name",
}
