"""Portraits that melt into each other, by the real server."""

import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import CliRunner

from nonesuch import Client, Codes, Morph, embedding
from nonesuch.cli import main
from nonesuch.images import Pixels, decode
from nonesuch.options import RAW
from nonesuch.provenance import parse

pytestmark = pytest.mark.triton

ROOT = Path(__file__).parents[2]
SEEDS = (1, 5, 9, 2)


def steps(frames: list[Pixels]) -> list[float]:
    """How far each frame is from the one before, as the mean of all levels."""
    signed = np.stack(frames).astype(np.int16)
    return [float(np.abs(step).mean()) for step in np.diff(signed, axis=0)]


def test_a_loop_of_four_portraits_is_closed_and_smooth(url: str) -> None:
    way = Morph(frames=60, loop=True)

    with Client(url) as client:
        frames = [picture.array() for picture in client.morph("portraits", SEEDS, way)]
        keyframes = [p.array() for p in client.generate("portraits", SEEDS, format=RAW)]

    moved = steps(frames)
    assert len(frames) == 241
    assert (frames[0] == frames[-1]).all()
    assert max(moved) <= 3 * np.median(moved)
    assert min(moved) > 0
    for frame, keyframe in zip(frames[:-1:60], keyframes, strict=True):
        assert np.abs(frame.astype(int) - keyframe).max() <= 1


@pytest.mark.parametrize("through", ["w", "spline"])
def test_a_loop_through_w_is_closed_and_hits_its_seeds(url: str, through: str) -> None:
    way = Morph(frames=6, through=through, loop=True)  # type: ignore[arg-type]  # one of them

    with Client(url) as client:
        frames = [picture.array() for picture in client.morph("portraits", SEEDS, way)]
        keyframes = [p.array() for p in client.generate("portraits", SEEDS, format=RAW)]

    assert (frames[0] == frames[-1]).all()
    for frame, keyframe in zip(frames[:-1:6], keyframes, strict=True):
        assert np.abs(frame.astype(int) - keyframe).max() <= 1


def test_the_film_of_a_morph_plays(url: str, tmp_path: Path) -> None:
    words = ["--seeds", "1,5,9,2", "--loop", "--frames", "8", "--fps", "24"]
    film = tmp_path / "faces.mp4"

    done = CliRunner().invoke(
        main, ["morph", "portraits", *words, "--url", url, "--out", str(film)]
    )

    assert done.exit_code == 0, done.output
    with av.open(film) as file:
        stream = file.streams.video[0]
        shown = [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == 24
    mark = parse(embedding.find(film.read_bytes()) or b"")
    assert mark.synthetic
    assert mark.recipes[0]["morph"]["seeds"] == "1,5,9,2"
    assert len(shown) == 33
    assert shown[0].shape == (128, 128, 3)
    with Client(url) as client:
        keyframes = [p.array() for p in client.generate("portraits", SEEDS, format=RAW)]
    for frame, keyframe in zip(shown[:-1:8], keyframes, strict=True):
        assert np.abs(frame.astype(int) - keyframe).mean() < 5  # h264's own loss


def test_the_python_lines_of_the_page_of_controls_run(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "controls.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    kept = CliRunner().invoke(
        main,
        ["w", "portraits", "--seeds", "5,9,2,12", "--out", "faces.npz"],
        env={"NONESUCH_URL": url},
    )
    names: dict[str, Any] = {}

    exec("\n".join(blocks).replace("localhost:8001", url), names)
    with names["client"]:
        noises = [picture.array() for picture in names["pictures"]]

    assert kept.exit_code == 0, kept.output
    assert len(names["strip"]) == 5
    assert len(np.unique(noises, axis=0)) == 8
    assert len(Codes.load(Path("halfway.npz"))) == 8


def test_codes_of_w_draw_what_their_seeds_draw(url: str, tmp_path: Path) -> None:
    def run(*words: str) -> None:
        done = CliRunner().invoke(main, [*words, "--url", url])
        assert done.exit_code == 0, done.output

    faces, out = tmp_path / "faces.npz", tmp_path / "out"
    run("w", "portraits", "--seeds", "5,9", "--out", str(faces))
    same = ("--truncation", "0.7", "--format", "png", "--out", str(out))
    run("generate", "portraits", "--codes", str(faces), *same)
    run("generate", "portraits", "--seeds", "5,9", *same)

    for code, seed in enumerate((5, 9)):
        files = out / f"code{code:08d}.png", out / f"seed{seed:08d}.png"
        one, two = (decode(file.read_bytes()).astype(int) for file in files)
        assert np.abs(one - two).max() <= 1
