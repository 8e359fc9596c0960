"""From the options of `fedbazaar-sim split` to a market."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared_model import declared
from shared_model.errors import ConfigError

from .options import TableMarket

COMMAND = "fedbazaar-sim split"


def asked(
    file: Path,
    *,
    table: Mapping[str, Any],
    partition: Mapping[str, Any],
    labels: Sequence[str] = (),
    features: Sequence[str] = (),
) -> TableMarket:
    """Return the market that the command was asked for.

    Args:
        file: The table.
        table: Keys of `TableMarket`; what is None or empty was not said.
        partition: Keys of `Partition`, likewise.
        labels: `TASK=COLUMN` or, where they are called alike, `TASK`.
        features: `FEATURE=COLUMN`.

    Raises:
        ConfigError: Something is not allowed.
    """
    said = {"kind": "table", "directory": str(file.parent), "file": file.name, **_said(table)}
    said["partition"] = _said(partition)
    said["labels"] = dict(_pair(label, "--label") for label in labels)
    said["columns"] = dict(_pair(feature, "--feature") for feature in features)
    return declared.parse(TableMarket, said, file=COMMAND)


def _said(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, "")}


def _pair(text: str, option: str) -> tuple[str, str]:
    name, _, column = text.partition("=")
    if not name:
        raise ConfigError(COMMAND, option, text, "NAME=COLUMN")
    return name, column or name
