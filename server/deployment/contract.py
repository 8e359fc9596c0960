"""The coordinator's public key enters the contract; everything else in the file stays as it was written."""

import re
import tomllib
from pathlib import Path

from shared_model import declared
from shared_model.errors import ConfigError
from shared_model.schema import Federation, parse_federation

KEY = "coordinator_key"
_HEADER = re.compile(r"^[ \t]*\[[ \t]*federation[ \t]*\][ \t]*(#[^\n]*)?$", re.MULTILINE)


def with_key(path: Path, public_key: str) -> tuple[str, Federation]:
    """Return the text of the contract at `path` with the coordinator's key in it, and what it then means.

    Args:
        path: The contract, with or without the key.
        public_key: As `shared_model.signing.public_key` gives it.

    Raises:
        ConfigError: The contract is not valid, names another key, or has no `[federation]` line to put the
            key below.
    """
    tables = declared.read_toml(path)
    before = parse_federation(tables, file=path)
    text = path.read_text(encoding="utf-8")
    if before.federation.coordinator_key:
        if before.federation.coordinator_key != public_key:
            allowed = f"{public_key}; or give the private key that belongs to it with --key"
            raise ConfigError(path, f"federation.{KEY}", before.federation.coordinator_key, allowed)
        return text, before
    if KEY in tables["federation"]:  # present and empty
        raise ConfigError(path, f"federation.{KEY}", "", "no such line: it is written here")
    return _inserted(path, text, public_key)


def _inserted(path: Path, text: str, public_key: str) -> tuple[str, Federation]:
    for header in _HEADER.finditer(text):  # the first one may stand inside a text of several lines
        at = header.end()
        new = f'{text[:at]}\n{KEY} = "{public_key}"  # who signs every instruction{text[at:]}'
        try:
            after = tomllib.loads(new)
        except tomllib.TOMLDecodeError:
            continue
        if after["federation"].get(KEY) == public_key:
            return new, parse_federation(after, file=path)
    raise ConfigError(path, "federation", "not a table of its own", "a line [federation]")
