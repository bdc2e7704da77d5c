"""SeFa: the ways through W that change styles most, by the weights alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tests import families

from nonesuch.errors import InvalidRequest, UnsupportedCheckpoint
from nonesuch_export import directions, network, population, sefa
from nonesuch_export.checkpoint import native
from nonesuch_export.cli import main
from nonesuch_export.network import Generator

STYLED = ["stylegan1", "stylegan2", "stylegan3"]


def styles(generator: Generator, ws: torch.Tensor) -> dict[int, torch.Tensor]:
    """What each affine layer gives for ws [1, num_ws, w_dim], seen as the network runs."""
    seen = {}
    hooks = [
        module.register_forward_hook(lambda _, __, out, i=i: seen.update({i: out.detach()}))
        for i, (name, module) in enumerate(generator.named_modules())
        if name.endswith("affine")
    ]
    noise = [stored[None, None] for stored in generator.noise_const]
    generator.synthesize(ws, noise)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("family", STYLED)
@pytest.mark.parametrize("row", [0, 1, 3, -1])
def test_affines_are_what_a_row_of_ws_does_to_the_styles(family: str, row: int) -> None:
    generator = families.small(family)
    if family == "stylegan3":  # before training, w does not move its input
        generator.state_dict()["synthesis.input.affine.weight"].normal_()
    ws = torch.randn(1, generator.num_ws, generator.w_dim)
    moved, step = ws.clone(), torch.randn(generator.w_dim)
    moved[:, row] += step

    before, after = styles(generator, ws), styles(generator, moved)

    changed = torch.cat(
        [(after[i] - before[i])[0] for i in before if (after[i] != before[i]).any()]
    )
    expected = generator.affines[row] @ step
    np.testing.assert_allclose(changed.sort()[0], expected.sort()[0], atol=1e-5)


@pytest.mark.parametrize("family", STYLED)
def test_directions_are_the_eigenvectors_and_scaled_to_the_models_own_w(family: str) -> None:
    generator = families.small(family)
    rows = range(1, 3)
    matrix = sum(a.T @ a for a in (generator.affines[row].double().numpy() for row in rows))
    w = population.sample(generator)

    found = sefa.find(generator, "0" * 64, rows=rows, count=4)

    vectors = found.vectors.astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    eigenvalues = np.linalg.eigvalsh(matrix)[::-1][:4]
    np.testing.assert_allclose(unit @ unit.T, np.eye(4), atol=1e-5)
    np.testing.assert_allclose(unit @ matrix, eigenvalues[:, None] * unit, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), (w @ unit.T).std(axis=0), rtol=1e-3)
    scores = (w - found.centre) @ found.readouts.T
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(scores.std(axis=0), 1, rtol=1e-3)
    assert (unit[np.arange(4), np.abs(unit).argmax(axis=1)] > 0).all()
    assert [(d.name, d.first, d.last) for d in found.named] == [
        (f"sefa{i}", 1, 2) for i in range(4)
    ]


def test_a_weight_of_one_raises_its_own_score_by_one() -> None:
    found = sefa.find(families.small("stylegan2"), "0" * 64, rows=range(6), count=5)

    np.testing.assert_allclose(found.vectors @ found.readouts.T, np.eye(5), atol=1e-5)


def test_where_w_does_not_vary_there_is_no_direction() -> None:
    generator = families.small("stylegan2")
    weight = generator.state_dict()["mapping.fc1.weight"]
    weight[3:] = 0

    found = sefa.find(generator, "0" * 64, rows=range(6), count=3)

    assert np.isfinite(found.readouts).all()
    with pytest.raises(InvalidRequest, match="count is 11, but w varies along 10"):
        sefa.find(generator, "0" * 64, rows=range(6), count=11)


def test_a_family_without_styles_is_refused() -> None:
    with pytest.raises(UnsupportedCheckpoint, match="Progressive GAN has no w"):
        sefa.find(families.small("progan"), "0" * 64, rows=range(1), count=1)


def test_the_command_writes_directions_of_its_model(tmp_path: Path) -> None:
    checkpoint = network.freeze(families.small("stylegan3"), "small")
    native.write(checkpoint, tmp_path / "small.safetensors")
    out = tmp_path / "pose.safetensors"
    words = ["directions", "sefa", str(tmp_path / "small.safetensors"), "--out", str(out)]

    done = CliRunner().invoke(main, [*words, "--layers", "0-1", "--count", "3", "--prefix", "pose"])

    found = directions.read(out)
    assert done.exit_code == 0, done.output
    assert found.model_hash == checkpoint.digest()
    assert [(d.name, d.first, d.last) for d in found.named] == [
        ("pose0", 0, 1), ("pose1", 0, 1), ("pose2", 0, 1)
    ]  # fmt: skip
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["pose0", "pose1", "pose2"]


@pytest.mark.parametrize(
    ("family", "options", "status", "said"),
    [
        ("progan", [], 1, "no ws, in which a direction could lead"),
        ("stylegan2", ["--layers", "coarse,5"], 2, "not one span of rows"),
        ("stylegan2", ["--prefix", "a=b"], 2, "'a=b' is no name for a direction"),
        ("stylegan2", ["--count", "11"], 2, "count is 11, but w varies along 10 directions only"),
    ],
)
def test_what_cannot_be_found_is_refused(
    family: str, options: list[str], status: int, said: str, tmp_path: Path
) -> None:
    native.write(network.freeze(families.small(family), family), tmp_path / "small.safetensors")
    words = ["directions", "sefa", str(tmp_path / "small.safetensors")]

    done = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "out.safetensors"), *options])

    assert done.exit_code == status
    assert said in done.output
    assert not (tmp_path / "out.safetensors").exists()
