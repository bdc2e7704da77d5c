"""Signatures of the C2PA, which say who made a file and that nobody has changed it since.

By c2pa-python (the extra `sign`). A signature costs around a millisecond and names its moment, so
it is added to files where they are kept, and the server's answers stay a matter of the request.
"""

import importlib.util
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from nonesuch import __version__
from nonesuch.embedding import kind
from nonesuch.errors import InvalidRequest, OutputError, ProvenanceError
from nonesuch.provenance import SOURCE_TYPE

if TYPE_CHECKING:
    import c2pa

State = Literal["none", "trusted", "untrusted", "broken", "elsewhere", "unchecked"]

MEDIA = {  # the formats that hold a signature
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "mp4": "video/mp4",
}
_MISSING = "needs c2pa-python: pip install 'nonesuch[sign]'"
_CHANGED = {"assertion.dataHash.mismatch", "assertion.bmffHash.mismatch"}
_ALGORITHMS = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_MANIFEST = {
    "claim_generator_info": [{"name": "nonesuch", "version": __version__}],
    "assertions": [
        {
            "label": "c2pa.actions.v2",
            "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE}]},
        }
    ],
}
# No thumbnails: they would cost more time and bytes than all the rest. And nothing from the net:
# an address in a file must not make us ask there.
_SETTINGS: dict[str, Any] = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": True},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """What a file's signature is worth.

    `trusted` and `untrusted` ones are whole: nobody has changed the file since. The first goes
    back to a certificate that was given as trusted. `broken` ones are not of this file as it is.
    Those `elsewhere` are at an address on the net, which is not asked.
    """

    state: State
    signer: str = ""  # the certificate's name, and its organisation
    generator: str = ""  # the program that signed, by its own words
    why: str = ""  # of a state that is no good


def available() -> bool:
    """Whether c2pa-python is installed."""
    return importlib.util.find_spec("c2pa") is not None


class Signer:
    """Signs files in the name of a certificate."""

    def __init__(self, chain: bytes, key: bytes) -> None:
        """Take PEM texts: certificates from the signer's own upwards, and its private key.

        Raises InvalidRequest for a key that cannot sign, OutputError without c2pa-python.
        """
        if not available():
            raise OutputError(f"signing {_MISSING}")
        import c2pa  # an extra, and slow to load

        info = c2pa.C2paSignerInfo(_algorithm(key), chain, key, None)
        try:
            self._signer = c2pa.Signer.from_info(info)
        except c2pa.C2paError as exc:
            raise InvalidRequest(f"cannot sign with these certificates and key: {exc}") from exc
        self._context = c2pa.Context.from_dict(_SETTINGS)

    def sign(self, content: bytes) -> bytes:
        """Return the file with a signature, which says that a generator made it.

        Raises ProvenanceError for a file that cannot hold one, and InvalidRequest where the
        signature would not stand: a certificate out of date, another's key.
        """
        import c2pa

        media, file = _media(content), io.BytesIO()
        try:
            builder = c2pa.Builder.from_json(json.dumps(_MANIFEST), context=self._context)
            builder.sign(self._signer, media, io.BytesIO(content), file)
        except c2pa.C2paError as exc:
            raise InvalidRequest(f"cannot sign with this certificate and key: {exc}") from exc
        return file.getvalue()


def check(content: bytes, anchors: str | None = None) -> Signature:
    """Check a file's signature, against trusted certificates in PEM unless any will do.

    Raises ProvenanceError for what is no picture or film, InvalidRequest for anchors that hold no
    certificate, and OutputError for anchors without c2pa-python.
    """
    if anchors is not None:
        _check_anchors(anchors)
    if kind(content) not in MEDIA:
        return Signature(state="none")
    if not available():
        return Signature(state="unchecked", why=_MISSING)
    import c2pa

    trust = {"trust": {"user_anchors": anchors}} if anchors is not None else {}
    try:
        context = c2pa.Context.from_dict({**_SETTINGS, **trust})
    except c2pa.C2paError as exc:
        raise InvalidRequest(f"cannot read the trusted certificates: {exc}") from exc
    try:
        reader = c2pa.Reader.try_create(_media(content), io.BytesIO(content), context=context)
        return Signature(state="none") if reader is None else _read(reader)
    except c2pa.C2paError as exc:
        elsewhere = str(exc).startswith("Remote: ")
        return Signature(state="elsewhere" if elsewhere else "broken", why=str(exc))


def _check_anchors(anchors: str) -> None:
    """Nothing would be trusted by certificates that are not there: it must not pass for a yes."""
    if "-----BEGIN CERTIFICATE-----" not in anchors:
        raise InvalidRequest("the trusted certificates are none, expected them in PEM")
    if not available():
        raise OutputError(f"to trust only some signers {_MISSING}")


def _read(reader: "c2pa.Reader") -> Signature:
    with reader:
        manifest = reader.get_active_manifest() or {}
        results = reader.get_validation_results() or {}
        valid = reader.get_validation_state()
    failures = results.get("activeManifest", {}).get("failure", [])
    by = manifest.get("signature_info", {})
    states: dict[str | None, State] = {"Trusted": "trusted", "Valid": "untrusted"}
    return Signature(
        state=states.get(valid, "broken"),
        signer=", ".join(filter(None, (by.get("common_name"), by.get("issuer")))),
        generator=" ".join(
            f"{one.get('name', '')} {one.get('version', '')}".strip()
            for one in manifest.get("claim_generator_info", [])
        ),
        why=_why(failures),
    )


def _why(failures: Sequence[Mapping[str, str]]) -> str:
    """What is wrong, in words; not that a broken one is not trusted either."""
    by_code = {failure["code"]: failure["explanation"] for failure in failures}
    if _CHANGED & by_code.keys():
        return "the file was changed after it was signed"
    untrusted = by_code.pop("signingCredential.untrusted", "")
    return ", ".join(by_code.values()) or untrusted


def _media(content: bytes) -> str:
    name = kind(content)
    if name not in MEDIA:
        raise ProvenanceError(f"{name} holds no signature, expected one of {', '.join(MEDIA)}")
    return MEDIA[name]


def _algorithm(key: bytes) -> str:
    """The C2PA's name of the signatures that a private key makes."""
    # c2pa-python needs this library as well.
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(key, None)
    except TypeError as exc:
        raise InvalidRequest("the key is locked by a passphrase, expected one without") from exc
    except ValueError as exc:
        raise InvalidRequest("the key's file holds no private key in PEM") from exc
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in _ALGORITHMS:
        return _ALGORITHMS[private.curve.name]
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    raise InvalidRequest("the key is of a kind that C2PA has not, expected EC, Ed25519 or RSA")
