"""Certificates that merchants accept, and clear words where they would not."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from server.deployment import certificates
from server.deployment.certificates import Issued
from shared_model.errors import ConfigError

AUTHORITY = certificates.new_authority("harbour authority")


class Written:
    """Certificate, key and authority as files."""

    def __init__(self, folder: Path, server: Issued, authority: Issued = AUTHORITY) -> None:
        self.certificate, self.key, self.ca = folder / "server.pem", folder / "server.key", folder / "ca.crt"
        certificates.write(server, certificate=self.certificate, private_key=self.key)
        self.ca.write_bytes(authority.certificate)

    def check(self, host: str) -> int:
        return certificates.check(self.certificate, self.key, self.ca, host)


@pytest.mark.parametrize("host", ["market.example", "localhost", "127.0.0.1", "::1"])
def test_a_new_certificate_is_good_for_its_host_and_for_this_machine(tmp_path: Path, host: str) -> None:
    written = Written(tmp_path, certificates.new_server(AUTHORITY, "market.example"))
    assert written.check(host) == 824  # 825 days, less the moment since


def test_an_address_may_be_an_ip(tmp_path: Path) -> None:
    assert Written(tmp_path, certificates.new_server(AUTHORITY, "192.0.2.7")).check("192.0.2.7") == 824


def test_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    written = Written(tmp_path, certificates.new_server(AUTHORITY, "market.example"))
    with pytest.raises(ConfigError, match=r"mismatch.*for other\.example"):
        written.check("other.example")


def test_an_expired_certificate_is_refused_with_its_date(tmp_path: Path) -> None:
    written = Written(tmp_path, certificates.new_server(AUTHORITY, "localhost", days=0))
    with pytest.raises(ConfigError, match=r"expired since 20\d\d-.*fedbazaar-server renew"):
        written.check("localhost")


def test_a_certificate_of_another_authority_is_refused(tmp_path: Path) -> None:
    other = certificates.new_authority("somebody else")
    with pytest.raises(ConfigError, match="vouches for"):
        Written(tmp_path, certificates.new_server(AUTHORITY, "localhost"), other).check("localhost")


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    written = Written(tmp_path, certificates.new_server(AUTHORITY, "localhost"))
    certificates.write_private(written.key, certificates.new_server(AUTHORITY, "localhost").private_key)
    with pytest.raises(ConfigError, match=r"the private key of server\.pem"):
        written.check("localhost")


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    server = certificates.new_server(AUTHORITY, "localhost")
    written = Written(tmp_path, server)
    key = serialization.load_pem_private_key(server.private_key, password=None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    certificates.write_private(written.key, locked)
    with pytest.raises(ConfigError, match="the private key of"):
        written.check("localhost")


@pytest.mark.parametrize("missing", ["certificate", "ca", "key"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    written = Written(tmp_path, certificates.new_server(AUTHORITY, "localhost"))
    path: Path = getattr(written, missing)
    path.unlink()
    with pytest.raises(ConfigError, match=path.name):
        written.check("localhost")


def test_a_file_without_certificate_is_named(tmp_path: Path) -> None:
    written = Written(tmp_path, certificates.new_server(AUTHORITY, "localhost"))
    written.certificate.write_text("not PEM")
    with pytest.raises(ConfigError, match="no certificate"):
        written.check("localhost")


def test_a_chain_with_an_authority_in_between_is_accepted(tmp_path: Path) -> None:
    # An own certificate as one buys it: root, intermediate, server; merchants trust the root only.
    root_made, between_made = certificates.new_authority("root"), certificates.new_authority("between")
    root = _signed_again(root_made, by=root_made, path_length=1)
    between = _signed_again(between_made, by=root, path_length=0)
    server = certificates.new_server(between, "market.example")
    chain = Issued(server.certificate + between.certificate, server.private_key)
    assert Written(tmp_path, chain, root).check("market.example") == 824


def _signed_again(made: Issued, *, by: Issued, path_length: int) -> Issued:
    own, issuer = (x509.load_pem_x509_certificate(one.certificate) for one in (made, by))
    issuer_key = serialization.load_pem_private_key(by.private_key, password=None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    builder = (
        x509.CertificateBuilder(issuer.subject, own.subject, own.public_key())
        .serial_number(own.serial_number)
        .not_valid_before(own.not_valid_before_utc)
        .not_valid_after(own.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(
            own.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value, critical=False
        )
        .add_extension(own.extensions.get_extension_for_class(x509.KeyUsage).value, critical=True)
    )
    signed = builder.sign(issuer_key, hashes.SHA256())
    return Issued(signed.public_bytes(serialization.Encoding.PEM), made.private_key)


def test_private_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    written = Written(tmp_path, certificates.new_server(AUTHORITY, "localhost"))
    assert written.key.stat().st_mode & 0o777 == 0o600


def test_the_strictest_client_accepts_what_is_made_here(tmp_path: Path) -> None:
    # Newer Pythons verify like this by default.
    written = Written(tmp_path, certificates.new_server(AUTHORITY, "localhost"))
    context = ssl.create_default_context(cafile=written.ca)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(written.certificate, written.key)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = context.wrap_bio(down, up, server_hostname="localhost")
    server_side = server.wrap_bio(up, down, server_side=True)
    for side in (client_side, server_side):
        with pytest.raises(ssl.SSLWantReadError):
            side.do_handshake()
    client_side.do_handshake()
    assert client_side.version() == "TLSv1.3"


def test_an_authority_lives_for_ten_years(tmp_path: Path) -> None:
    path = tmp_path / "ca.crt"
    path.write_bytes(AUTHORITY.certificate)
    left = certificates.expiry(path) - datetime.now(UTC)
    assert timedelta(days=3649) < left < timedelta(days=3651)


def test_a_fingerprint_is_the_one_that_openssl_shows(tmp_path: Path) -> None:
    path = tmp_path / "ca.crt"
    path.write_bytes(AUTHORITY.certificate)
    shown = certificates.fingerprint(path)
    assert len(shown.split(":")) == 32
    assert shown == shown.upper()
