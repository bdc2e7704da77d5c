"""Pictures as arrays, in grids and on disk."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.client.shell import python

from nonesuch.errors import InvalidRequest, OutputError, RemoteError
from nonesuch.files import save
from nonesuch.images import Picture, decode, encode, format_of, grid


def tile(value: int, channels: int = 3) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.full((2, 3, channels), value, np.uint8)


@given(st.integers(1, 40), st.none() | st.integers(1, 12), st.sampled_from([1, 3, 4]))
def test_a_grid_holds_every_picture_in_reading_order(
    count: int, columns: int | None, channels: int
) -> None:
    sheet = grid([tile(i + 1, channels) for i in range(count)], columns)

    rows, across = sheet.shape[0] // 2, sheet.shape[1] // 3
    corners = sheet[::2, ::3, 0].ravel().tolist()
    assert sheet.shape[2] == channels
    assert corners == [*range(1, count + 1), *[0] * (rows * across - count)]
    assert rows * across - count < across
    assert columns in {across, None}


@given(st.integers(1, 1000))
def test_a_grid_is_near_square_unless_told_otherwise(count: int) -> None:
    rows, columns, _ = grid([np.zeros((1, 1, 1), np.uint8)] * count).shape

    full = [c for c in range(1, count + 1) if count % c == 0 and c**2 >= count >= c**2 / 2]
    assert (rows - 1) * columns < count <= rows * columns
    assert rows <= columns <= 2 * rows
    assert rows * columns == count or not full


def test_a_grid_of_nothing_or_of_unlike_pictures_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="at least one picture"):
        grid([])
    with pytest.raises(InvalidRequest, match=r"picture 1 of the grid is \(2, 3, 1\)"):
        grid([tile(0), tile(0, channels=1)])
    with pytest.raises(InvalidRequest, match="columns is 0"):
        grid([tile(0)], columns=0)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_lossless_file_reads_back_the_same(channels: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, channels), np.uint8)

    assert (decode(encode(pixels, "png")) == pixels).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_picture_has_the_channels_of_its_model_whatever_the_file_keeps(channels: int) -> None:
    opaque = tile(255, channels)  # webp knows no grey, and drops an alpha channel that is opaque

    picture = Picture(
        model="m", seed=1, channels=channels, recipe={}, encoded=encode(opaque, "webp")
    )

    assert picture.array().shape == opaque.shape
    assert np.abs(picture.array().astype(int) - 255).max() <= 2


def test_jpeg_refuses_transparency() -> None:
    with pytest.raises(InvalidRequest, match="jpeg has no transparency"):
        encode(tile(0, channels=4), "jpeg")


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello", id="no picture"),
        pytest.param(encode(np.zeros((64, 64, 3), np.uint8), "png")[:-30], id="cut short"),
    ],
)
def test_bytes_that_are_no_whole_picture_are_an_error(damaged: bytes) -> None:
    picture = Picture(model="m", seed=1, channels=3, recipe={}, encoded=damaged)

    with pytest.raises(RemoteError, match=f"{len(damaged)} bytes are no whole picture"):
        picture.array()


def test_the_format_is_told_by_the_name() -> None:
    assert [format_of(Path(f"a.{s}")) for s in ("jpg", "JPEG", "png", "webp")] == [
        "jpeg",
        "jpeg",
        "png",
        "webp",
    ]
    with pytest.raises(InvalidRequest, match=r"cannot tell the format of a\.gif, .* \.jpeg"):
        format_of(Path("a.gif"))


def test_saving_makes_folders_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.bin"

    save(path, b"first")
    save(path, b"second")

    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


def test_saving_where_no_folder_can_be_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(OutputError, match=r"cannot write .*a\.bin: File exists"):
        save(tmp_path / "file" / "a.bin", b"x")


FILL = """
import pathlib, resource, sys
from nonesuch.files import save
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
save(pathlib.Path(sys.argv[1]), bytes(5000))
"""


def test_a_full_disk_leaves_the_old_file_whole_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    run = python(FILL, str(path))

    assert f"OutputError: cannot write {path}: File too large" in run.stderr
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_is_not_replaced_by_a_file() -> None:
    with pytest.raises(OutputError, match="cannot write /dev/null: it is no ordinary file"):
        save(Path("/dev/null"), b"x")

    assert Path("/dev/null").is_char_device()
