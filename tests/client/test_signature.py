"""C2PA signatures: made in every format, read by c2pa-python, and broken by any change."""

import io
import json
import socket
from collections.abc import Callable
from pathlib import Path

import c2pa
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from PIL import Image
from tests.client.authority import Authority, Identity, Key, p256, pem
from tests.client.shell import python
from tests.client.test_embedding import PIXELS, RECIPE, filmed

from nonesuch import __version__, embedding, provenance
from nonesuch.errors import InvalidRequest, ProvenanceError
from nonesuch.images import decode, encode
from nonesuch.signature import MEDIA, Signature, Signer, check

AUTHORITY = Authority()
ROOT = AUTHORITY.root.decode()
GENERATOR = f"nonesuch {__version__}"
BY = "Signer, Nonesuch Tests"


@pytest.fixture(scope="module")
def signer() -> Signer:
    identity = AUTHORITY.signer()
    return Signer(identity.chain, identity.key)


def unsigned(folder: Path, kind: str) -> bytes:
    return filmed(folder, kind) if kind in {"gif", "mp4"} else encode(PIXELS, kind, [RECIPE])


@pytest.mark.parametrize("kind", MEDIA)
def test_a_signed_file_is_whole_says_the_same_and_is_trusted(
    tmp_path: Path, signer: Signer, kind: str
) -> None:
    content = unsigned(tmp_path, kind)

    signed = signer.sign(content)

    assert check(content) == Signature(state="none")
    assert check(signed, ROOT) == Signature(state="trusted", signer=BY, generator=GENERATOR)
    assert check(signed, Authority("Other").root.decode()).state == "untrusted"
    assert check(signed).state == "untrusted"
    assert embedding.find(signed) == embedding.find(content)
    if kind != "mp4":
        assert (decode(signed) == decode(content)).all()


def test_other_readers_find_the_claim_that_a_generator_made_it(signer: Signer) -> None:
    signed = signer.sign(encode(PIXELS, "png", [RECIPE]))

    with c2pa.Reader("image/png", io.BytesIO(signed)) as reader:
        told = json.loads(reader.json())
    claim = told["manifests"][told["active_manifest"]]
    (actions,) = claim["assertions"]
    assert (told["validation_state"], claim["claim_generator_info"][0]["name"]) == (
        "Valid",
        "nonesuch",
    )
    (action,) = actions["data"]["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"] == provenance.SOURCE_TYPE


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("place", ["recipe", "pixels"])
def test_any_change_breaks_a_signature(signer: Signer, kind: str, place: str) -> None:
    signed = bytearray(signer.sign(encode(PIXELS, kind, [RECIPE])))

    pixels = {"jpeg": b"\xff\xda", "png": b"IDAT", "webp": b"VP8 "}[kind]
    signed[signed.index(b'"seed": 7' if place == "recipe" else pixels) + 20] ^= 1

    broken = check(bytes(signed), ROOT)
    assert (broken.state, broken.signer) == ("broken", BY)
    assert broken.why == "the file was changed after it was signed"


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(lambda: ec.generate_private_key(ec.SECP384R1()), id="P-384"),
        pytest.param(ed25519.Ed25519PrivateKey.generate, id="Ed25519"),
        pytest.param(lambda: rsa.generate_private_key(65537, 2048), id="RSA"),
    ],
)
def test_every_kind_of_key_that_c2pa_has_signs(new: Callable[[], Key]) -> None:
    identity = AUTHORITY.signer(new())

    signed = Signer(identity.chain, identity.key).sign(encode(PIXELS, "png", [RECIPE]))

    assert check(signed, ROOT).state == "trusted"


GOOD, OTHER = AUTHORITY.signer(), AUTHORITY.signer()
OLD = AUTHORITY.signer(days=(-3, -1))


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        pytest.param(OLD, "not valid at time of signing", id="out of date"),
        pytest.param(Identity(GOOD.chain, OTHER.key), "does not match", id="another's key"),
        pytest.param(Identity(GOOD.key, GOOD.key), "certificate is invalid", id="no certificate"),
        pytest.param(Identity(GOOD.chain, GOOD.chain), "no private key in PEM", id="no key"),
        pytest.param(Identity(GOOD.chain, pem(p256(), b"secret")), "a passphrase", id="locked"),
        pytest.param(
            Identity(GOOD.chain, pem(ec.generate_private_key(ec.SECP256K1()))),
            "of a kind that C2PA has not",
            id="other curve",
        ),
    ],
)
def test_what_cannot_sign_is_refused(identity: Identity, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        Signer(identity.chain, identity.key).sign(encode(PIXELS, "jpeg", [RECIPE]))


def test_a_webm_holds_no_signature(tmp_path: Path, signer: Signer) -> None:
    film = filmed(tmp_path, "webm")

    assert check(film) == Signature(state="none")
    with pytest.raises(ProvenanceError, match="webm holds no signature, expected one of jpeg"):
        signer.sign(film)


@pytest.mark.parametrize(
    ("anchors", "said"),
    [
        pytest.param("-----BEGIN CERTIFICATE-----\nhello\n", "cannot read", id="damaged"),
        pytest.param("hello\n", "certificates are none, expected them in PEM", id="no PEM"),
        pytest.param("", "certificates are none, expected them in PEM", id="empty"),
    ],
)
def test_trusted_certificates_that_are_none_are_refused(
    signer: Signer, anchors: str, said: str
) -> None:
    """Else a signature of anybody's would pass for that of someone who is trusted."""
    with pytest.raises(InvalidRequest, match=said):
        check(signer.sign(encode(PIXELS, "png", [RECIPE])), anchors)


def test_an_address_in_a_file_is_not_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/claim.c2pa"
        terms = f'xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="{address}" '
        packet = provenance.packet([RECIPE]).replace('rdf:about="" ', f'rdf:about="" {terms}')
        file = io.BytesIO()
        Image.fromarray(np.asarray(PIXELS)).save(file, "jpeg", xmp=packet.encode())

        found = check(file.getvalue())

        with pytest.raises(BlockingIOError):
            server.accept()
    assert (found.state, address in found.why) == ("elsewhere", True)


WITHOUT = """
import sys
from pathlib import Path
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "c2pa" else found(name, *more)
from nonesuch.cli import main
main(sys.argv[1:])
"""


def test_without_c2pa_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(PIXELS, "png", [RECIPE]))
    (tmp_path / "key.pem").write_bytes(GOOD.key)
    words = ("--cert", str(tmp_path / "key.pem"), "--key", str(tmp_path / "key.pem"))

    (tmp_path / "root.pem").write_bytes(AUTHORITY.root)
    verified = python(WITHOUT, "verify", str(tmp_path / "a.png"))
    trusted = python(
        WITHOUT, "verify", str(tmp_path / "a.png"), "--trust", str(tmp_path / "root.pem")
    )
    signed = python(WITHOUT, "sign", str(tmp_path / "a.png"), *words)

    assert verified.returncode == 0
    assert "signature  not checked, needs c2pa-python: pip install" in verified.stdout
    assert trusted.stderr.startswith("Error: to trust only some signers needs c2pa-python: ")
    assert trusted.returncode == 1
    assert signed.stderr == "Error: signing needs c2pa-python: pip install 'nonesuch[sign]'\n"
    assert signed.returncode == 1
