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
ENDS = (-0.06, 1.06)  # of attributes that the generator has been taught
# Past their ends, where a weight of 2 takes most portraits, these are something else: hues begin
# again, and glasses that are less than none leave marks which the reader takes for some.
BOUNDED = ("glasses", "clothes_hue", "background_hue")
SHOWN = ("yaw", "beard", "smile", "age", "skin")  # the slow test has all of them


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


def turned(
    generator: Generator, reader: Reader, dials: Directions, name: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The attribute of five portraits that have it from little to much, at each weight of its dial.

    Returns what it should be and what is read, both [weights, portraits].
    """
    z = latents(range(400))
    own = space.attributes_of(z)[:, INDEX[name]]
    chosen = own.argsort()[[8, 104, 200, 296, 391]]
    ws = styles(generator, z[chosen])
    dial, vector = next(
        pair for pair in zip(dials.named, dials.vectors, strict=True) if pair[0].name == name
    )
    shown = []
    for weight in WEIGHTS:
        moved = ws.clone()
        moved[:, dial.first : dial.last + 1] += weight * torch.from_numpy(vector)
        shown.append(readings(reader, generate(generator, moved))[:, INDEX[name]].numpy())
    asked = own[chosen].numpy() + own.std().item() * np.array(WEIGHTS, np.float32)[:, None]
    return asked, np.stack(shown)


def steps(
    generator: Generator, reader: Reader, dials: Directions, name: str
) -> NDArray[np.float32]:
    """By how much the mean reading rises with each weight, over the portraits that have room."""
    asked, shown = turned(generator, reader, dials, name)
    room = np.ones(asked.shape, bool)
    if name in BOUNDED:
        room = (asked >= ENDS[0]) & (asked <= ENDS[1])
    both = room[:-1] & room[1:]
    rises: NDArray[np.float32] = np.mean(np.diff(shown, axis=0), axis=1, where=both)
    return rises


@pytest.mark.parametrize("name", [*SHOWN, *BOUNDED])
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
    engine = Engine(ENGINE)
    given = {
        name: value.numpy() for name, value in graph.neutral(generator, latents(range(100))).items()
    }
    given["psi"][:] = 0.5

    def diversity(modes: float) -> float:
        images = engine.run(given | {"modes": np.full((100, 1), modes, np.float32)})
        pictures = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
        return scale.diversity(readings(reader, iter([pictures])))

    assert diversity(1) > 1.5 * diversity(0)
