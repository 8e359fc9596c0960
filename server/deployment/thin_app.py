"""The Flower app that a coordinator submits: a `pyproject.toml` and no code.

What runs is the installed package on either side. Its settings and their defaults are those of
`server.config.RunConfig`.
"""

from dataclasses import MISSING, fields
from importlib.metadata import metadata
from pathlib import Path

import tomli_w

from shared_model import files

from ..config import RunConfig


def write(folder: Path) -> None:
    """Write the app into `folder`."""
    files.write(folder / "pyproject.toml", text().encode(), durable=False)


def text() -> str:
    """Return its `pyproject.toml`."""
    about = metadata("fedbazaar")
    settings = {
        field.name.replace("_", "-"): "" if field.default is MISSING else field.default
        for field in fields(RunConfig)
    }
    return tomli_w.dumps(
        {
            "project": {
                "name": about["Name"],
                "version": about["Version"],
                "license": about["License-Expression"] or "Apache-2.0",
                "dependencies": [],
            },
            "tool": {
                "flwr": {
                    "app": {
                        "publisher": "fedbazaar",
                        "fab-include": ["pyproject.toml"],
                        "components": {"serverapp": "server.app:app", "clientapp": "client.app:app"},
                        "config": settings,
                    }
                }
            },
        }
    )
