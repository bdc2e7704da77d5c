"""Directions: found where they are, kept whole in their file, and only for their own model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tests import families
from tests.export import forge
from tests.export.test_network import SMALL

from nonesuch.card import Card, Direction
from nonesuch.errors import CheckpointError, InvalidRequest, UnsupportedCheckpoint
from nonesuch_export import directions, graph, network
from nonesuch_export.checkpoint import native
from nonesuch_export.cli import main
from nonesuch_export.directions import Directions

HASH = "0" * 64


def two(model_hash: str = HASH, w_dim: int = 8, prefix: str = "") -> Directions:
    values = np.arange(5 * w_dim, dtype=np.float32).reshape(5, w_dim)
    named = (
        Direction(
            name=f"{prefix}smile", first=1, last=2, about="serious … beaming", effect={"own": 0.9}
        ),
        Direction(name=f"{prefix}age", first=0, last=1),
    )
    return Directions(
        model_hash=model_hash,
        named=named,
        vectors=values[:2],
        readouts=values[2:4],
        centre=values[4],
    )


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    directions.write(two(), tmp_path / "d.safetensors")

    again = directions.read(tmp_path / "d.safetensors")

    assert (again.model_hash, again.named) == (two().model_hash, two().named)
    for name in ("vectors", "readouts", "centre"):
        assert (getattr(again, name) == getattr(two(), name)).all()
    assert again.digest() == two().digest()


@pytest.mark.parametrize("name", ["vectors", "readouts", "centre"])
def test_what_weights_and_scores_mean_changes_the_digest(name: str) -> None:
    changed = replace(two(), **{name: getattr(two(), name) + 1})

    assert changed.digest() != two().digest()


def test_files_are_joined_in_their_order() -> None:
    one, other = two(), two(prefix="old ")

    both = one.joined(other)

    assert both.named == one.named + other.named
    assert (both.vectors == np.concatenate([one.vectors, other.vectors])).all()
    assert (both.readouts == np.concatenate([one.readouts, other.readouts])).all()
    assert (both.centre == one.centre).all()


def test_a_name_twice_and_scores_from_elsewhere_are_not_joined() -> None:
    moved = replace(two(prefix="old "), centre=two().centre + 1)

    with pytest.raises(UnsupportedCheckpoint, match="'age' is in another file already"):
        two().joined(two())
    with pytest.raises(UnsupportedCheckpoint, match="count from another centre"):
        two().joined(moved)


def described(**changes: object) -> dict[str, str]:
    whole = {
        "format": 2,
        "model_hash": HASH,
        "directions": [{"name": "smile", "first": 0, "last": 1}],
    }
    return {"nonesuch": json.dumps(whole | changes)}


def tensors(**changes: Any) -> dict[str, NDArray[Any]]:
    shapes = {"vectors": (1, 4), "readouts": (1, 4), "centre": (4,)}
    whole = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    return {name: value for name, value in {**whole, **changes}.items() if value is not None}


DAMAGED = "vectors of the directions are damaged"


@pytest.mark.parametrize(
    ("metadata", "stored", "said"),
    [
        (described(format=1), tensors(), "older nonesuch.*find the directions anew"),
        (described(format=3), tensors(), "newer; update"),
        (described(model_hash=None), tensors(), "holds no directions"),
        ({}, tensors(), "holds no directions"),
        ({"nonesuch": "{"}, tensors(), "no file of directions"),
        (described(), tensors(vectors=np.zeros((2, 4), np.float32)), DAMAGED),
        (described(), tensors(readouts=np.zeros((1, 5), np.float32)), DAMAGED),
        (described(), tensors(readouts=None), DAMAGED),
        (described(), tensors(centre=np.zeros((1, 4), np.float32)), DAMAGED),
        (described(), tensors(centre=np.zeros((), np.float32)), DAMAGED),
        (described(), tensors(vectors=np.zeros((1, 4), np.float64)), DAMAGED),
        (described(), tensors(vectors=np.full((1, 4), np.nan, np.float32)), DAMAGED),
        (described(directions=[]), tensors(), DAMAGED),
        (described(directions=[{"name": "a=b", "first": 0, "last": 1}]), tensors(), "a=b"),
        (described(directions=[{"name": "a", "first": 2, "last": 1}]), tensors(), "'a'"),
        (described(directions=[7]), tensors(), "described as 7"),
    ],
)
def test_a_damaged_file_is_refused(
    metadata: dict[str, str], stored: dict[str, NDArray[Any]], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "d.safetensors"
    save_file(stored, path, metadata=metadata)

    with pytest.raises(CheckpointError, match=said) as raised:
        directions.read(path)

    assert str(path) in str(raised.value)


def test_what_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.txt").write_bytes(b"smile=1")

    with pytest.raises(CheckpointError, match="no file of directions"):
        directions.read(tmp_path / "d.txt")


def test_another_models_directions_are_refused() -> None:
    with pytest.raises(UnsupportedCheckpoint, match=r"belong to the model 0{12}…"):
        two().check("1" * 64, num_ws=6, w_dim=8)
    with pytest.raises(UnsupportedCheckpoint, match="do not fit ws of 2 rows with 8 values"):
        two().check(HASH, num_ws=2, w_dim=8)


@pytest.mark.parametrize(
    ("text", "said"),
    [("coarse,5", "not one span"), ("none", "not one span"), ("9", "no layer 9"), ("x", "'x'")],
)
def test_rows_with_a_gap_and_no_rows_are_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        directions.span(text, [4, 8, 8, 16, 16, 32])


def test_rows_of_an_attribute_that_is_not_there_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="no attribute is called 'smell': age, smile"):
        directions.spans(["smell=0"], ["age", "smile"], [4, 8, 8])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint `small`, two files of its directions, and one of another model's."""
    folder = tmp_path_factory.mktemp("files")
    checkpoint = network.freeze(forge.shaped(SMALL), "small")
    native.write(checkpoint, folder / "small.safetensors")
    own = two(checkpoint.digest(), SMALL.w_dim)
    directions.write(own, folder / "own.safetensors")
    directions.write(two(own.model_hash, SMALL.w_dim, "old "), folder / "more.safetensors")
    directions.write(two(w_dim=SMALL.w_dim), folder / "other.safetensors")
    return folder


def build(files: Path, *names: str) -> Result:
    words = ["build", str(files / "small.safetensors"), "--name", "small"]
    words += ["--repository", str(files / "models")]
    for name in names:
        words += ["--directions", str(files / f"{name}.safetensors")]
    return CliRunner().invoke(main, words)


def test_building_puts_them_on_the_card_and_beside_the_sampler(files: Path) -> None:
    done = build(files, "own", "more")

    own, more = (directions.read(files / f"{name}.safetensors") for name in ("own", "more"))
    models = files / "models"
    card = Card.from_json((models / "small" / "1" / "card.json").read_text(encoding="utf-8"))
    stored = np.load(models / "small_sampler" / "1" / "directions.npy")
    assert done.exit_code == 0, done.output
    assert card.directions == own.named + more.named
    assert card.directions_hash == own.joined(more).digest()
    assert (stored == np.concatenate([own.vectors, more.vectors])).all()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("other",), "other.safetensors: the directions belong to the model 000000000000…"),
        (("own", "more", "own"), "own.safetensors: the direction 'age' is in another file"),
    ],
)
def test_building_refuses_what_is_not_the_models_or_there_already(
    files: Path, names: tuple[str, ...], said: str
) -> None:
    done = build(files, *names)

    assert done.exit_code == 1
    assert said in done.output


def test_the_mapping_scores_w_along_each_direction(tmp_path: Path) -> None:
    generator = families.small("stylegan2")  # conditional
    own = two(w_dim=10)
    graph.export_mapping(generator, tmp_path / "mapping.onnx", own)
    random = np.random.default_rng(4)
    feeds = {
        "z": random.standard_normal((7, 12), np.float32),
        "c": np.eye(3, dtype=np.float32)[random.integers(0, 3, 7)],
    }

    w, scores = ort.InferenceSession(tmp_path / "mapping.onnx").run(["w", "scores"], feeds)

    np.testing.assert_allclose(scores, (w - own.centre) @ own.readouts.T, rtol=1e-4)
    assert scores.shape == (7, 2)


def test_the_command_shows_a_file(files: Path) -> None:
    path = str(files / "own.safetensors")

    plain = CliRunner().invoke(main, ["directions", "show", path])
    lines = CliRunner().invoke(main, ["directions", "show", path, "--json"]).stdout.splitlines()

    for word in (directions.read(Path(path)).model_hash, "1-2", "serious … beaming", "own +0.90"):
        assert word in plain.stdout
    assert [json.loads(line)["name"] for line in lines] == ["smile", "age"]
