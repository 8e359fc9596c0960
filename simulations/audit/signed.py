"""The report with a signature (Ed25519, RFC 8032), so that nobody edits an audit after the auditor.

Guarantees:
    * The signature covers every number of the report and when it was made.
    * It covers the name of this format too, so nothing else that was signed with the key passes for a report.
    (`tests/simulations/audit/test_signed.py`)
"""

import base64
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shared_model import files, signing
from shared_model.errors import ConfigError, StateError

from .report import Report

_CONTEXT = b"fedbazaar audit\0"
_SCHEME = "ed25519:"


def write(path: Path, report: Report, *, key: bytes, made: datetime) -> str:
    """Write the signed report to `path` and return the public key that it names.

    Args:
        path: Of the JSON file.
        report: What was found.
        key: Private key, PEM.
        made: When.
    """
    content = {"report": report.to_mapping(), "made": made.isoformat(timespec="seconds")}
    content["key"] = signing.public_key(key)
    signature = base64.b64encode(signing.read_key(key).sign(_covered(content))).decode()
    text = json.dumps({**content, "signature": signature}, indent=1, allow_nan=False)
    files.write(path, f"{text}\n".encode())
    return str(content["key"])


def read(path: Path, *, key: str = "") -> dict[str, Any]:
    """Return the report at `path` whose signature is right.

    Args:
        path: Of the JSON file.
        key: Public key of the auditor; empty: the one that the file names, which only shows that nobody
            edited the file without making a new key.

    Raises:
        StateError: The file is missing or no report, was changed, or is signed by somebody else.
        ConfigError: The key is none.
    """
    if not path.exists():
        raise StateError(f"{path}: there is no such file; give the JSON file of an audit.")
    asked = _public(key) if key else None
    try:
        content = json.loads(path.read_bytes())
        signature = base64.b64decode(content.pop("signature"), validate=True)
        (asked or _public(content["key"])).verify(signature, _covered(content))
        found: dict[str, Any] = content["report"]
    except InvalidSignature:
        raise StateError(
            f"{path}: the signature is not that of this report under this key: it was changed, or somebody "
            "else signed it."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError):
        raise StateError(f"{path}: not a signed report of an audit.") from None
    return found


def _public(key: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix(_SCHEME), validate=True))
    except ValueError:
        raise ConfigError(
            "command line", "--key", key, "a public key as an audit prints it, ed25519:..."
        ) from None


def key_at(path: Path) -> bytes:
    """Return the private key at `path`; make one there, for its owner alone, where there is none."""
    if path.exists():
        return path.read_bytes()
    key = signing.new_key()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
    return key


def _covered(content: dict[str, Any]) -> bytes:
    return _CONTEXT + json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
