"""A company's own certificate authority, and a server that it vouches for."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Authority:
    """``ca_file`` is what a client has to trust; ``server`` is what a server on ``localhost`` shows, and ``chain`` the
    file that it comes from, with its key."""

    ca_file: Path
    chain: Path
    server: ssl.SSLContext


def make_authority(
    folder: Path,
    *,
    addresses: Sequence[str] = (),
    names_keys: bool = True,
    valid_days: tuple[float, float] = (-1 / 24, 1),
) -> Authority:
    """Make both, with keys of their own, valid for a day; ``valid_days``: the server's, from and until when, in days
    from now. ``addresses`` are what else the server is called.

    Without ``names_keys`` as many companies make them: no certificate says which key signed it, which Python 3.13 and
    later refuse.
    """
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A company's own authority")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])

    def certificate(subject: x509.Name, public_key: ec.EllipticCurvePublicKey, *, is_ca: bool) -> x509.Certificate:
        also = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), *also])
        usage = x509.KeyUsage(
            digital_signature=not is_ca,
            key_cert_sign=is_ca,
            crl_sign=is_ca,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=-30 if is_ca else valid_days[0]))
            .not_valid_after(now + datetime.timedelta(days=30 if is_ca else valid_days[1]))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(names, critical=False)
        )
        if names_keys:
            builder = (
                builder.add_extension(usage, critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            )
        return builder.sign(ca_key, hashes.SHA256())

    ca_file, chain = folder / "ca.pem", folder / "server.pem"
    pem = serialization.Encoding.PEM
    ca_file.write_bytes(certificate(ca_name, ca_key.public_key(), is_ca=True).public_bytes(pem))
    chain.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate(name, key.public_key(), is_ca=False).public_bytes(pem)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain)
    return Authority(ca_file, chain, server)
