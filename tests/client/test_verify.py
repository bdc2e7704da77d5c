"""`nonesuch verify` and `nonesuch sign`: yes for what the server made, no for anything else."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray
from PIL import Image
from tests.client.authority import Authority
from tests.client.peer import Peer, card
from tests.client.shell import Run
from tests.client.test_embedding import PIXELS

from nonesuch import embedding
from nonesuch.errors import InvalidRequest
from nonesuch.images import Pixels, decode, encode
from nonesuch.provenance import Mark, packet, parse
from nonesuch.remake import compare, shows, worst

AUTHORITY = Authority()


def generated(run: Run, peer: Peer, name: str = "png") -> Path:
    """A file of seed 3 by the peer."""
    run("generate", "dots", "--seeds", "3", "--format", name, "--url", peer.url)
    (path,) = Path("out").iterdir()
    return path


def edited(path: Path, pixels: Pixels | None = None, **changes: Any) -> Path:
    """A picture's file written anew, lossless, with its recipe and what is changed of either."""
    content = path.read_bytes()
    (recipe,) = parse(embedding.find(content) or b"").recipes
    shown = decode(content) if pixels is None else pixels
    path.write_bytes(encode(shown, "png", [{**recipe, **changes}]))
    return path


def spotted(path: Path) -> Pixels:
    pixels = decode(path.read_bytes()).copy()
    pixels[2, 3] ^= 255
    return pixels


@pytest.mark.parametrize("name", ["png", "jpeg", "webp"])
def test_a_picture_of_ours_is_accepted_and_made_again(run: Run, peer: Peer, name: str) -> None:
    path = generated(run, peer, name)

    plain = run("verify", path)
    again = run("verify", path, "--remake", "--url", peer.url)

    assert (plain.exit_code, again.exit_code) == (0, 0)
    assert plain.stdout.startswith(f"{path}: yes by its own words, neither signed nor made again\n")
    assert "source     trainedAlgorithmicMedia, by nonesuch " in plain.stdout
    assert "recipe     model dots, model_hash 5eed, " in plain.stdout
    assert "seed 3" in plain.stdout
    assert again.stdout.startswith(f"{path}: yes\n")
    assert again.stdout.endswith("  remade     the same: every byte\n")


def test_an_edited_picture_is_not_what_its_recipe_makes(run: Run, peer: Peer) -> None:
    path = generated(run, peer)
    edited(path, spotted(path))

    result = run("verify", path, "--remake", "--url", peer.url)

    assert result.exit_code == 1
    said = "no, it is not what its recipe makes: 2.08% of the values differ, PSNR"
    assert said in result.stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"seed": 4}, "not what its recipe makes", id="another seed"),
        pytest.param({"model_hash": "beef"}, "model_hash is 'beef', that of", id="other weights"),
        pytest.param({"model": "dolls"}, "has no model 'dolls'", id="no such model"),
        pytest.param({"model": 5}, "model is 5, expected a name", id="no model's name"),
        pytest.param({"crop": "4x4+0+0"}, "crop is '4x4+0+0', that of", id="crop"),
        pytest.param({"psi": {}}, "holds what is no setting", id="no psi"),
        pytest.param({"z": "…"}, "z is '…', expected base64", id="no z"),
        pytest.param({"ws": "AAAA"}, "ws is 'AAAA', expected base64 of", id="not float32"),
        pytest.param({"ws": "AAAAAA=="}, "1 values in W, not rows of 16", id="half a ws"),
        pytest.param({"morph": {}}, "its recipe is that of a film", id="film"),
        pytest.param({"recipe_sha256": "5"}, "had to leave out latents", id="latents left out"),
    ],
)
def test_a_recipe_that_does_not_make_the_picture_is_told(
    run: Run, peer: Peer, changes: dict[str, Any], said: str
) -> None:
    path = edited(generated(run, peer), **changes)

    result = run("verify", path, "--remake", "--url", peer.url)

    assert result.exit_code == 1
    assert said in result.stdout.splitlines()[0]


def foreign(**marks: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "jpeg", **marks)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"hello", "it is no picture or film", id="text"),
        pytest.param(foreign(), "it does not say what made it", id="a photograph, or stripped"),
        pytest.param(
            foreign(xmp=packet([{}], "x:y").encode()),
            "it does not say that it is synthetic, but x:y",
            id="otherwise made",
        ),
        pytest.param(
            foreign(xmp=packet([]).encode()), "but has no recipe of nonesuch", id="another's"
        ),
        pytest.param(foreign(xmp=b"<a>"), "its XMP packet is no XML", id="damaged mark"),
        pytest.param(foreign()[:-40], "it is no whole jpeg", id="cut short"),
        pytest.param(encode(PIXELS, "png")[:60], "it is no whole png", id="cut very short"),
    ],
)
def test_what_is_not_ours_is_told_with_status_1(run: Run, content: bytes, said: str) -> None:
    Path("a").write_bytes(content)

    result = run("verify", "a")

    assert result.exit_code == 1
    assert result.stdout.startswith("a: no, ")
    assert said in result.stdout.splitlines()[0]


def test_one_file_that_is_not_ours_decides_and_all_are_told(run: Run, peer: Peer) -> None:
    path = generated(run, peer)
    Path("a.txt").write_text("hello", encoding="utf-8")

    result = run("verify", "a.txt", path, "--json")

    first, second = map(json.loads, result.stdout.splitlines())
    assert result.exit_code == 1
    assert (first["ours"], first["mark"], first["signature"]) == (False, None, None)
    assert (second["path"], second["ours"], second["problem"]) == (str(path), True, "")
    assert second["mark"]["recipes"][0]["seed"] == 3
    assert second["signature"]["state"] == "none"


@pytest.mark.parametrize(
    ("words", "files"),
    [
        pytest.param(("generate", "--seeds", "0-2", "--grid", "all.webp"), ["all.webp"], id="grid"),
        pytest.param(("mix", "--rows", "5", "--columns", "1,2"), ["mix.png"], id="mix"),
        pytest.param(("dial", "smile=-1:1", "--seeds", "3"), ["dial.png"], id="dial"),
        pytest.param(("morph", "--seeds", "1,2", "--frames", "3"), ["morph.webp"], id="morph"),
        pytest.param(
            ("morph", "--seeds", "1,2", "--frames", "1", "--out", "film"),
            ["film/00000000.png", "film/00000001.png"],
            id="folder",
        ),
    ],
)
def test_whatever_commands_write_says_that_it_is_synthetic(
    run: Run, peer: Peer, words: tuple[str, ...], files: list[str]
) -> None:
    made = run(words[0], "dots", *words[1:], "--url", peer.url)

    result = run("verify", *files)

    assert made.exit_code == 0, made.stderr
    assert (result.exit_code, result.stdout.count(": yes")) == (0, len(files))


def test_nobody_to_ask_ends_with_3(run: Run, peer: Peer) -> None:
    path = generated(run, peer)
    peer.vanish()

    result = run("verify", path, "--remake", "--url", peer.url)

    assert result.exit_code == 3


def signed(run: Run, path: Path, *out: str) -> Result:
    identity = AUTHORITY.signer()
    for name, content in (
        ("chain.pem", identity.chain),
        ("key.pem", identity.key),
        ("root.pem", AUTHORITY.root),
    ):
        Path(name).write_bytes(content)
    return run("sign", path, "--cert", "chain.pem", "--key", "key.pem", *out)


def test_a_signed_picture_is_accepted_by_its_signature(run: Run, peer: Peer) -> None:
    path = generated(run, peer)
    result = signed(run, path, "--out", "signed")

    known = run("verify", f"signed/{path.name}", "--trust", "root.pem")
    again = run("verify", f"signed/{path.name}", "--remake", "--url", peer.url)

    assert (result.exit_code, known.exit_code, again.exit_code) == (0, 0, 0)
    assert result.stderr.startswith("1 file signed, ")
    assert ": yes\n" in known.stdout
    assert "valid, of a trusted signer: Signer, Nonesuch Tests (nonesuch " in known.stdout
    assert "of a signer not known to be trusted: Signer" in again.stdout
    assert "the same: every pixel" in again.stdout


def test_a_signature_of_someone_else_is_not_trusted(run: Run, peer: Peer) -> None:
    path = generated(run, peer)
    signed(run, path, "--out", "signed")
    Path("root.pem").write_bytes(Authority("Other").root)

    result = run("verify", f"signed/{path.name}", "--trust", "root.pem")

    assert result.exit_code == 1
    assert "does not go back to a trusted certificate" in result.stdout


def test_a_change_after_signing_is_told(run: Run, peer: Peer) -> None:
    path = generated(run, peer, "jpeg")
    signed(run, path, "--out", "signed")
    file = Path("signed", path.name)
    file.write_bytes(file.read_bytes().replace(b'"seed": 3', b'"seed": 4'))

    result = run("verify", file)

    assert result.exit_code == 1
    assert "no, its signature is broken: " in result.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(foreign(), "does not say that nonesuch generated it", id="a photograph"),
        pytest.param(b"hello", "it is no picture or film", id="text"),
    ],
)
def test_what_is_not_ours_is_not_signed(run: Run, content: bytes, said: str) -> None:
    Path("a").write_bytes(content)

    result = signed(run, Path("a"))

    assert result.exit_code == 1
    assert said in result.stderr
    assert Path("a").read_bytes() == content


def test_a_file_is_signed_in_place_and_not_again(run: Run, peer: Peer) -> None:
    path = generated(run, peer)

    first, second = signed(run, path), signed(run, path)

    assert (first.exit_code, second.exit_code) == (0, 1)
    assert "it has a signature" in second.stderr
    assert run("verify", path, "--trust", "root.pem").exit_code == 0


def test_an_audits_chart_says_that_it_is_drawn_from_figures(run: Run) -> None:
    with Peer(card()) as peer:
        made = run("audit", "dots", "--seeds", "0-9", "--out", "chart.png", "--url", peer.url)

    mark = parse(embedding.find(Path("chart.png").read_bytes()) or b"")
    assert made.exit_code == 0, made.stderr
    assert mark.source_type == "http://cv.iptc.org/newscodes/digitalsourcetype/dataDrivenMedia"
    assert (
        mark.recipes[0].items() >= {"model": "dots", "model_hash": "5eed", "audit": "0-9"}.items()
    )
    assert run("verify", "chart.png").exit_code == 1
    assert mark != Mark()


def noisy(seed: int, shape: tuple[int, ...] = (40, 56, 3)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 200, shape, np.uint8)


def rounded(pixels: Pixels, values: int) -> Pixels:
    """Pixels of which so many values are one level higher."""
    other = pixels.copy()
    other.reshape(-1)[:: other.size // values][:values] += 1
    return other


def test_lossy_files_may_differ_a_little_everywhere_but_nowhere_much() -> None:
    made, near, spot = noisy(1), noisy(1) + 5, noisy(1)
    spot[-3:, -3:] += 55

    assert worst(made, near) == pytest.approx(34.15, abs=0.01)
    files = [encode(pixels, "png") for pixels in (made, near, spot)]
    assert compare(files[1], files[0], lossless=False).same
    assert not compare(files[1], files[0], lossless=True).same
    assert compare(encode(rounded(made, 6), "png"), files[0], lossless=True).same
    assert not compare(encode(rounded(made, 7), "png"), files[0], lossless=True).same
    assert not compare(files[2], files[0], lossless=False).same
    assert compare(encode(noisy(1, (8, 8, 3)), "png"), files[0], lossless=False).how == (
        "sizes are 8x8x3 and 56x40x3"
    )


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_picture_is_found_on_a_sheet_wherever_it_lies(channels: int) -> None:
    sheet = noisy(1, (60, 80, channels))
    picture = rounded(sheet[11:51, 17:57], 1)

    assert shows(sheet, picture)
    sheet[20, 30] ^= 128
    assert not shows(sheet, picture)


def test_a_grey_picture_is_found_on_a_sheet_of_colour() -> None:
    sheet = noisy(1, (40, 56, 1))

    assert shows(np.repeat(sheet, 3, axis=2), sheet[11:31, 17:50])


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("mix", "--rows", "5", "--columns", "1,2"), id="mix"),
        pytest.param(("dial", "smile=-1:1", "--seeds", "3"), id="dial"),
        pytest.param(("generate", "--seeds", "0-2", "--grid"), id="grid"),
    ],
)
def test_the_pictures_of_a_sheet_are_made_again_and_looked_for(
    run: Run, peer: Peer, words: tuple[str, ...]
) -> None:
    out = () if "--grid" in words else ("--out",)
    form = ("--format", "png") if "--grid" in words else ()
    run(words[0], "dots", *form, *words[1:], *out, "sheet.png", "--url", peer.url)
    sheet = Path("sheet.png")

    known = run("verify", sheet, "--remake", "--url", peer.url)
    pixels = 255 - decode(sheet.read_bytes())
    recipes = parse(embedding.find(sheet.read_bytes()) or b"").recipes
    sheet.write_bytes(encode(pixels, "png", recipes))
    changed = run("verify", sheet, "--remake", "--url", peer.url)
    sheet.write_bytes(encode(pixels, "jpeg", recipes))
    blurred = run("verify", sheet, "--remake", "--url", peer.url)

    count = len(recipes)
    assert (known.exit_code, changed.exit_code, blurred.exit_code) == (0, 1, 1), known.stdout
    assert f"the same: all {count} pictures are on it" in known.stdout
    assert f"of {count} is not on it" in changed.stdout
    assert "jpeg blurs the pictures of a sheet" in blurred.stdout


def test_the_same_picture_has_no_worst_square() -> None:
    assert worst(noisy(1), noisy(1)) == float("inf")


def test_a_picture_is_made_again_in_python_too(run: Run, peer: Peer) -> None:
    from nonesuch import Client, Picture

    path = generated(run, peer)

    with Client(peer.url) as client:
        picture = client.remake(Picture.read(path).recipe)
        with pytest.raises(InvalidRequest, match="model_hash is None"):
            client.remake({"model": "dots", "seed": 3})

    assert picture.encoded == path.read_bytes()
