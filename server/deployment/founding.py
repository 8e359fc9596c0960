"""`fedbazaar-server init` and `renew`: a coordinator's folder from a contract, and a new certificate."""

from pathlib import Path

import tomli_w

from shared_model import files, signing
from shared_model.errors import ConfigError, StateError

from . import certificates, contract
from .certificates import Issued
from .market import SETTINGS, Market, Settings, load, parse_address

_COMMENT = "# Settings of this coordinator; `docs/deploy.md` lists them all.\n"


def found(folder: Path, written: Path, *, address: str, key: Path | None = None) -> Market:
    """Make a coordinator's folder.

    Args:
        folder: Made when missing.
        written: The contract to start from; it stays as it is.
        address: `host:port` under which merchants will reach the coordinator.
        key: Private signing key to use instead of a new one.

    Raises:
        ConfigError: The contract or the address is not valid, or the contract names another key.
        StateError: The folder holds something that would be overwritten, or `key` is no signing key.
    """
    folder = folder.absolute()
    host = parse_address(address, file="init", key="--address").host
    market = Market(folder=folder, settings=Settings(address=address))
    _check_empty(market)
    pem = _signing_key(key)
    text, federation = contract.with_key(written, signing.public_key(pem))
    folder.mkdir(parents=True, exist_ok=True)
    for private in (market.keys, market.state):
        private.mkdir(mode=0o700, exist_ok=True)
        private.chmod(0o700)
    certificates.write_private(market.signing_key, pem)
    authority = certificates.new_authority(f"{federation.federation.name} authority")
    certificates.write(authority, certificate=market.ca, private_key=_authority_key(market))
    server = certificates.new_server(authority, host)
    certificates.write(server, certificate=market.certificate, private_key=market.private_key)
    files.write(market.contract, text.encode())
    write_invitation(market)
    files.write(folder / SETTINGS, (_COMMENT + tomli_w.dumps({"address": address})).encode())  # last: done
    return load(folder)


def renew(market: Market) -> None:
    """Make a new server certificate from the folder's own authority, for the address of its settings.

    Raises:
        StateError: The authority's key is not in the folder, since the certificates are somebody else's.
    """
    try:
        authority = Issued(market.ca.read_bytes(), _authority_key(market).read_bytes())
    except FileNotFoundError as error:
        raise StateError(
            f"{error.filename} is missing: this coordinator uses certificates of another authority. Get a "
            "new one there."
        ) from None
    server = certificates.new_server(authority, market.address.host)
    certificates.write(server, certificate=market.certificate, private_key=market.private_key)


def write_invitation(market: Market) -> None:
    """Bring the folder that merchants get up to date: contract, authority, address."""
    told = tomli_w.dumps({"address": market.settings.address}).encode()
    wanted = {"federation.toml": market.contract.read_bytes(), "ca.crt": market.ca.read_bytes()}
    for name, content in {**wanted, "invitation.toml": told}.items():
        path = market.invitation / name
        if not path.exists() or path.read_bytes() != content:
            files.write(path, content)


def _authority_key(market: Market) -> Path:
    return market.keys / "ca.key"


def _signing_key(key: Path | None) -> bytes:
    if key is None:
        return signing.new_key()
    try:
        return key.read_bytes()
    except FileNotFoundError:
        raise ConfigError(key, "", None, "a private signing key, PEM") from None


def _check_empty(market: Market) -> None:
    ours = (SETTINGS, market.contract, market.members, market.keys, market.invitation, market.state)
    taken = [path for path in (market.folder / name for name in ours) if path.exists()]
    if taken:
        raise StateError(
            f"{taken[0]} exists already, and nothing is overwritten. Choose another folder, or move it away."
        )
