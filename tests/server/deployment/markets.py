"""Coordinators' folders and merchants' keys for tests."""

from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from server.deployment import founding, members
from server.deployment.market import Market, load

CONTRACT = """\
# What the harbour agreed on.
[federation]  # who and how long
name = "harbour"
rounds = 3
[features.price]
kind = "numeric"
[tasks.late]
kind = "binary"
[tasks.next_item]
kind = "retrieval"
[bottom]
architecture = "wide"
"""
TIERS = """\
[tiers.small]
shoppers = 0
weight = 1.0
[tiers.large]
shoppers = 1000
weight = 4.0
"""


def written_contract(folder: Path, text: str = CONTRACT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "agreed.toml"
    path.write_text(text)
    return path


def founded(
    folder: Path, *, address: str = "localhost:8443", settings: str = "", text: str = CONTRACT
) -> Market:
    """A coordinator's folder; `settings` are more lines of its coordinator.toml."""
    market = founding.found(folder / "market", written_contract(folder, text), address=address)
    with (market.folder / "coordinator.toml").open("a") as file:
        file.write(settings)
    return load(market.folder)


def node_key(folder: Path, name: str = "node", curve: ec.EllipticCurve | None = None) -> Path:
    """The public half of a new node key; its private half lies beside it, without `.pub`."""
    return _written(folder, name, ec.generate_private_key(curve or ec.SECP384R1()))


def other_key(folder: Path, name: str = "node") -> Path:
    """A public key of a kind that Flower does not take."""
    return _written(folder, name, ed25519.Ed25519PrivateKey.generate())


def with_members(market: Market, *names: str) -> Market:
    for name in names:
        members.enroll(market, node_key(market.folder.parent, name), name)
    return market


def refuse(error: Exception) -> Callable[..., None]:
    def refused(*_: object, **__: object) -> None:
        raise error

    return refused


def _written(folder: Path, name: str, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    private, public = folder / name, folder / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    )
    private.chmod(0o600)
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        + b" somebody@shop\n"
    )
    return public
