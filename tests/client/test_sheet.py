"""Sheets: tiles where they belong, and words that have room."""

import numpy as np
import pytest

from nonesuch.errors import InvalidRequest
from nonesuch.images import Pixels
from nonesuch.sheet import Sheet

PAPER = (250, 250, 247)


def tile(value: int, channels: int = 3, width: int = 40) -> Pixels:
    return np.full((30, width, channels), value, np.uint8)


def test_tiles_lie_in_rows_and_a_free_place_shows_the_paper() -> None:
    drawn = Sheet(title="", rows=[[None, tile(1)], [tile(2), tile(3)]]).draw()

    corners = drawn[-60::30, ::40]
    assert drawn.shape == (26 + 60, 80, 3)
    assert [[tuple(c) for c in row] for row in corners.tolist()] == [
        [PAPER, (1, 1, 1)],
        [(2, 2, 2), (3, 3, 3)],
    ]


@pytest.mark.parametrize(
    ("channels", "expected"), [(1, (9, 9, 9)), (3, (9, 9, 9)), (4, (241,) * 3)]
)
def test_grey_and_transparent_tiles_are_shown_as_they_look(
    channels: int, expected: tuple[int, ...]
) -> None:
    (_, pixel) = Sheet(title="", rows=[[tile(9, channels), tile(9, channels)]]).draw()[-1, ::40]

    assert np.abs(pixel.astype(int) - expected).max() <= 6


def test_long_headings_push_narrow_columns_apart() -> None:
    rows = [[tile(5, width=8), tile(6, width=8)]]
    close = Sheet(title="", rows=rows, above=["a", "b"]).draw()
    apart = Sheet(title="", rows=rows, above=["seed 4294967295", "seed 4294967294"]).draw()

    ink = (apart[26:52] != PAPER).any(axis=(0, 2))
    assert apart.shape[1] > 2 * 90 > close.shape[1]
    assert not ink[:2].any() or not ink[-2:].any()


def test_headings_beside_have_room() -> None:
    rows = [[tile(5)]]
    plain, named = Sheet(title="", rows=rows), Sheet(title="", rows=rows, beside=["a name"])

    left = named.draw().shape[1] - plain.draw().shape[1]

    assert left > 30
    assert (named.draw()[-30:, :left] != PAPER).any()
    assert (named.draw()[-30:, left:] == 5).all()


def test_tiles_of_unlike_shapes_or_none_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="tiles of one shape"):
        Sheet(title="", rows=[[tile(1), tile(1, width=41)]])
    with pytest.raises(InvalidRequest, match="tiles of one shape"):
        Sheet(title="", rows=[[None]])
