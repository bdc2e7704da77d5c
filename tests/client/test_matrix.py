"""Matrices of style mixing and strips of dials: what is asked for, and the sheets that it gives."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.client.peer import Peer, card, draw
from tests.client.shell import Run

from nonesuch import AsyncClient, Client, Mix, Truncation
from nonesuch.card import Direction
from nonesuch.errors import InvalidRequest
from nonesuch.images import Pixels, decode

CELLS = [(column, row) for row in (5, 6) for column in (1, 2, 3)]


def test_a_matrix_comes_row_by_row_with_its_settings(peer: Peer) -> None:
    psi = Truncation(psi=0.5)
    with Client(peer.url) as client:
        pictures = client.mix("dots", [5, 6], [1, 2, 3], layers="coarse", truncation=psi)
        recipes = [picture.recipe for picture in pictures]

    assert len(pictures) == 6
    assert [(recipe["seed"], recipe["mix_seed"]) for recipe in recipes] == CELLS
    assert {(recipe["mix_layers"], recipe["psi"]) for recipe in recipes} == {("coarse", 0.5)}


def test_the_client_that_awaits_makes_the_same_matrix(peer: Peer) -> None:
    async def drawn() -> list[tuple[int | None, int]]:
        async with AsyncClient(peer.url) as client:
            pictures = client.mix("dots", [5, 6], [1, 2, 3], layers="coarse")
            return [(picture.seed, picture.recipe["mix_seed"]) async for picture in pictures]

    assert asyncio.run(drawn()) == CELLS


def test_what_is_no_matrix_is_refused_at_once(peer: Peer) -> None:
    with Client(peer.url) as client:
        with pytest.raises(InvalidRequest, match="at least one seed for its rows and its columns"):
            client.mix("dots", [], [1], layers="coarse")
        with pytest.raises(InvalidRequest, match="by its rows and layers, remove the mix"):
            client.mix("dots", [1], [1], layers="coarse", mix=Mix(seed=1, crossover=1))
        with pytest.raises(InvalidRequest, match="there are no fine layers"):
            client.mix("dots", [1], [1], layers="fine")
    assert peer.requests == []


def places(sheet: Pixels, seed: int) -> list[tuple[int, int]]:
    """Where the peer's picture of a seed stands on a sheet: rows and columns of pixels."""
    tile = draw(seed, card())
    windows = np.lib.stride_tricks.sliding_window_view(sheet, tile.shape)[:, :, 0]
    return [(int(y), int(x)) for y, x in np.argwhere((windows == tile).all(axis=(2, 3, 4)))]


def test_mix_draws_the_sources_and_a_block_for_each_choice_of_layers(run: Run, peer: Peer) -> None:
    words = ("--rows", "5,6", "--columns", "1-3", "--layers", "coarse", "--layers", "2-3")

    result = run("mix", "dots", *words, "--url", peer.url, "--out", "sheets/mix.png")

    assert result.exit_code == 0, result.stderr
    assert "17 pictures in sheets/mix.png" in result.stderr
    sheet = decode(Path("sheets/mix.png").read_bytes())
    rows = [52 + 6 * row for row in range(5)]  # of the columns' seeds, and two blocks of two
    assert [[y for y, _ in places(sheet, seed)] for seed in (1, 2, 3)] == [rows] * 3
    assert [[y for y, _ in places(sheet, seed)] for seed in (5, 6)] == [rows[1::2], rows[2::2]]
    lefts = [{x for _, x in places(sheet, seed)} for seed in (5, 6, 1, 2, 3)]
    assert lefts[0] == lefts[1]
    assert all(len(left) == 1 for left in lefts)
    assert [min(left) for left in lefts] == sorted(min(left) for left in lefts)


def test_a_sheet_carries_the_recipes_of_its_pictures(run: Run, peer: Peer) -> None:
    words = ("--rows", "5", "--columns", "1,2", "--layers", "2-3")

    run("mix", "dots", *words, "--url", peer.url)

    with Image.open("mix.png") as file:
        marks = file.info["XML:com.adobe.xmp"]
    assert "trainedAlgorithmicMedia" in marks
    assert marks.count('"mix_layers": "2-3"') == 2


def test_mix_takes_every_group_that_the_model_has(run: Run, peer: Peer) -> None:
    result = run("mix", "dots", "--rows", "5", "--columns", "1", "--url", peer.url)

    layers = [request["mix_layers"][0, 0] for request in peer.requests if "mix_layers" in request]
    assert result.exit_code == 0
    assert layers == [b"coarse"]
    assert Path("mix.png").exists()


def test_dial_turns_each_direction_for_each_seed(run: Run, peer: Peer) -> None:
    words = ("smile=-2:2", "--seeds", "3,4", "--steps", "3", "--out", "strip.png")

    result = run("dial", "dots", *words, "--url", peer.url)

    assert result.exit_code == 0, result.stderr
    assert sorted(peer.seeds) == [[3, 3, 3, 4], [4, 4]]
    in_order = sorted(peer.requests, key=lambda request: request["seed"].tolist())
    weights = [json.loads(text) for r in in_order for (text,) in r["directions"]]
    assert weights == [{"smile": -2.0}, {"smile": 0.0}, {"smile": 2.0}] * 2
    sheet = decode(Path("strip.png").read_bytes())
    assert [y for y, _ in places(sheet, 3)] == [52] * 3
    assert [y for y, _ in places(sheet, 4)] == [58] * 3


def test_a_dial_turns_on_top_of_the_other_directions(run: Run) -> None:
    named = tuple(Direction(name=name, first=0, last=1) for name in ("smile", "age"))
    with Peer(card(directions=named)) as peer:
        words = ("smile=0:1", "--directions", "age=2,smile=0.5", "--steps", "2")
        run("dial", "dots", *words, "--seeds", "3", "--url", peer.url)

    weights = [json.loads(text) for r in peer.requests for (text,) in r["directions"]]
    assert weights == [{"age": 2.0, "smile": 0.5}, {"age": 2.0, "smile": 1.5}]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("mix", "--rows", "5", "--columns", "x"), "cannot read 'x'", id="seeds"),
        pytest.param(
            ("mix", "--rows", "5", "--columns", "1", "--layers", "fine"),
            "no fine layers",
            id="fine",
        ),
        pytest.param(
            ("mix", "--rows", "5", "--columns", "1", "--out", "a.gif"), "format of a.gif", id="out"
        ),
        pytest.param(("dial", "--seeds", "5"), "Missing argument 'DIALS...'", id="no dial"),
        pytest.param(("dial", "smile=1", "--seeds", "5"), "expected NAME=FROM:TO", id="no span"),
        pytest.param(("dial", "grin=-1:1", "--seeds", "5"), "no direction 'grin'", id="unknown"),
        pytest.param(("dial", "smile=0:99", "--seeds", "5"), "is 24.75, expected", id="far"),
    ],
)
def test_what_no_sheet_can_show_is_refused_before_the_work(
    run: Run, peer: Peer, words: tuple[str, ...], said: str
) -> None:
    command, *others = words

    result = run(command, "dots", *others, "--url", peer.url)

    assert result.exit_code == 2
    assert said in result.stderr.splitlines()[-1]
    assert peer.requests == []
    assert list(Path().iterdir()) == []
