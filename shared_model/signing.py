"""The coordinator's signature on every instruction: Ed25519 (RFC 8032).

Whoever holds a merchant's socket, node key or the SuperLink can deliver instructions, but cannot make one.

Guarantees:
    * A signature covers every field of the instruction, so no part of a signed one can be exchanged.
    * It covers the name of this wire contract too, so no other text signed with the same key passes for an
      instruction.
    (`tests/shared_model/test_signing.py`)
"""

import base64
import binascii
import json
from dataclasses import replace

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .errors import Refused, StateError
from .protocol import Instruction, Refusal

_SCHEME = "ed25519:"
_CONTEXT = b"fedbazaar instruction\0"


def new_key() -> bytes:
    """Return a new private key, PEM (PKCS 8, not encrypted)."""
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def read_key(pem: bytes) -> Ed25519PrivateKey:
    """Return the private key in `pem`.

    Raises:
        StateError: It is not an Ed25519 private key without a password.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise StateError("The signing key is not an Ed25519 private key in PEM form without a password.")
    return key


def public_key(pem: bytes) -> str:
    """Return the public half of the private key in `pem`, as it stands in a contract: `ed25519:<base64>`.

    Raises:
        StateError: As for `read_key`.
    """
    return _SCHEME + base64.b64encode(read_key(pem).public_key().public_bytes_raw()).decode()


def signed(instruction: Instruction, key: Ed25519PrivateKey) -> Instruction:
    """Return `instruction` with the signature of `key` on it."""
    signature = base64.b64encode(key.sign(_covered(instruction))).decode()
    return replace(instruction, signature=signature)


def check(instruction: Instruction, coordinator_key: str) -> None:
    """Require the signature of the coordinator on an instruction.

    Args:
        instruction: As it arrived.
        coordinator_key: Public key of the contract (`federation.coordinator_key`).

    Raises:
        Refused: `SIGNATURE`: there is none, or it is not that key's on these very fields.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(
            base64.b64decode(coordinator_key.removeprefix(_SCHEME), validate=True)
        )
        key.verify(base64.b64decode(instruction.signature, validate=True), _covered(instruction))
    except (InvalidSignature, ValueError, binascii.Error):
        what = "signed with another key, or changed" if instruction.signature else "not signed"
        raise Refused(Refusal.SIGNATURE, f"the instruction is {what}") from None


def _covered(instruction: Instruction) -> bytes:
    """Return the bytes that a signature covers."""
    fields = {key: value for key, value in instruction.to_mapping().items() if key != "signature"}
    return _CONTEXT + json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
