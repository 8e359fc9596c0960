"""Make a merchant's folder from the coordinator's invitation: agreement, certificate, node key, address."""

import os
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic.dataclasses import dataclass as declared_dataclass
from rich.console import Console

from shared_model import declared, files
from shared_model.errors import ConfigError, StateError
from shared_model.schema import Federation, load_federation

from .data.presets import PRESETS
from .merchant_file import Address, MerchantFile

_CONTRACT, _CERTIFICATES, _TERMS, _MERCHANT = "federation.toml", "ca.crt", "invitation.toml", "merchant.toml"
_KEYS, _PRIVATE, _PUBLIC = "keys", "node.key", "node.pub"


@declared_dataclass(frozen=True, kw_only=True, config=declared.CLOSED)
class Invitation:
    """The file `invitation.toml`: `address` is where the coordinator is reached, `host:port`."""

    address: Address


@dataclass(frozen=True, kw_only=True)
class Joined:
    """What `join` made.

    Attributes:
        folder: Of the merchant.
        public_key: File to send to the coordinator.
        fingerprint: Of the contract.
        coordinator_key: Whose signature the merchant heeds.
        authority: SHA-256 of the certificate by which the coordinator is known, as hexadecimal pairs.
        described: Whether the merchant's data was described before; otherwise a template waits for it.
    """

    folder: Path
    public_key: Path
    fingerprint: str
    coordinator_key: str
    authority: str
    described: bool


def join(folder: Path, invitation: Path, name: str) -> Joined:
    """Make the merchant's folder, or connect one that describes a shop's data already.

    Everything is checked before anything is written; `merchant.toml` is written last.

    Args:
        folder: To be made, mode 0700; where it has a `merchant.toml`, that gets a `[connect]` table.
        invitation: Folder with the coordinator's `federation.toml`, `ca.crt` and `invitation.toml`.
        name: How the federation calls this merchant.

    Raises:
        ConfigError: The invitation is not whole, its contract is not signed for, the name is not allowed, or
            the merchant's file is connected already or has another name.
        StateError: There is a node key already, or another contract or certificate.
    """
    contract, certificate = invitation / _CONTRACT, invitation / _CERTIFICATES
    terms = declared.load(Invitation, invitation / _TERMS)
    federation = load_federation(contract)
    _check_coordinator_key(contract, federation)
    authority = _fingerprint(certificate)
    merchant = folder / _MERCHANT
    described = merchant.exists()
    text = _connected(merchant, name, terms) if described else _template(name, terms)
    declared.parse(MerchantFile, tomllib.loads(text), file=merchant)
    private, public = folder / _KEYS / _PRIVATE, folder / _KEYS / _PUBLIC
    _check_nothing_is_lost(folder, invitation, (private, public))

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for source in (contract, certificate):
        files.write(folder / source.name, source.read_bytes())
    _write_keys(private, public, name)
    mode = stat.S_IMODE(merchant.stat().st_mode) if described else 0o600
    _write(merchant, text.encode(), mode)
    return Joined(
        folder=folder,
        public_key=public,
        fingerprint=federation.fingerprint,
        coordinator_key=federation.federation.coordinator_key,
        authority=authority,
        described=described,
    )


def show(joined: Joined, console: Console) -> None:
    """Print what was made and what is to be done next."""
    check = f"fedbazaar-client check {joined.folder}"
    first = "To see what it is good for" if joined.described else "Then"
    described = "" if joined.described else f"Describe your data in {joined.folder / _MERCHANT}. "
    lines = (
        f"{joined.folder} is ready to be connected. What the coordinator published must be the same:",
        f"  contract     {joined.fingerprint}",
        f"  signing key  {joined.coordinator_key}",
        f"  certificate  {joined.authority}",
        "Next:",
        f"  1. Send {joined.public_key} to the coordinator. The file beside it, {_PRIVATE}, stays here.",
        f"  2. {described}{first}, run `{check}`.",
        f"  3. Once the coordinator has enrolled you, run `fedbazaar-client up {joined.folder}`.",
    )
    for line in lines:
        console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)


# --- checks ----------------------------------------------------------------------------------------------


def _check_coordinator_key(contract: Path, federation: Federation) -> None:
    if not federation.federation.coordinator_key:
        allowed = "the coordinator's public key. Ask for an invitation that `fedbazaar-server init` made"
        raise ConfigError(contract, "federation.coordinator_key", None, allowed)


def _fingerprint(certificate: Path) -> str:
    """Return the SHA-256 of the certificate at a path, as hexadecimal pairs."""
    allowed = "a certificate in PEM form, as the invitation brings it"
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
    except FileNotFoundError:
        raise ConfigError(certificate, "", None, allowed) from None
    except ValueError:
        raise ConfigError(certificate, "", "something else", allowed) from None
    return found.fingerprint(hashes.SHA256()).hex(":").upper()


def _check_nothing_is_lost(folder: Path, invitation: Path, keys: tuple[Path, Path]) -> None:
    for key in keys:
        if key.exists():
            raise StateError(
                f"{key} exists already. Remove it and its other half only if no coordinator enrolled it."
            )
    for name in (_CONTRACT, _CERTIFICATES):
        present, offered = folder / name, invitation / name
        if present.exists() and present.read_bytes() != offered.read_bytes():
            raise StateError(
                f"{present} is another one than {offered}. Join this federation in a folder of its own."
            )


# --- what is written -------------------------------------------------------------------------------------


def _connected(merchant: Path, name: str, terms: Invitation) -> str:
    """Return the merchant's file with a `[connect]` table at its end."""
    written = declared.load(MerchantFile, merchant)
    if written.connect is not None:
        allowed = "nothing: this merchant is connected already. Another federation needs a folder of its own"
        raise ConfigError(merchant, "connect", "set", allowed)
    if written.merchant.name != name:
        raise ConfigError(merchant, "merchant.name", written.merchant.name, f"{name}, as --name says")
    text = merchant.read_text(encoding="utf-8")
    return f"{text.rstrip()}\n\n{_connect(terms)}"


def _connect(terms: Invitation) -> str:
    return f"""\
[connect]
address = "{terms.address}"
contract = "{_CONTRACT}"
certificates = "{_CERTIFICATES}"
node_key = "{_KEYS}/{_PRIVATE}"
"""


def _template(name: str, terms: Invitation) -> str:
    presets = ", ".join(preset for preset, tables in PRESETS.items() if "orders" in tables)
    return f"""\
# This file is private and never sent. docs/data.md describes every key.
# Then: fedbazaar-client check FOLDER
schema = "shop-v1"

[merchant]
name = "{name}"
timezone = "UTC"              # of times in the exports that name no zone, such as Europe/Madrid

# One row per order line. A path or glob relative to this file (CSV, Parquet), or a database:
#   source = "postgresql+psycopg://shop:${{SHOP_PASSWORD}}@db/shop"
#   query = "SELECT * FROM order_lines"
[orders]
source = "exports/orders_*.csv"
preset = "canonical"          # or one of: {presets}
# rename = {{ unit_price = "Preis" }}   # canonical column = your column

# One row per item. Remove the # where you have such a table.
# [items]
# source = "exports/products.csv"

# Without any [[task]] every common task that the data supports is taken.

# [privacy]
# max_epsilon = 4.0           # refuse a federation that asks for more

{_connect(terms)}"""


def _write_keys(private: Path, public: Path, name: str) -> None:
    """Make the pair of keys by which the coordinator knows the node: ECDSA on P-384, in OpenSSH's format."""
    private.parent.mkdir(mode=0o700, exist_ok=True)
    key = ec.generate_private_key(ec.SECP384R1())
    written = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    known = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    _write(private, written, 0o600)
    _write(public, known + f" {name}\n".encode(), 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a file that nobody can read before it has its mode."""
    with files.replacing(path) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "wb") as file:
            file.write(content)
        temporary.chmod(mode)
