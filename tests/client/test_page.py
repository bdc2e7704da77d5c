"""The page with one face as a browser gets it: with a picture in it that needs no script."""

import re
from html import unescape
from urllib.parse import parse_qsl, urlsplit

import pytest

from nonesuch.web import page

Pairs = list[tuple[str, str]]
MODELS = ("dots", 'a"&b')


def source(pairs: Pairs, again: bool = False) -> tuple[str, dict[str, str]] | None:
    """Path and parameters of the picture, None where the page has none."""
    found = re.search(r'<img id="face" src="([^"]*)"', page.document(pairs, MODELS, again=again))
    if not found:
        return None
    parts = urlsplit(unescape(found[1]))
    return parts.path, dict(parse_qsl(parts.query))


def test_an_address_is_a_face() -> None:
    asked = [("seed", "42"), ("model", "dots"), ("directions", "smile=2"), ("psi", "0.5")]

    path, given = source(asked) or ("", {})

    assert path == "v1/models/dots/image"
    assert given == {"seed": "42", "directions": "smile=2", "psi": "0.5"}


@pytest.mark.parametrize(
    ("pairs", "again"),
    [
        pytest.param([], False, id="no seed"),
        pytest.param([("seed", "42")], True, id="loaded again"),
        pytest.param([("seed", "4294967296")], False, id="too large"),
        pytest.param([("seed", "-1")], False, id="below zero"),
        pytest.param([("seed", "1" * 5000)], False, id="far too large"),
    ],
)
def test_any_other_page_has_a_new_face_each_time(pairs: Pairs, again: bool) -> None:
    seeds = {(source(pairs, again) or ("", {}))[1]["seed"] for _ in range(4)}

    assert len(seeds) == 4
    assert all(0 <= int(seed) < 2**32 for seed in seeds)


def test_nothing_in_an_address_breaks_out_of_the_page() -> None:
    evil = '"><script src=x>'

    text = page.document([("model", MODELS[1]), (evil, evil), ("psi", evil)], MODELS, again=False)

    assert evil not in text
    assert text.count("<script") == 1
    assert "v1/models/a%22%26b/image?" in text
    assert 'data-model="a&quot;&amp;b"' in text


def test_an_unknown_model_is_left_to_the_script() -> None:
    assert source([("model", "nobody"), ("seed", "1")]) is None
    assert '<img id="face" alt="" hidden>' in page.document([], (), again=False)
