"""Pickles of the TensorFlow programs are read however they were saved, and only as data."""

import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import GOLDEN
from tests.export import forge_tensorflow as forge
from tests.export.test_stylegan2tf import SMALL

from nonesuch.errors import CheckpointError, UnsafeCheckpoint, UnsupportedCheckpoint
from nonesuch_export.checkpoint import Checkpoint, read, tensorflow
from nonesuch_export.checkpoint.source import Bounded
from nonesuch_export.checkpoint.unpickle import load


def _read(tmp_path: Path, blob: bytes) -> Checkpoint:
    path = tmp_path / "network.pkl"
    path.write_bytes(blob)
    return read(path)


def _root() -> Any:
    return tuple(forge.stylegan2(name, seed=i, **SMALL) for i, name in enumerate(("G", "D", "Gs")))


def _unnamed() -> Any:
    """As files are that the authors' importer made of the Theano program's."""
    root = _root()
    for network in root:
        network.state["name"] = network.state["build_func_name"]
    return root


def _as_numpy_1(blob: bytes) -> bytes:
    """The same pickle, with the names that numpy had for itself before version 2."""
    for name in (b"multiarray", b"numeric"):
        new, old = b"numpy._core." + name, b"numpy.core." + name
        blob = blob.replace(b"c" + new, b"c" + old)  # the opcode with the name behind it
        blob = blob.replace(bytes([0x8C, len(new)]) + new, bytes([0x8C, len(old)]) + old)
    assert b"numpy._core" not in blob
    return blob


@pytest.mark.parametrize("numpy_1", [False, True], ids=["numpy 2", "numpy 1"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_way_of_saving_gives_the_same(
    tmp_path: Path, protocol: int, *, numpy_1: bool
) -> None:
    root = _root()
    blob = forge.pickled(root, protocol=protocol)

    checkpoint = _read(tmp_path, _as_numpy_1(blob) if numpy_1 else blob)

    _is_gs(checkpoint, root)


def test_files_of_python_2_are_read(tmp_path: Path) -> None:
    root = _root()
    blob = forge.pickled(root, python2=True)
    assert b"U\x02Gs" in blob  # a byte string, not text

    _is_gs(_read(tmp_path, blob), root)


def _is_gs(checkpoint: Checkpoint, root: Any) -> None:
    synthesis = dict(root[2].state["components"]["synthesis"].state["variables"])
    stored = checkpoint.arrays["synthesis.b8.conv1.weight"]
    assert (checkpoint.family, checkpoint.provenance.format) == ("stylegan2", "tensorflow")
    assert checkpoint.provenance.remarks == ()
    np.testing.assert_array_equal(stored.transpose(2, 3, 1, 0), synthesis["8x8/Conv1/weight"])
    assert (
        checkpoint.arrays["synthesis.b8.conv1.noise_strength"]
        == (synthesis["8x8/Conv1/noise_strength"])
    )
    assert not stored.flags.writeable


@pytest.mark.parametrize("order", ["F", "K"])
def test_arrays_in_other_orders_are_read(tmp_path: Path, order: str) -> None:
    root = _root()
    pairs = root[2].state["components"]["synthesis"].state["variables"]
    for i, (name, value) in enumerate(pairs):
        if np.ndim(value) == 4:
            swapped = np.asfortranarray(value) if order == "F" else value.transpose(1, 0, 3, 2)
            copied = swapped if order == "F" else swapped.copy().transpose(1, 0, 3, 2)
            pairs[i] = (name, copied)

    _is_gs(_read(tmp_path, forge.pickled(root, protocol=5)), root)


@pytest.mark.parametrize(
    ("root", "remarks"),
    [
        pytest.param(_root(), 0, id="the authors' tuple"),
        pytest.param(list(_root()), 0, id="a list"),
        pytest.param(_root()[2], 0, id="Gs alone"),
        pytest.param({"G": _root()[0], "Gs": _root()[2], "epoch": 3}, 0, id="a dict"),
        pytest.param((_root()[2], _root()[0], None), 0, id="another order"),
        pytest.param(_unnamed(), 0, id="names that say nothing"),
        pytest.param(_root()[0], 1, id="G alone"),
    ],
)
def test_the_moving_average_is_picked(tmp_path: Path, root: Any, remarks: int) -> None:
    checkpoint = _read(tmp_path, forge.pickled(root))

    assert len(checkpoint.provenance.remarks) == remarks
    if remarks:
        assert "the network 'G' is used" in checkpoint.provenance.remarks[0]
        return
    average = dict(_root()[2].state["variables"])["dlatent_avg"]
    np.testing.assert_array_equal(checkpoint.arrays["mapping.w_avg"], average)


def test_attribute_dicts_are_dicts(tmp_path: Path) -> None:
    root = forge.stylegan2("Gs", **SMALL)
    root.state["static_kwargs"] = forge.EasyDict(root.state["static_kwargs"])

    assert _read(tmp_path, forge.pickled(root)).config["z_dim"] == SMALL["latent_size"]


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (forge.network("Gs", "", {}, {}, container="theano"), "written by the Theano program"),
        (
            forge.network("D", "D_stylegan2", {}, {}),
            "built by 'D_stylegan2', which is no generator",
        ),
        (forge.network("vgg16", "vgg16_lpips", {}, {}), "'vgg16_lpips', which is no generator"),
        (forge.network("Gs", "G_dance", {}, {}), "built by 'G_dance', expected one of G_paper, G_"),
        (forge.network("Gs", "G_main", {}, {}, version=9), "dnnlib network is of version 9, expec"),
        (forge.network("Gs", "G_main", {}, {}, version="4"), "is of version '4', expected 2 to 5"),
        ((None, 3), "no dict of networks"),
    ],
)
def test_what_is_no_known_generator_is_named(tmp_path: Path, root: Any, message: str) -> None:
    with pytest.raises(UnsupportedCheckpoint, match=message):
        _read(tmp_path, forge.pickled(root))


def _looped() -> Any:
    network = forge.network("Gs", "G_main", {}, {})
    network.state["components"]["synthesis"] = network
    return network


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


_DAMAGED: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"name": 3}, "has name 3, expected a text"),
    "no function": ({"build_func_name": None}, "has build_func_name None, expected a text"),
    "no arguments": ({"static_kwargs": None}, "static arguments of a network are None, no dict"),
    "arguments by number": ({"static_kwargs": {1: 2}}, "static arguments of a network are a dict"),
    "an argument in depth": ({"static_kwargs": {"a": _nested(9)}}, "nested or long without end"),
    "an argument at length": ({"static_kwargs": {"a": [1] * 5000}}, "nested or long without end"),
    "an array as argument": ({"static_kwargs": {"a": np.zeros(5000)}}, "has 5000 values"),
    "bytes as argument": ({"static_kwargs": {"a": b"x"}}, "static argument of a network is a byt"),
    "no variables": ({"variables": None}, "variables of a network are None, no list"),
    "too many variables": ({"variables": [()] * 9999}, "variables of a network are a list"),
    "a variable without value": ({"variables": [("lod",)]}, "no pair of a name of its own"),
    "one name twice": ({"variables": [("lod", 1.0)] * 2}, "no pair of a name of its own"),
    "text as variable": ({"variables": [("lod", "1")]}, "variable 'lod' is '1', no array of fl"),
    "whole numbers": ({"variables": [("lod", np.ones(3, "i4"))]}, "no array of floats"),
    "a large number": ({"variables": [("lod", 10**400)]}, "do not fit together"),
    "components by name": ({"components": ["synthesis"]}, "components of a network are a list"),
    "a component of text": ({"components": {"a": "b"}}, "component is 'b' at depth 2"),
    "no synthesis": ({"components": {}}, "'Gs' has no component 'mapping'"),
}


@pytest.mark.parametrize("name", _DAMAGED)
def test_damaged_networks_end_in_one_sentence(tmp_path: Path, name: str) -> None:
    changes, message = _DAMAGED[name]
    network = forge.network("Gs", "G_main", {}, {})
    network.state |= changes

    with pytest.raises(CheckpointError, match=rf"network.pkl: .*{message}"):
        _read(tmp_path, forge.pickled(network))


def test_a_network_that_holds_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="at depth 4, no sub-network"):
        _read(tmp_path, forge.pickled(_looped()))


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    variables = {"lod": np.array([print], object)}

    with pytest.raises(CheckpointError):
        _read(tmp_path, forge.pickled(forge.network("Gs", "G_main", {}, variables)))


def test_other_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeCheckpoint, match=r"the pickle names builtins\.print"):
        _read(tmp_path, pickle.dumps((forge.pickled(_root()), print)))


def test_a_truncated_file_is_refused_wherever_it_was_cut(tmp_path: Path) -> None:
    whole = (GOLDEN / "stylegan2tf-32-orig.pkl").read_bytes()

    for share in (0.01, 0.3, 0.7, 0.999):
        with pytest.raises(CheckpointError, match="damaged or cut short"):
            _read(tmp_path, whole[: int(len(whole) * share)])


def test_bytes_written_as_text_are_decoded_only_where_they_are_read() -> None:
    """Protocol 2 writes a weight as a text that is half as long again."""
    large = np.random.default_rng(0).standard_normal((1024, 1024)).astype(np.float32)
    nets = [forge.network(name, "G_dance", {}, {"w": large}) for name in ("G", "D", "Gs")]
    blob = forge.pickled([*nets], protocol=2)
    tracemalloc.start()
    try:
        root = load(Bounded(blob), tensorflow.NAMES)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000

        np.testing.assert_array_equal(root[2].state["variables"][0][1].value, large)
        assert tracemalloc.get_traced_memory()[1] < 5 * large.nbytes  # of one, not three
    finally:
        tracemalloc.stop()
