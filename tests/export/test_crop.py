"""Crops: what leaves the graph is a part of the network's picture, and every report says so."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from click.testing import CliRunner
from tests.export import forge
from tests.export.test_network import SMALL

from nonesuch.errors import InvalidRequest
from nonesuch_export import graph, network
from nonesuch_export.checkpoint import native
from nonesuch_export.cli import main
from nonesuch_export.crop import Crop


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_crop_is_the_same_pixels_of_the_whole_picture(channels: int, tmp_path: Path) -> None:
    generator = forge.shaped(replace(SMALL, channels=channels))
    given = graph.neutral(generator, torch.randn(2, SMALL.z_dim))
    whole = graph.Pipeline(generator)(*given.values()).numpy()
    generator.crop = Crop.parse("10x6").within(*generator.image_size)

    graph.export(generator, tmp_path / "model.onnx")

    session = ort.InferenceSession(tmp_path / "model.onnx")
    (part,) = session.run(None, {name: value.numpy() for name, value in given.items()})
    assert part.shape == (2, 6, 10, channels)
    assert np.abs(part.astype(int) - whole[:, 5:11, 3:13]).max() <= 1


@pytest.mark.parametrize(
    ("text", "corner"),
    [
        pytest.param("16x12", (0, 2), id="centred"),
        pytest.param("5x3", (5, 6), id="odd rest"),
        pytest.param("16x12+0+4", (0, 4), id="corner"),
        pytest.param("16x16", (0, 0), id="all of it"),
    ],
)
def test_where_a_crop_lies(text: str, corner: tuple[int, int]) -> None:
    crop = Crop.parse(text).within(16, 16)

    assert (crop.left, crop.top) == corner
    assert Crop.parse(str(crop)) == crop


@pytest.mark.parametrize("text", ["17x16", "16x17", "0x4", "16x12+1+0", "16x12+0+5"])
def test_a_crop_beyond_the_picture_is_refused_with_its_size(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"the crop is .*, but the network draws 16x16"):
        Crop.parse(text).within(16, 16)


@pytest.mark.parametrize("text", ["", "512", "512x", "x384", "512X384", "512x384+4", "-1x3"])
def test_what_is_no_crop_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest, match="as a crop, expected WIDTHxHEIGHT"):
        Crop.parse(text)


def test_the_command_line_builds_and_compares_the_part(tmp_path: Path) -> None:
    file, models = tmp_path / "small.safetensors", tmp_path / "models"
    native.write(network.freeze(forge.shaped(SMALL), "small"), file)
    run = CliRunner().invoke
    words = ["--crop", "16x12", "--name", "cars", "--repository", str(models)]

    built = run(main, ["build", str(file), *words, "--json"])
    engine = str(models / "cars_generator" / "1" / "model.onnx")
    same = run(main, ["parity", str(file), "--crop", "16x12", "--engine-file", engine])
    other = run(main, ["parity", str(file), "--engine-file", engine])

    assert '"crop": "16x12+0+2"' in built.stdout
    assert same.exit_code == 0, same.output
    assert other.exit_code == 1
    assert "the engine answers (4, 12, 16, 3), expected (4, 16, 16, 3)" in other.stderr


def test_a_crop_that_does_not_fit_builds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "small.safetensors"
    native.write(network.freeze(forge.shaped(SMALL), "small"), file)
    words = ["--crop", "32x24", "--name", "cars", "--repository", str(tmp_path / "models")]

    done = CliRunner().invoke(main, ["build", str(file), *words])

    assert (done.exit_code, done.stderr) == (
        2, "Error: the crop is 32x24, but the network draws 16x16\n"
    )  # fmt: skip
    assert not (tmp_path / "models").exists()
