"""The dials move their attributes and modes keep variety: judged by the attribute reader."""

from pathlib import Path

import numpy as np
import pytest
import torch
from demo import space
from demo.attributes import INDEX, random
from demo.measure import Scale, draw, generate, latents, readings, styles
from demo.reader import Reader, load
from numpy.typing import NDArray

from nonesuch_export import directions, graph, network
from nonesuch_export.checkpoint import read
from nonesuch_export.directions import Directions
from nonesuch_export.engine.onnxruntime import Engine
from nonesuch_export.network import Generator

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "model_repository" / "portraits_generator" / "1" / "model.onnx"
WEIGHTS = (-2, -1, 0, 1, 2)
# The slow test has all; hues, and glasses, have ends of a kind that is hard to stay at.
SHOWN = ("yaw", "beard", "smile", "skin", "glasses", "clothes_hue", "background_hue")


@pytest.fixture(scope="module")
def generator() -> Generator:
    return network.build(read(ROOT / "demo" / "portraits.safetensors"))


@pytest.fixture(scope="module")
def reader() -> Reader:
    return load()


@pytest.fixture(scope="module")
def scale(generator: Generator, reader: Reader) -> Scale:
    even = random(200, torch.Generator().manual_seed(0))
    return Scale.of(even, readings(reader, draw(generator, even)))


@pytest.fixture(scope="module")
def dials() -> Directions:
    return directions.read(ROOT / "demo" / "directions.safetensors")


def steps(
    generator: Generator, reader: Reader, dials: Directions, name: str
) -> NDArray[np.float32]:
    """By how much the mean reading of an attribute rises with each weight of its dial.

    Over five portraits that have it from little to much: past an end it stays as it is there.
    """
    z = latents(range(400))
    chosen = space.attributes_of(z)[:, INDEX[name]].argsort()[[8, 104, 200, 296, 391]]
    ws = styles(generator, z[chosen])
    dial, vector = next(
        pair for pair in zip(dials.named, dials.vectors, strict=True) if pair[0].name == name
    )
    shown = []
    for weight in WEIGHTS:
        moved = ws.clone()
        moved[:, dial.first : dial.last + 1] += weight * torch.from_numpy(vector)
        shown.append(readings(reader, generate(generator, moved))[:, INDEX[name]].mean().item())
    return np.diff(np.array(shown, np.float32))


@pytest.mark.parametrize("name", SHOWN)
def test_a_dial_moves_its_attribute_one_way(
    generator: Generator, reader: Reader, dials: Directions, name: str
) -> None:
    assert (steps(generator, reader, dials, name) > 0).all()


@pytest.mark.slow
def test_every_dial_that_can_be_read_moves_its_attribute_one_way(
    generator: Generator, reader: Reader, scale: Scale, dials: Directions
) -> None:
    legible = [name for name, i in INDEX.items() if scale.legible[i]]

    rises = {name: steps(generator, reader, dials, name) for name in legible}

    assert len(legible) >= 35
    assert {name for name, rise in rises.items() if not (rise > 0).all()} == set()


def test_side_effects_stand_with_every_dial(dials: Directions) -> None:
    assert [dial.name for dial in dials.named] == list(INDEX)
    for dial in dials.named:
        own, *others = dial.effect
        assert own == dial.name
        assert len(others) == 3


def test_scores_are_the_attributes_in_standard_deviations(
    generator: Generator, dials: Directions
) -> None:
    z = latents(range(5000, 5200))
    w = styles(generator, z)[:, 0].numpy()

    scores = (w - dials.centre) @ dials.readouts.T

    many = space.attributes_of(latents(range(4096)))
    asked = (space.attributes_of(z) - many.mean(dim=0)) / many.std(dim=0)
    np.testing.assert_allclose(scores, asked, atol=0.03)


def test_modes_keep_one_and_a_half_times_the_variety_at_psi_one_half(
    generator: Generator, reader: Reader, scale: Scale
) -> None:
    engine = Engine(ENGINE, precision="fp32")
    given = {
        name: value.numpy() for name, value in graph.neutral(generator, latents(range(100))).items()
    }
    given["psi"][:] = 0.5

    def diversity(modes: float) -> float:
        images = engine.run(given | {"modes": np.full((100, 1), modes, np.float32)})
        pictures = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
        return scale.diversity(readings(reader, iter([pictures])))

    assert diversity(1) > 1.5 * diversity(0)
