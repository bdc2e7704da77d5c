"""Directions: found where they are, kept whole in their file, and only for their own model."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file
from tests.export import forge
from tests.export.test_network import SMALL

from nonesuch.card import Card, Direction
from nonesuch.errors import CheckpointError, UnsupportedCheckpoint
from nonesuch_export import directions, network
from nonesuch_export.checkpoint import native
from nonesuch_export.cli import main
from nonesuch_export.directions import Directions

HASH = "0" * 64


def two(model_hash: str = HASH, w_dim: int = 8) -> Directions:
    vectors = np.arange(2 * w_dim, dtype=np.float32).reshape(2, w_dim)
    named = (
        Direction(name="smile", first=1, last=2, about="serious … beaming", effect={"own": 0.9}),
        Direction(name="age", first=0, last=1),
    )
    return Directions(model_hash=model_hash, named=named, vectors=vectors)


def test_regression_finds_the_ways_that_change_one_label_each() -> None:
    random = np.random.default_rng(0)
    mixing = random.standard_normal((8, 8))  # W is neither round nor aligned with anything
    w = (random.standard_normal((4000, 8)) @ mixing + 3).astype(np.float32)
    slopes = random.standard_normal((3, 8))
    labels = (w @ slopes.T + 0.1 * random.standard_normal((4000, 3))).astype(np.float32)

    moves = directions.regress(w, labels)

    effects = (moves @ slopes.T) / labels.std(axis=0)
    np.testing.assert_allclose(effects, np.eye(3), atol=0.03)


def test_regression_stays_within_a_flat_w() -> None:
    random = np.random.default_rng(1)
    span = random.standard_normal((3, 16))
    w = (random.standard_normal((500, 3)) @ span).astype(np.float32)

    moves = directions.regress(w, w[:, :1])

    outside = moves - moves @ np.linalg.pinv(span) @ span
    assert np.abs(outside).max() < 1e-4


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    directions.write(two(), tmp_path / "d.safetensors")

    again = directions.read(tmp_path / "d.safetensors")

    assert (again.model_hash, again.named) == (two().model_hash, two().named)
    assert (again.vectors == two().vectors).all()
    assert again.digest() == two().digest()


def described(**changes: object) -> dict[str, str]:
    whole = {
        "format": 1,
        "model_hash": HASH,
        "directions": [{"name": "smile", "first": 0, "last": 1}],
    }
    return {"nonesuch": json.dumps(whole | changes)}


@pytest.mark.parametrize(
    ("metadata", "vectors", "said"),
    [
        (described(format=2), np.zeros((1, 4)), "newer; update"),
        (described(model_hash=None), np.zeros((1, 4)), "holds no directions"),
        ({}, np.zeros((1, 4)), "holds no directions"),
        ({"nonesuch": "{"}, np.zeros((1, 4)), "no file of directions"),
        (described(), np.zeros((2, 4)), "vectors of the directions are damaged"),
        (described(), np.full((1, 4), np.nan), "vectors of the directions are damaged"),
        (described(directions=[{"name": "a=b", "first": 0, "last": 1}]), np.zeros((1, 4)), "a=b"),
        (described(directions=[{"name": "a", "first": 2, "last": 1}]), np.zeros((1, 4)), "'a'"),
        (described(directions=[7]), np.zeros((1, 4)), "described as 7"),
    ],
)
def test_a_damaged_file_is_refused(
    metadata: dict[str, str], vectors: np.ndarray, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "d.safetensors"
    save_file({"vectors": vectors.astype(np.float32)}, path, metadata=metadata)

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


def test_building_puts_them_on_the_card_and_beside_the_sampler(tmp_path: Path) -> None:
    checkpoint = network.freeze(forge.shaped(SMALL), "small")
    native.write(checkpoint, tmp_path / "small.safetensors")
    own = two(checkpoint.digest(), SMALL.w_dim)
    directions.write(own, tmp_path / "own.safetensors")
    directions.write(two(w_dim=SMALL.w_dim), tmp_path / "other.safetensors")
    words = ["build", str(tmp_path / "small.safetensors"), "--name", "small"]
    words += ["--repository", str(tmp_path / "models")]

    done = CliRunner().invoke(main, [*words, "--directions", str(tmp_path / "own.safetensors")])
    refused = CliRunner().invoke(
        main, [*words, "--directions", str(tmp_path / "other.safetensors")]
    )

    text = (tmp_path / "models" / "small" / "1" / "card.json").read_text(encoding="utf-8")
    card = Card.from_json(text)
    stored = np.load(tmp_path / "models" / "small_sampler" / "1" / "directions.npy")
    assert done.exit_code == 0
    assert card.directions == own.named
    assert card.directions_hash == own.digest()
    assert (stored == own.vectors).all()
    assert refused.exit_code == 1
    assert "other.safetensors: the directions belong to the model 000000000000…" in refused.output
