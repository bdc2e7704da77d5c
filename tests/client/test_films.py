"""Morphs from a server: what is asked for, what is filmed, and what is left when it fails."""

import asyncio
import os
import pty
import signal
from pathlib import Path
from typing import Any

import av
import grpc
import numpy as np
import pytest
from tests.client.peer import Faults, Peer, card, mapped
from tests.client.shell import COMMAND, Run, python, start

from nonesuch import AsyncClient, Client, Codes, Mix, Morph, Truncation, embedding
from nonesuch.errors import InvalidRequest
from nonesuch.images import decode
from nonesuch.latents import latent
from nonesuch.provenance import parse


def sent(peer: Peer, name: str) -> list[list[float]]:
    """A tensor of all samples of pictures, in order."""
    return [row.tolist() for request in peer.requests if name in request for row in request[name]]


def codes(count: int = 2) -> Codes:
    ws = np.random.default_rng(1).uniform(1, 9, (count, 16)).astype(np.float32)
    return Codes(ws=ws, model="dots", model_hash=card().model_hash)


def test_a_morph_through_z_begins_and_ends_at_its_seeds(peer: Peer) -> None:
    with Client(peer.url, in_flight=1) as client:  # so that requests come in their order
        pictures = client.morph("dots", [1, 5], Morph(frames=4), truncation=Truncation(psi=0.5))
        seeds = [picture.seed for picture in pictures]

    z = sent(peer, "z")
    assert (len(pictures), seeds) == (5, [None] * 5)
    assert (z[0], z[-1]) == (latent(1, 16)[0].tolist(), latent(5, 16)[0].tolist())
    assert sent(peer, "psi") == [[0.5]] * 5


def test_a_morph_through_w_walks_on_the_line_truncated_as_recommended(peer: Peer) -> None:
    with Client(peer.url) as client:
        for _ in client.morph("dots", [1, 5], Morph(frames=2, through="w")):
            pass

    ends = [mapped("w", latent(seed, 16), None, card())[0] for seed in (1, 5)]
    expected = [ends[0], (ends[0] + ends[1]) / 2, ends[1]]
    np.testing.assert_allclose(np.array(sent(peer, "ws"))[:, 0], expected, rtol=1e-6)
    assert sent(peer, "psi") == [[pytest.approx(0.7)]] * 3


def test_a_class_goes_into_the_mapping_of_a_morph_through_w() -> None:
    with Peer(card(c_dim=2, controls=("c", *card().controls))) as peer, Client(peer.url) as client:
        for _ in client.morph("dots", [1, 5], Morph(frames=1, through="w"), class_idx=1):
            pass

    assert sent(peer, "c") == [[0, 1]] * 2
    assert "class" not in peer.requests[-1]


def test_the_client_that_awaits_makes_the_same_morphs(peer: Peer) -> None:
    keys: list[tuple[Any, Morph]] = [
        ([1, 5], Morph(frames=3, loop=True)),
        ([1, 5], Morph(frames=3, through="w")),
        (codes(), Morph(frames=2, through="spline")),
    ]

    async def drawn() -> list[Any]:
        async with AsyncClient(peer.url) as client:
            films = [client.morph("dots", *each) for each in keys]
            assert [len(film) for film in films] == [7, 4, 3]
            return [[picture.recipe async for picture in film] for film in films]

    with Client(peer.url) as client:
        expected = [[picture.recipe for picture in client.morph("dots", *key)] for key in keys]
    assert asyncio.run(drawn()) == expected


def test_what_is_no_morph_of_the_model_is_refused_at_once(peer: Peer) -> None:
    with Client(peer.url) as client:
        with pytest.raises(InvalidRequest, match="two keyframes or more, got 1"):
            client.morph("dots", [1])
        with pytest.raises(InvalidRequest, match="remove the mix"):
            client.morph("dots", codes(), Morph(through="w"), mix=Mix(seed=1, crossover=2))
        with pytest.raises(InvalidRequest, match="dots is unconditional"):
            client.morph("dots", [1, 2], class_idx=1)
    assert peer.requests == []


def test_morph_films_seeds(run: Run, peer: Peer) -> None:
    words = ("--seeds", "1,5,9", "--frames", "4", "--loop", "--ease", "--fps", "10")

    result = run("morph", "dots", *words, "--url", peer.url, "--out", "films/a.mp4")

    assert result.exit_code == 0, result.stderr
    assert "13 pictures in films/a.mp4" in result.stderr
    with av.open("films/a.mp4") as film:
        assert film.streams.video[0].frames == 13
        assert film.streams.video[0].average_rate == 10
    (told,) = parse(embedding.find(Path("films/a.mp4").read_bytes()) or b"").recipes
    way = {"seeds": "1,5,9", "frames": 4, "through": "z", "ease": True}
    assert told["morph"].items() >= way.items()


def test_morph_films_codes_and_noises_in_turn(run: Run, peer: Peer) -> None:
    codes(3).save(Path("faces.npz"))
    words = ("--codes", "faces.npz", "--through", "spline", "--frames", "2")
    noises = ("--noise-seed", "7", "--noise-loop", "2")

    result = run("morph", "dots", *words, *noises, "--url", peer.url, "--out", "film")

    assert result.exit_code == 0, result.stderr
    assert len(list(Path("film").iterdir())) == 5
    drawn = np.array(sent(peer, "ws"))[:, 0]  # requests under way at once may overtake each other
    for code in codes(3).ws:
        assert np.isclose(drawn, code).all(axis=1).sum() == 1
    assert sorted(sent(peer, "noise_seed")) == [[7], [7], [7], [8], [8]]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        pytest.param((), 2, "give either --seeds or --codes", id="nothing"),
        pytest.param(("--seeds", "1"), 2, "two keyframes or more, got 1", id="one seed"),
        pytest.param(("--seeds", "1-2", "--frames", "0"), 2, "frames is 0", id="frames"),
        pytest.param(("--seeds", "1-2", "--fps", "0"), 2, "1 to 240 frames per second", id="fps"),
        pytest.param(("--seeds", "1-2", "--out", "a.avi"), 2, "format of a.avi", id="format"),
        pytest.param(("--seeds", "1-2", "--noise-loop", "2"), 2, "a noise seed", id="noise"),
        pytest.param(("--codes", "no.npz"), 2, "does not exist", id="no codes"),
        pytest.param(("--codes", "bad.npz"), 2, "holds no codes of W", id="bad codes"),
        pytest.param(("--codes", "faces.npz"), 2, "have no z, go through w", id="codes through z"),
        pytest.param(("--seeds", "1-2", "--out", "bad.npz/a.gif"), 1, "cannot write", id="place"),
        pytest.param(("--seeds", "1-2", "--out", "."), 2, "no name for a file", id="here"),
    ],
)
def test_what_cannot_be_filmed_ends_with_its_status_and_one_sentence(
    run: Run, peer: Peer, words: tuple[str, ...], status: int, said: str
) -> None:
    codes().save(Path("faces.npz"))
    Path("bad.npz").write_bytes(b"PK")

    result = run("morph", "dots", "--url", peer.url, *words)

    assert result.exit_code == status
    assert said in result.stderr.splitlines()[-1]
    assert sorted(path.name for path in Path().iterdir()) == ["bad.npz", "faces.npz"]


def test_a_film_that_cannot_hold_the_pictures_is_refused_before_the_work(run: Run) -> None:
    with Peer(card(channels=4)) as peer:
        result = run("morph", "dots", "--seeds", "1-2", "--out", "a.mp4", "--url", peer.url)

    said = "Error: mp4 has no transparency, choose .webp, .png or a folder\n"
    assert (result.exit_code, result.stderr, peer.requests) == (2, said, [])


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a"])
def test_a_server_that_fails_on_the_way_leaves_no_film(run: Run, name: str) -> None:
    codes = Codes(
        ws=np.repeat(np.arange(1, 9, dtype=np.float32)[:, None], 16, 1),
        model="dots",
        model_hash=card().model_hash,
    )
    codes.save(Path("faces.npz"))
    faults = Faults(refused={7: (grpc.StatusCode.UNAVAILABLE, "gone")})
    words = ("--codes", "faces.npz", "--through", "w", "--frames", "9", "--out", name)
    with Peer(faults=faults) as peer:
        result = run("morph", "dots", *words, "--url", peer.url)

    assert (result.exit_code, result.stderr) == (3, f"Error: {peer.url}: gone\n")
    assert [path.name for path in Path().iterdir()] == ["faces.npz"]


def test_an_interrupt_leaves_no_film(tmp_path: Path) -> None:
    codes(2).save(tmp_path / "faces.npz")
    words = ("--codes", str(tmp_path / "faces.npz"), "--through", "w", "--frames", "9999")
    faults = Faults(delay_s=lambda _first: 0.02)
    film = tmp_path / "out" / "a.mp4"
    with (
        Peer(faults=faults) as peer,
        start(COMMAND, "morph", "dots", *words, "--out", str(film), "--url", peer.url) as command,
    ):
        peer.asked(requests=40)
        was_begun = [path.name.startswith(".a.mp4.") for path in film.parent.iterdir()]
        command.send_signal(signal.SIGINT)
        status = command.wait(timeout=10)

    assert was_begun == [True]
    assert status == 1
    assert list(film.parent.iterdir()) == []


def test_progress_of_a_film_is_drawn_on_a_terminal(peer: Peer, tmp_path: Path) -> None:
    words = ("--seeds", "1-3", "--frames", "5", "--out", str(tmp_path / "a.gif"))
    ours, theirs = pty.openpty()

    run = python(COMMAND, "morph", "dots", *words, "--url", peer.url, stderr=theirs)

    drawn = os.read(ours, 100_000).decode()
    os.close(ours)
    os.close(theirs)
    assert run.returncode == 0
    assert "11/11" in drawn
    assert (tmp_path / "a.gif").exists()


def test_w_keeps_the_w_of_seeds_and_generate_draws_them(run: Run, peer: Peer) -> None:
    written = run("w", "dots", "--seeds", "3,4", "--url", peer.url, "--out", "deep/faces.npz")
    drawn = run(
        "generate",
        "dots",
        "--codes",
        "deep/faces.npz",
        "--format",
        "png",
        "--json",
        "--url",
        peer.url,
    )

    assert (written.exit_code, written.stderr) == (0, "2 codes in deep/faces.npz\n")
    assert drawn.exit_code == 0, drawn.stderr
    kept = Codes.load(Path("deep/faces.npz"))
    expected = [mapped("w", latent(seed, 16), None, card())[0] for seed in (3, 4)]
    assert (kept.model, kept.model_hash) == ("dots", "5eed")
    assert (kept.ws == expected).all()
    assert [path.name for path in sorted(Path("out").iterdir())] == [
        "code00000000.png",
        "code00000001.png",
    ]
    assert decode(Path("out/code00000000.png").read_bytes()).shape == (6, 8, 3)
    assert [line.split(",")[0] for line in drawn.stdout.splitlines()] == [
        '{"code": 0',
        '{"code": 1',
    ]


def test_codes_take_no_class_and_must_be_the_models(run: Run) -> None:
    codes().save(Path("faces.npz"))
    with Peer(card(model_hash="0ther")) as peer, Peer() as same:
        others = run("generate", "dots", "--codes", "faces.npz", "--url", peer.url)
        classed = run("generate", "dots", "--codes", "faces.npz", "--class", "1", "--url", same.url)

    assert (others.exit_code, classed.exit_code) == (2, 2)
    assert "these codes are of dots (5eed), not of dots (0ther)" in others.stderr
    assert "remove the class" in classed.stderr
