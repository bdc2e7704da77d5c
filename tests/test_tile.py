"""A tiled model behind Triton: its pictures repeat without a seam, and their recipes say so."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from tests.conftest import ServedGolden
from tests.export.stage import loaded
from tests.test_path import ask, opened
from tritonclient.grpc import InferenceServerClient

from nonesuch import Client
from nonesuch.cli import main
from nonesuch.images import decode
from nonesuch_export.seam import seam

SEEDS = [[seed] for seed in range(8)]


@pytest.fixture(scope="module")
def triton(served: ServedGolden) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(served.url) as connected:
        yield connected


@pytest.mark.triton
def test_files_and_pixels_tile_and_carry_their_score(triton: InferenceServerClient) -> None:
    outputs = ("encoded", "image", "recipe")

    answer = ask(triton, "bricks", outputs, seed=SEEDS)

    assert answer["image"].shape == (8, 32, 32, 4)
    assert (opened(answer["encoded"]) == answer["image"]).all()  # PNG, alpha and all
    for encoded, pixels, recipe in zip(*(answer[name] for name in outputs), strict=True):
        said = json.loads(recipe[0])
        assert said["tile"] == "both"
        assert said["seam"] == round(seam(pixels, "both"), 3)
        assert seam(np.tile(pixels, (2, 2, 1)), "both") <= 1.1
        assert recipe[0].decode() in Image.open(BytesIO(encoded[0])).info["XML:com.adobe.xmp"]


@pytest.mark.triton
def test_a_recipe_without_a_file_carries_the_score_too(triton: InferenceServerClient) -> None:
    wanted = ask(triton, "bricks", ("encoded", "recipe"), seed=[[3]])["recipe"]

    assert ask(triton, "bricks", ("recipe",), seed=[[3]])["recipe"] == wanted


@pytest.mark.triton
def test_other_models_have_no_seam_in_their_recipes(triton: InferenceServerClient) -> None:
    (text,) = ask(triton, "faces", ("recipe",), seed=[[3]])["recipe"][0]

    assert not {"tile", "seam"} & set(json.loads(text))


@pytest.mark.triton
def test_the_command_writes_png_where_there_is_alpha(served: ServedGolden, tmp_path: Path) -> None:
    words = ["generate", "bricks", "--seeds", "4", "--url", served.url, "--out", str(tmp_path)]

    done = CliRunner().invoke(main, [*words, "--json"])

    result = json.loads(done.stdout)
    assert Path(result["path"]) == tmp_path / "seed00000004.png"
    assert decode(Path(result["path"]).read_bytes()).shape == (32, 32, 4)
    assert result["recipe"]["format"] == "png"
    with Client(served.url) as client:
        assert client.info("bricks").tile == "both"


def test_the_server_and_the_exporter_score_alike() -> None:
    """The encoder is self-contained, so the formula stands in both; here they are compared."""
    encoder = loaded("encoder")
    random = np.random.default_rng(0)

    for shape in ((32, 32, 3), (4, 64, 1), (64, 6, 4), (5, 4, 3)):
        pixels = random.integers(0, 256, shape, np.uint8).cumsum(axis=1).astype(np.uint8)
        for tile in ("x", "y", "both"):
            assert encoder.seam(pixels, tile) == seam(pixels, tile)
