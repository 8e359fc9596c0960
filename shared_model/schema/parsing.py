"""Reads `federation.toml`, and refuses what makes no sense as a whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import declared
from .checks import check_parts
from .federation import Federation
from .private_checks import check_private


def load_federation(path: Path) -> Federation:
    """Return the agreement at `path`.

    Raises:
        ConfigError: The file is missing or says something that is not allowed.
    """
    return parse_federation(declared.read_toml(path), file=path)


def parse_federation(tables: Mapping[str, Any], *, file: Path | str = "federation.toml") -> Federation:
    """Return the agreement that `tables` describe (see `load_federation`)."""
    federation = declared.parse(Federation, tables, file=file)
    check_parts(federation, file)
    check_private(federation, file)
    return federation
