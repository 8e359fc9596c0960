"""Certificates: made where there are none, and checked before anything is started.

Guarantees:
    * What `check` lets pass, a merchant's TLS accepts: it lets one shake hands with the server's files.
    * A private key is never readable by others, not even for a moment.
    (`tests/server/deployment/test_certificates.py`)
"""

import hashlib
import ipaddress
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared_model import files
from shared_model.errors import ConfigError

from .market import is_ip

CA_DAYS = 3650
SERVER_DAYS = 825
"""The longest that common TLS libraries accept for a server."""

WARN_DAYS = 30
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_TOLERATED_SKEW = timedelta(days=1)


@dataclass(frozen=True)
class Issued:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    private_key: bytes


def new_authority(name: str) -> Issued:
    """Return a new certificate authority, valid for ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name)
    certificate = (
        _begun(subject, subject, key.public_key(), CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate, key)


def new_server(authority: Issued, host: str, *, days: int = SERVER_DAYS) -> Issued:
    """Return a new certificate for `host` and for this machine's own names, issued by `authority`."""
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = serialization.load_pem_private_key(authority.private_key, password=None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise ConfigError("the authority's key", "", "not elliptic", "the ca.key that `init` made")
    key = ec.generate_private_key(ec.SECP256R1())
    hosts = dict.fromkeys((host, *_LOCAL_HOSTS))
    names = [x509.IPAddress(ipaddress.ip_address(h)) if is_ip(h) else x509.DNSName(h) for h in hosts]
    certificate = (
        _begun(_subject(host), issuer.subject, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(_authority_identifier(issuer), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return _pem(certificate, key)


def write(issued: Issued, *, certificate: Path, private_key: Path) -> None:
    """Write both parts; the key is for its owner only."""
    write_private(private_key, issued.private_key)
    files.write(certificate, issued.certificate)


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` by a file that only its owner can read."""
    with files.replacing(path) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)


def expiry(path: Path) -> datetime:
    """Return when the first certificate in a PEM file expires.

    Raises:
        ConfigError: There is no such file, or no certificate in it.
    """
    return _first(path).not_valid_after_utc


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of the first certificate in a PEM file, as browsers and openssl show it.

    Raises:
        ConfigError: There is no such file, or no certificate in it.
    """
    digest = hashlib.sha256(_first(path).public_bytes(serialization.Encoding.DER)).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def check(certificate: Path, private_key: Path, ca: Path, host: str) -> int:
    """Require that a merchant who trusts `ca` accepts the server's files under the name `host`.

    Returns:
        Days until the certificate expires.

    Raises:
        ConfigError: A file is missing or unreadable, the key is another certificate's, or the certificate is
            expired, not valid yet, for another host, or not from this authority.
    """
    now, found = datetime.now(UTC), _first(certificate)
    if now >= found.not_valid_after_utc:
        allowed = "one that is valid: put a new one in its place; `fedbazaar-server renew` makes one"
        raise ConfigError(certificate, "", f"expired since {found.not_valid_after_utc:%Y-%m-%d}", allowed)
    if now < found.not_valid_before_utc:
        allowed = "a certificate that is valid by now, and a clock that is right"
        raise ConfigError(certificate, "", f"not valid before {found.not_valid_before_utc:%c}", allowed)
    _first(ca)
    refusal = _refusal(certificate, private_key, ca, host)
    if refusal:
        raise ConfigError(certificate, "", refusal, f"a certificate for {host} that {ca.name} vouches for")
    return (found.not_valid_after_utc - now).days


def _refusal(certificate: Path, private_key: Path, ca: Path, host: str) -> str:
    """Let a client that trusts `ca` shake hands with the server, in memory; return why it would not."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=ca)
    try:
        server.load_cert_chain(certificate, private_key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigError(private_key, "", str(error), f"the private key of {certificate.name}") from None
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server, server_hostname=host)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (asking, answering, asking):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
        except ssl.SSLError as error:
            return str(error.reason)
    return ""


def _no_password() -> str:
    raise ValueError("it needs a password")


def _first(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())[0]
    except FileNotFoundError:
        raise ConfigError(path, "", None, "a certificate in PEM form") from None
    except (ValueError, IndexError):
        raise ConfigError(path, "", "no certificate", "a certificate in PEM form") from None


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _TOLERATED_SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Issued:
    return Issued(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
