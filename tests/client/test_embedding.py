"""Files and the packets in them: found in every format, and damaged ones are told."""

import io
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.client.shell import python

from nonesuch import Picture, embedding, provenance
from nonesuch.errors import ProvenanceError
from nonesuch.images import Pixels, encode
from nonesuch.video import Video, write

RECIPE = {"model": "dots", "seed": 7, "psi": 0.5}
PIXELS = np.random.default_rng(2).integers(0, 256, (16, 24, 3), np.uint8)
KINDS = {name: encode(PIXELS, name, [RECIPE]) for name in ("jpeg", "png", "webp")}


def filmed(folder: Path, kind: str, frame: Pixels = PIXELS) -> bytes:
    path = folder / f"film.{kind}"
    write(Video(path=path, fps=25), iter([frame, 255 - frame, frame]), 3, RECIPE)
    return path.read_bytes()


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("films")
    return {kind: filmed(folder, kind) for kind in ("gif", "mp4", "webm", "webp", "png")}


@pytest.mark.parametrize("name", KINDS)
def test_a_pictures_packet_is_found(name: str) -> None:
    packet = embedding.find(KINDS[name])

    assert embedding.kind(KINDS[name]) == name
    assert packet == provenance.packet([RECIPE]).encode()


@pytest.mark.parametrize("name", ["gif", "mp4", "webm", "webp", "png"])
def test_a_films_packet_is_found(films: dict[str, bytes], name: str) -> None:
    packet = embedding.find(films[name])

    assert embedding.kind(films[name]) == name
    assert packet == provenance.packet([RECIPE]).encode()


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "gif"])
def test_a_picture_without_a_packet_has_none(tmp_path: Path, name: str) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a", name)

    assert embedding.find((tmp_path / "a").read_bytes()) is None


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("name", ["gif", "mp4", "webm", "webp", "jpeg", "png"])
def test_a_truncated_file_is_told(films: dict[str, bytes], name: str, share: float) -> None:
    content = (films | KINDS)[name]

    with pytest.raises(ProvenanceError, match=f"it is no whole {name}"):
        embedding.find(content[: int(len(content) * share)])


@pytest.mark.parametrize("content", [b"", b"hello", b"BM" + bytes(60), b"%PDF-1.4"])
def test_what_is_no_picture_is_told(content: bytes) -> None:
    with pytest.raises(ProvenanceError, match="it is no picture or film"):
        embedding.find(content)


def test_a_picture_that_would_fill_the_memory_is_not_opened() -> None:
    large = bytearray(KINDS["png"])
    large[16:24] = (100_000).to_bytes(4, "big") * 2  # width and height, and what guards them:
    large[29:33] = zlib.crc32(large[12:29]).to_bytes(4, "big")

    with pytest.raises(ProvenanceError, match="too large a picture"):
        embedding.find(bytes(large))


def test_a_film_that_would_take_hours_is_not_played() -> None:
    file, blank = io.BytesIO(), Image.new("P", (8000, 8000))
    blank.save(file, "gif")
    head, frame = file.getvalue()[: 13 + 3], file.getvalue()[13 + 3 : -1]

    with pytest.raises(ProvenanceError, match="it has 20 frames of 8000x8000, too many"):
        embedding.find(head + frame * 20 + b";")


def test_a_film_of_endless_parts_is_not_gone_through() -> None:
    part = (8).to_bytes(4, "big") + b"free"

    with pytest.raises(ProvenanceError, match="more than 100000 parts"):
        embedding.find(part.replace(b"free", b"ftyp") + part * 100_000)


@given(data=st.data(), name=st.sampled_from(["gif", "mp4", "webm", "webp", "jpeg", "png"]))
def test_a_damaged_file_is_read_or_told(
    films: dict[str, bytes], data: st.DataObject, name: str
) -> None:
    content = bytearray((films | KINDS)[name])
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[at] = data.draw(st.integers(0, 255))

    with suppress(ProvenanceError):  # nothing else comes out
        assert isinstance(embedding.find(bytes(content)), bytes | None)


def test_a_file_is_read_with_its_recipe_in_one_call(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(KINDS["png"])

    picture = Picture.read(tmp_path / "a.png")

    assert picture.recipe == RECIPE
    assert (picture.model, picture.seed) == ("dots", 7)
    assert (picture.array() == PIXELS).all()


def test_what_is_no_ordinary_file_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(ProvenanceError, match="is no ordinary file"):
        embedding.load(Path("/dev/zero"))
    with (tmp_path / "vast").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(ProvenanceError, match="has 1073741824 bytes, expected at most"):
        embedding.load(tmp_path / "vast")


WITHOUT = """
import sys
from pathlib import Path
sys.modules["av"] = None
from nonesuch import embedding
try:
    embedding.find(Path(sys.argv[1]).read_bytes())
except embedding.ProvenanceError as exc:
    print(exc)
"""


def test_without_pyav_webm_is_not_read_and_the_extra_is_named(
    films: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "a.webm").write_bytes(films["webm"])

    run = python(WITHOUT, str(tmp_path / "a.webm"))

    assert run.stdout == "reading webm needs PyAV: pip install 'nonesuch[video]'\n"
