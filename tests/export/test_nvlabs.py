"""The authors' pickles are read whole, whatever the options, and what is unknown is refused."""

import argparse
import functools
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import GOLDEN, Golden
from tests.export import forge
from tests.export.test_network import SMALL, VARIANTS, variant

from nonesuch.errors import CheckpointError, UnsupportedCheckpoint
from nonesuch_export import network
from nonesuch_export.checkpoint import nvlabs, read
from nonesuch_export.network.config import Config


def _file(tmp_path: Path, blob: bytes) -> Path:
    path = tmp_path / "network.pkl"
    path.write_bytes(blob)
    return path


def test_golden_files_say_what_they_are(golden: Golden) -> None:
    checkpoint = read(golden.path)

    config = network.check(checkpoint)
    assert isinstance(config, Config)
    assert config.num_ws == golden["ws_psi07"].shape[1]
    assert (config.z_dim, config.c_dim) == (golden["z"].shape[1], golden["c"].shape[1])
    assert config.resolution == golden["img_psi1_const"].shape[-1]
    np.testing.assert_array_equal(checkpoint.arrays["mapping.w_avg"], golden["w_avg"])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_pickle_gives_back_the_network_that_it_was_made_of(
    tmp_path: Path, name: str, protocol: int
) -> None:
    generator = forge.shaped(variant(name))

    checkpoint = read(_file(tmp_path, forge.pickled(generator, protocol=protocol)))

    found, made = asdict(Config.from_json(checkpoint.config)), asdict(generator.config)
    np.testing.assert_allclose(found.pop("resample_filter"), made.pop("resample_filter"), 1e-6)
    assert found == made
    again = network.build(checkpoint)
    for key, value in generator.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def test_without_a_moving_average_the_generator_is_taken_and_that_is_said(tmp_path: Path) -> None:
    generator = forge.shaped(SMALL)
    blob = forge.pickled(generator, G=forge.module(generator), G_ema=None)

    checkpoint = read(_file(tmp_path, blob))

    assert "G is used" in checkpoint.provenance.remarks[0]
    np.testing.assert_array_equal(
        checkpoint.arrays["synthesis.b4.const"], generator.synthesis.blocks[0].const.numpy()
    )


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("alone", [False, True], ids=["a dict", "alone"])
def test_networks_that_torch_saved_anew_are_read(
    tmp_path: Path, *, alone: bool, legacy: bool
) -> None:
    module = forge.module(forge.shaped(SMALL))
    root = module if alone else {"G_ema": module, "G": None}
    pickled = read(_file(tmp_path, forge.pickled(forge.shaped(SMALL)))).digest()

    found = read(_file(tmp_path, forge.resaved(root, legacy=legacy)))

    assert found.digest() == pickled
    assert found.provenance.format == "nvlabs"
    assert ["one network alone" in remark for remark in found.provenance.remarks] == [True] * alone


def test_what_stands_beside_the_networks_does_not_matter(tmp_path: Path) -> None:
    beside: dict[str, Any] = {
        "shape": torch.Size([3, 16]),
        "device": torch.device("cpu"),
        "args": argparse.Namespace(lr=0.002),
        "at": tmp_path,
    }
    blob = forge.pickled(forge.shaped(SMALL), **beside)

    assert read(_file(tmp_path, blob)).provenance.remarks == ()


def test_weights_saved_with_channels_last_are_read_in_their_order(tmp_path: Path) -> None:
    generator = forge.shaped(SMALL)
    weight = generator.synthesis.blocks[1].conv1.weight
    weight.data = weight.data.to(memory_format=torch.channels_last)

    checkpoint = read(_file(tmp_path, forge.pickled(generator)))

    read_back = checkpoint.arrays["synthesis.b8.conv1.weight"]
    assert not read_back.flags.c_contiguous
    np.testing.assert_array_equal(read_back, weight.numpy())


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        pytest.param(b"", "neither a pickle nor", id="empty"),
        pytest.param(b"PNG picture", "neither a pickle nor", id="no pickle"),
        pytest.param(b"PK\x03\x04 zip archive", "zip file is damaged", id="torch zip"),
        pytest.param(b"\x80\x04K\x01.", "no dict of networks", id="a number"),
        pytest.param(pickle.dumps({"G_ema": None}), "neither G_ema nor G", id="no generator"),
    ],
)
def test_files_without_a_generator_are_refused(tmp_path: Path, blob: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read(_file(tmp_path, blob))


def test_a_truncated_file_is_refused_wherever_it_was_cut(tmp_path: Path) -> None:
    whole = (GOLDEN / "sg2ada_uncond_32.pkl").read_bytes()

    for share in (0.01, 0.3, 0.7, 0.999):
        with pytest.raises(CheckpointError, match="damaged or cut short"):
            read(_file(tmp_path, whole[: int(len(whole) * share)]))


def test_an_unknown_option_is_refused_by_name(tmp_path: Path) -> None:
    module = forge.module(forge.shaped(SMALL))
    module.meta["state"]["_init_kwargs"]["attention"] = True

    with pytest.raises(UnsupportedCheckpoint, match="attention=True, an option that StyleGAN2"):
        read(_file(tmp_path, forge.pickled(forge.shaped(SMALL), G_ema=module)))


def test_layers_that_disagree_are_refused(tmp_path: Path) -> None:
    module = forge.module(forge.shaped(SMALL))
    synthesis = module.meta["state"]["_modules"]["synthesis"].meta["state"]
    block = synthesis["_modules"]["b8"].meta["state"]
    block["_modules"]["conv1"].meta["state"]["conv_clamp"] = 12

    with pytest.raises(UnsupportedCheckpoint, match=r"conv_clamp differs between layers: 12, 256"):
        read(_file(tmp_path, forge.pickled(forge.shaped(SMALL), G_ema=module)))


def _states(module: Any, path: str) -> dict[str, Any]:
    """The state of a part of a forged generator, by dotted name."""
    state: dict[str, Any] = module.meta["state"]
    for name in path.split("."):
        state = state["_modules"][name].meta["state"]
    return state


@pytest.mark.parametrize(
    ("path", "attribute", "value", "message"),
    [
        ("synthesis.b8.conv0.affine", "activation", "lrelu", "activation 'lrelu', expected 'lin"),
        ("synthesis.b8.conv0.affine", "bias_gain", 0.5, "bias_gain 0.5, expected 1.0"),
        ("synthesis.b8.conv0", "act_gain", 3.0, "act_gain 3.0, expected 1.41"),
        ("synthesis.b4.torgb", "weight_gain", 10**400, "int too large"),
        ("mapping.fc0", "bias_gain", 10**400, "bias_gain differs between layers"),
        ("synthesis.b8.conv0", "conv_clamp", b"x", "conv_clamp differs between layers"),
        ("mapping", "num_layers", True, "num_layers is True, no size"),
    ],
)
def test_attributes_in_force_are_checked(
    tmp_path: Path, path: str, attribute: str, value: Any, message: str
) -> None:
    module = forge.module(forge.shaped(SMALL))
    _states(module, path)[attribute] = value

    with pytest.raises(CheckpointError, match=message):
        network.build(read(_file(tmp_path, forge.pickled(forge.shaped(SMALL), G_ema=module))))


@pytest.mark.parametrize(
    ("path", "table", "name", "value"),
    [
        ("synthesis.b4.conv1", "_parameters", "weight", None),
        ("synthesis.b4.conv1", "_parameters", "weight", torch.zeros(())),
        ("synthesis.b4.conv1", "_parameters", "weight", torch.zeros(12, 0, 3, 3)),
        ("mapping.fc0", "_parameters", "weight", torch.zeros(28, 0)),
        ("mapping.fc0", "_parameters", "weight", 7),
        ("synthesis.b8.conv0", "_buffers", "noise_const", "text"),
        ("synthesis.b8.conv0", "_buffers", "resample_filter", torch.zeros(())),
        ("synthesis.b8.conv0", "_modules", "affine", 5),
    ],
)
def test_tensors_that_are_none_end_in_one_sentence(
    tmp_path: Path, path: str, table: str, name: str, value: Any
) -> None:
    module = forge.module(forge.shaped(SMALL))
    _states(module, path)[table][name] = value

    with pytest.raises(CheckpointError, match=r"network.pkl: "):
        network.build(read(_file(tmp_path, forge.pickled(forge.shaped(SMALL), G_ema=module))))


def test_other_learning_rate_gains_are_refused(tmp_path: Path) -> None:
    module = forge.module(forge.shaped(SMALL))
    mapping = module.meta["state"]["_modules"]["mapping"].meta["state"]
    mapping["_modules"]["fc0"].meta["state"]["weight_gain"] = 0.5

    with pytest.raises(UnsupportedCheckpoint, match=r"mapping.fc0 has weight_gain 0.5, expected"):
        read(_file(tmp_path, forge.pickled(forge.shaped(SMALL), G_ema=module)))


def test_modules_shared_without_end_are_refused() -> None:
    empty: dict[str, Any] = {"_parameters": {}, "_buffers": {}, "_modules": {}}
    meta = {"type": "class", "version": 6, "class_name": "M", "state": empty}

    def doubled(part: nvlabs.Module, _: int) -> nvlabs.Module:
        return nvlabs.Module({**meta, "state": {**empty, "_modules": {"a": part, "b": part}}})

    bomb = functools.reduce(doubled, range(16), nvlabs.Module(meta))

    with pytest.raises(CheckpointError, match="over 5000 modules"):  # 2¹⁶ of them, if all counted
        list(bomb.walk())


def test_modules_that_hold_each_other_are_refused() -> None:
    tables: dict[str, Any] = {"_parameters": {}, "_buffers": {}, "_modules": {}}
    meta = {"type": "class", "version": 6, "class_name": "M", "state": tables}
    tables["_modules"]["self"] = nvlabs.Module(meta)

    with pytest.raises(CheckpointError, match="20 levels"):
        list(nvlabs.Module(meta).walk())


def test_a_generator_of_neither_kind_is_refused(tmp_path: Path) -> None:
    module = forge.module(forge.shaped(SMALL))
    synthesis = module.meta["state"]["_modules"]["synthesis"].meta["state"]
    synthesis["_modules"]["b2"] = synthesis["_modules"].pop("b4")

    with pytest.raises(UnsupportedCheckpoint, match="neither a StyleGAN2 nor a StyleGAN3"):
        read(_file(tmp_path, forge.pickled(forge.shaped(SMALL), G_ema=module)))


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone.pkl cannot be read: No such file"):
        read(tmp_path / "gone.pkl")
