"""Our own format gives back what was written, and damaged files are refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.conftest import Golden
from tests.export.forge import shaped
from tests.export.test_network import SMALL

from nonesuch.errors import CheckpointError, ExportError, UnsupportedCheckpoint
from nonesuch_export import network
from nonesuch_export.checkpoint import native, read


def test_converting_keeps_every_value_and_the_hash(golden: Golden, tmp_path: Path) -> None:
    checkpoint = read(golden.path)

    native.write(checkpoint, tmp_path / "faces.safetensors")
    again = read(tmp_path / "faces.safetensors")

    assert again.digest() == checkpoint.digest()
    assert again.provenance.format == "native"
    for name, values in checkpoint.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], values)


def test_licence_and_origin_travel_along(tmp_path: Path) -> None:
    frozen = network.freeze(shaped(SMALL), "a", licence="Apache-2.0", about="drawn")

    native.write(frozen, tmp_path / "a.safetensors")

    again = read(tmp_path / "a.safetensors")
    assert (again.licence, again.about) == ("Apache-2.0", "drawn")


def test_the_file_has_the_users_ordinary_permissions(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()

    native.write(network.freeze(shaped(SMALL), "a"), tmp_path / "a.safetensors")

    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_one_changed_weight_changes_the_hash() -> None:
    frozen = network.freeze(shaped(SMALL), "a")
    before = frozen.digest()

    frozen.arrays["synthesis.b4.const"][0, 0, 0] += 1

    assert frozen.digest() != before


def test_nothing_is_left_where_writing_fails(tmp_path: Path) -> None:
    frozen = network.freeze(shaped(SMALL), "a")

    (tmp_path / "file").touch()

    with pytest.raises(ExportError, match=r"cannot be written: (Not a directory|File exists)"):
        native.write(frozen, tmp_path / "file" / "faces.safetensors")

    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def _saved(path: Path, described: Any) -> Path:
    metadata = {"nonesuch": json.dumps(described)} if described is not None else {}
    save_file({"x": np.zeros(3, np.float32)}, path, metadata=metadata)
    return path


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (None, "not written by nonesuch"),
        ([], "lacks format, family or config"),
        ({"format": 1, "family": "stylegan2"}, "lacks format, family or config"),
        ({"format": 2, "family": "x", "config": {}}, "newer; update nonesuch"),
    ],
)
def test_other_metadata_is_refused(tmp_path: Path, described: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read(_saved(tmp_path / "x.safetensors", described))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "faces.safetensors"
    native.write(network.freeze(shaped(SMALL), "a"), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])

    with pytest.raises(CheckpointError, match="damaged"):
        read(path)


def test_another_programs_file_is_not_called_damaged(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    path = tmp_path / "diffusion.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(2))

    with pytest.raises(UnsupportedCheckpoint, match="not written by nonesuch"):
        read(path)
