"""Certificates and keys for tests, made anew each time: an authority, and signers in its name."""

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

_NOW = datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True)
class Identity:
    """A certificate with those above it, and its private key, in PEM."""

    chain: bytes
    key: bytes


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class Authority:
    """Signs for signers; `root` is what a verifier is told to trust."""

    def __init__(self, name: str = "Root") -> None:
        self._name, self._key = _named(name), p256()
        made = _begun(self._name, self._key, days=(-1, 30)).issuer_name(self._name)
        made = made.add_extension(x509.BasicConstraints(True, None), critical=True)
        made = made.add_extension(_usage(authority=True), critical=True)
        self.root = made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def signer(self, key: Key | None = None, days: tuple[int, int] = (-1, 30)) -> Identity:
        """A certificate for `key`, in force between so many days from now."""
        key = key or p256()
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        made = _begun(_named("Signer"), key, days).issuer_name(self._name)
        made = made.add_extension(x509.BasicConstraints(False, None), critical=True)
        made = made.add_extension(_usage(authority=False), critical=True)
        made = made.add_extension(issuer, critical=False).add_extension(purpose, critical=False)
        certificate = made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        return Identity(certificate + self.root, pem(key))


def pem(key: Key, passphrase: bytes = b"") -> bytes:
    locked = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked)


def _named(name: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Nonesuch Tests")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _begun(name: x509.Name, key: Key, days: tuple[int, int]) -> x509.CertificateBuilder:
    first, last = (_NOW + datetime.timedelta(days=day) for day in days)
    made = x509.CertificateBuilder().subject_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number())
    return made.not_valid_before(first).not_valid_after(last)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
