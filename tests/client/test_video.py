"""Films on disk: what they hold, what they say of themselves, and what is refused."""

import json
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from tests import xmp
from tests.client.shell import python

from nonesuch import __version__, embedding
from nonesuch.errors import InvalidRequest, OutputError
from nonesuch.images import Pixels, decode
from nonesuch.provenance import SOURCE_TYPE, Mark, parse
from nonesuch.video import Video, write

RECIPE = {"model": "dots", "morph": {"seeds": "1,5"}}
TOOL = f"nonesuch {__version__}"
COUNT = 7


def frames(channels: int = 3, count: int = COUNT) -> list[Pixels]:
    """Smooth pictures of 24x16, the right half brighter from frame to frame."""
    pictures = np.full((count, 16, 24, channels), 60, np.uint8)
    pictures[:, :, 12:] += (20 * np.arange(count, dtype=np.uint8))[:, None, None, None]
    return list(pictures)


def filmed(path: Path, fps: float = 25.0, channels: int = 3) -> Path:
    write(Video(path=path, fps=fps), iter(frames(channels)), COUNT, RECIPE)
    return path


def said(path: Path) -> Mark:
    return parse(embedding.find(path.read_bytes()) or b"")


@pytest.mark.skipif(xmp.EXIFTOOL is None, reason="Pillow reads packets of pictures only")
@pytest.mark.parametrize("name", ["film.mp4", "film.gif", "film.webp", "film.png"])
def test_exiftool_reads_what_a_film_says(tmp_path: Path, name: str) -> None:
    told = xmp.told(filmed(tmp_path / name))

    assert (told["DigitalSourceType"], told["CreatorTool"]) == (SOURCE_TYPE, TOOL)
    assert json.loads(told["Recipe"]) == RECIPE


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["film.mp4", "film.webm"])
def test_a_film_plays_with_its_rate_and_says_that_it_is_synthetic(
    tmp_path: Path, name: str, channels: int
) -> None:
    filmed(tmp_path / name, 12.5, channels)

    with av.open(tmp_path / name) as film:
        shown = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        assert film.streams.video[0].average_rate == 12.5
    assert said(tmp_path / name) == Mark(source_type=SOURCE_TYPE, tool=TOOL, recipes=(RECIPE,))
    assert len(shown) == COUNT
    expected = [np.broadcast_to(frame, (16, 24, 3)) for frame in frames(channels)]
    assert np.abs(np.array(shown).astype(int) - np.array(expected)).mean() < 4


@pytest.mark.parametrize(
    ("name", "channels", "levels"),
    [("film.png", 4, 0), ("film.png", 1, 0), ("film.webp", 4, 8), ("film.gif", 3, 8)],
)
def test_an_animation_plays_without_end_and_says_that_it_is_synthetic(
    tmp_path: Path, name: str, channels: int, levels: int
) -> None:
    filmed(tmp_path / name, 30.0, channels)

    with Image.open(tmp_path / name) as film:
        shown, times_ms = [], []
        for i in range(COUNT):
            film.seek(i)
            film.load()
            times_ms.append(film.info["duration"])
            shown.append(np.asarray(film.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])))
        assert film.info["loop"] == 0
    assert said(tmp_path / name) == Mark(source_type=SOURCE_TYPE, tool=TOOL, recipes=(RECIPE,))
    assert sum(times_ms) == pytest.approx(1000 * COUNT / 30, abs=5)
    expected = np.array(frames(channels)).reshape(np.array(shown).shape)
    assert np.abs(np.array(shown).astype(int) - expected).max() <= levels


def test_a_folder_holds_a_marked_png_for_each_frame(tmp_path: Path) -> None:
    filmed(tmp_path / "deep" / "film")

    files = sorted((tmp_path / "deep" / "film").iterdir())
    assert [file.name for file in files] == [f"{i:08d}.png" for i in range(COUNT)]
    assert all((decode(f.read_bytes()) == p).all() for f, p in zip(files, frames(), strict=True))
    with Image.open(files[3]) as picture:
        assert '"frame": 3' in picture.info["XML:com.adobe.xmp"]


def test_a_long_film_is_not_kept_in_memory(tmp_path: Path) -> None:
    alive: list[weakref.ref[Pixels]] = []
    most = 0

    def taken() -> Iterator[Pixels]:
        nonlocal most
        for i in range(60):
            picture = np.full((16, 24, 3), i, np.uint8)
            alive.append(weakref.ref(picture))
            most = max(most, sum(ref() is not None for ref in alive))
            yield picture

    for name in ("film.mp4", "film"):
        write(Video(path=tmp_path / name), taken(), 60, RECIPE)

    assert len(alive) == 120
    assert most <= 3


@pytest.mark.parametrize(
    ("name", "shape", "count", "said"),
    [
        pytest.param("a.mp4", (16, 24, 4), 2, "mp4 has no transparency", id="alpha"),
        pytest.param("a.gif", (16, 24, 4), 2, "gif has no transparency", id="alpha gif"),
        pytest.param("a.mp4", (16, 23, 3), 2, "takes even sizes only and this is 23x16", id="odd"),
        pytest.param("a.webp", (1024, 1024, 3), 900, "900 frames of 1024x1024", id="too many"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(
    name: str, shape: tuple[int, int, int], count: int, said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        Video(path=Path(name)).check(shape, count)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        pytest.param(
            {"path": Path("a.avi")}, "format of a.avi, expected a name in .gif", id="name"
        ),
        pytest.param({"path": Path()}, "no name for a file or a new folder", id="no name"),
        pytest.param({"path": Path("a.mp4"), "fps": 0}, "0 frames per second", id="no rate"),
        pytest.param({"path": Path("a.mp4"), "fps": float("nan")}, "the rate is nan", id="nan"),
        pytest.param({"path": Path("a.gif"), "fps": 60}, "gif shows 1 to 50", id="gif's rate"),
    ],
)
def test_what_is_no_film_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        Video(**values)


def test_a_place_that_is_taken_by_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film").mkdir()
    Video(path=tmp_path / "film").check((16, 24, 3), 2)
    (tmp_path / "film" / "a.png").touch()

    with pytest.raises(OutputError, match="a folder with files in it"):
        Video(path=tmp_path / "film").check((16, 24, 3), 2)
    filmed(tmp_path / "b.mp4")
    assert filmed(tmp_path / "b.mp4").stat().st_size  # a file is written anew


def test_without_pyav_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)

    with pytest.raises(OutputError, match=r"mp4 needs PyAV: pip install 'nonesuch\[video\]'"):
        Video(path=Path("a.mp4")).check((16, 24, 3), 2)
    Video(path=Path("a.gif")).check((16, 24, 3), 2)


@pytest.mark.parametrize("name", ["film.mp4", "film.webm", "film.webp", "film.gif", "film"])
def test_an_interrupt_leaves_nothing(tmp_path: Path, name: str) -> None:
    def taken() -> Iterator[Pixels]:
        yield from frames()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(Video(path=tmp_path / name), taken(), COUNT, RECIPE)

    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from nonesuch.errors import OutputError
from nonesuch.video import Video, write
resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900))
pictures = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8)
try:
    write(Video(path=Path(sys.argv[1])), iter(pictures), 40, {})
except OutputError as exc:
    print(exc)
"""


@pytest.mark.parametrize("name", ["film.mp4", "film.webm", "film.webp", "film.gif", "film"])
def test_a_full_disk_is_said_and_nothing_left(tmp_path: Path, name: str) -> None:
    run = python(FULL_DISK, str(tmp_path / name))

    assert (run.stdout, run.stderr) == (f"cannot write {tmp_path / name}: File too large\n", "")
    assert list(tmp_path.iterdir()) == []
