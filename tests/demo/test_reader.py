"""The reader reads portraits that it has never seen; its training is the same every time."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from demo.attributes import ATTRIBUTES, INDEX
from demo.measure import QUESTIONS, Question, judge
from demo.reader import (
    FILE,
    Album,
    Loss,
    Reader,
    Recipe,
    bind,
    draw,
    explained,
    load,
    main,
    read,
    roughen,
    train,
    untrained,
)
from torch import Tensor

from nonesuch.errors import InvalidRequest

# R² on held-out portraits. Where an attribute shows only in part of its range (a beard from 0.6,
# long hair only on those who have hair) no reader could come near 1.
LEGIBLE = {
    "yaw": 0.95, "pitch": 0.93, "roll": 0.93, "zoom": 0.88, "head_width": 0.85,
    "hair_volume": 0.90, "hair_length": 0.65, "fringe": 0.70, "shoulders": 0.90, "beard": 0.60,
    "smile": 0.85, "mouth_open": 0.70, "eye_size": 0.80, "gaze": 0.80, "glasses": 0.65,
    "collar": 0.90, "skin": 0.95, "hair_colour": 0.85, "eye_colour": 0.80, "clothes_hue": 0.94,
    "background_hue": 0.96, "background_lightness": 0.95, "light": 0.88,
}  # fmt: skip
CLASSES = {"glasses": 0.97, "hair colour": 0.88, "skin tone": 0.91, "smile": 0.90}


@pytest.fixture(scope="module")
def reader() -> Reader:
    return load()


@pytest.fixture(scope="module")
def album() -> Album:
    return bind(list(draw(400, seed=123)))


@pytest.fixture(scope="module")
def readings(reader: Reader, album: Album) -> Tensor:
    return read(reader, album.floats())


def test_readings_are_attributes(album: Album, readings: Tensor) -> None:
    assert readings.shape == album.attributes.shape
    assert readings.min() >= 0
    assert readings.max() <= 1


@pytest.mark.parametrize("name", LEGIBLE)
def test_what_can_be_seen_is_read(album: Album, readings: Tensor, name: str) -> None:
    assert explained(album.attributes, readings)[INDEX[name]] > LEGIBLE[name]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_portraits_are_put_into_their_classes(
    album: Album, readings: Tensor, question: Question
) -> None:
    assert judge(question, album.attributes, readings, readings).drawn > CLASSES[question.name]


def test_soft_and_tinted_pictures_are_read_nearly_as_well(
    reader: Reader, album: Album, readings: Tensor
) -> None:
    rough = read(reader, roughen(album.floats(), torch.Generator().manual_seed(5)))

    picks = [INDEX[name] for name in LEGIBLE]
    lost = explained(album.attributes, readings) - explained(album.attributes, rough)
    assert lost[picks].mean() < 0.03


def test_larger_pictures_are_averaged_down(reader: Reader) -> None:
    large = torch.rand(2, 3, 192, 192, generator=torch.Generator().manual_seed(1)) * 2 - 1

    small = torch.nn.functional.avg_pool2d(large, 3)
    torch.testing.assert_close(reader(large), reader(small))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (100, 100), (64, 128)])
def test_other_sizes_are_refused(reader: Reader, height: int, width: int) -> None:
    with pytest.raises(InvalidRequest, match=rf"{width}x{height}.* multiple of 64"):
        reader(torch.zeros(1, 3, height, width))


def test_the_reader_is_small() -> None:
    assert FILE.stat().st_size < 1_000_000
    assert sum(weight.numel() for weight in load().parameters()) < 300_000


def test_an_album_repeats_itself_and_shows_its_attributes() -> None:
    one, two = bind(list(draw(20, seed=4))), bind(list(draw(20, seed=4)))

    assert torch.equal(one.pictures, two.pictures)
    assert one.pictures.shape == (20, 3, 64, 64)
    assert one.attributes.shape == (20, len(ATTRIBUTES))


def test_all_errors_weigh_alike_in_the_beginning_and_relative_ones_in_the_end() -> None:
    attributes = torch.full((4, len(ATTRIBUTES)), 0.5)
    guess = attributes.clone()
    guess[:, 0] += 0.4
    guess[:, 1] += 0.02
    shares = []
    for progress in (0.0, 1.0):
        loss = Loss()
        for _ in range(800):
            last = guess.clone().requires_grad_()
            now = loss(last, attributes, progress)
        now.backward()  # type: ignore[no-untyped-call]
        assert last.grad is not None
        shares.append((last.grad[:, 1] / last.grad[:, 0]).mean().item())

    assert shares[0] == pytest.approx(0.4)  # Huber's: 0.02 of the bend at 0.05
    assert shares[1] > 10 * shares[0]


def test_training_learns_and_repeats_itself() -> None:
    album = bind(list(draw(128, seed=2)))
    recipe = Recipe(pictures=128, passes=6, batch=16)
    weights = []
    for _ in range(2):
        reader = untrained(recipe.seed)
        losses = list(train(reader, album, recipe))
        weights.append(torch.cat([w.detach().flatten() for w in reader.parameters()]))

    assert len(losses) == recipe.passes
    assert torch.equal(*weights)
    seen = explained(album.attributes, read(reader, album.floats()))
    assert seen[INDEX["background_lightness"]] > 0.3


def test_the_command_trains_a_reader_and_says_how_well_it_reads(tmp_path: Path) -> None:
    path = tmp_path / "reader.safetensors"
    options = ["--pictures", "64", "--passes", "1", "--held-out", "16"]

    result = CliRunner().invoke(main, ["--out", str(path), *options])

    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split()[0] == ATTRIBUTES[0].name
    assert len(result.stdout.splitlines()) == len(ATTRIBUTES) + 1
    assert load(path)(torch.zeros(1, 3, 64, 64)).shape == (1, len(ATTRIBUTES))


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "reader.safetensors"

    result = CliRunner().invoke(
        main, ["--out", str(path), "--pictures", "2", "--passes", "1", "--held-out", "2"]
    )

    assert result.exit_code == 1
    assert "cannot write" in result.output
