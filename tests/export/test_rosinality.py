"""Torch files with rosinality's generator read alike, however and whenever they were saved."""

import io
import os
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.conftest import GOLDEN
from tests.export import forge_rosinality as forge
from tests.export.forge import shaped
from tests.export.test_graph import Exported
from tests.export.test_network import SMALL
from tests.export.test_unpickle import Calls

from nonesuch.errors import CheckpointError, UnsafeCheckpoint, UnsupportedCheckpoint
from nonesuch_export import network
from nonesuch_export.checkpoint import Checkpoint, read
from nonesuch_export.network import StyleGAN2

PLAIN = replace(SMALL, z_dim=20, mapping_widths=(20, 20), conv_clamp=None, equalized=True)


def _read(folder: Path, blob: bytes) -> Checkpoint:
    path = folder / "550000.pt"
    path.write_bytes(blob)
    return read(path)


def _same(checkpoint: Checkpoint, expected: StyleGAN2) -> bool:
    return network.check(checkpoint) == expected.config and all(
        np.array_equal(checkpoint.arrays[name], value)
        for name, value in expected.state_dict().items()
    )


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[Any]]:
    with np.load(GOLDEN / "rosinality_64.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def authors() -> StyleGAN2:
    generator = network.build(read(GOLDEN / "rosinality_64.pt"))
    assert isinstance(generator, StyleGAN2)
    return generator


def test_w_is_the_programs(authors: StyleGAN2, golden: dict[str, NDArray[Any]]) -> None:
    w = authors.mapping(torch.from_numpy(golden["z"]))

    np.testing.assert_allclose(w, golden["w"], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(authors.mapping.w_avg, golden["w_avg"])


@pytest.mark.parametrize(
    ("name", "psi", "noisy"),
    [
        pytest.param("img_psi1_const", 1.0, True, id="stored noise"),
        pytest.param("img_psi07_const", 0.7, True, id="truncated"),
        pytest.param("img_psi1_none", 1.0, False, id="no noise"),
    ],
)
def test_images_are_the_programs(
    authors: StyleGAN2, golden: dict[str, NDArray[Any]], name: str, psi: float, noisy: bool
) -> None:
    w, w_avg = torch.from_numpy(golden["w"]), torch.from_numpy(golden["w_avg"])
    ws = (w_avg + psi * (w - w_avg))[:, None].repeat(1, authors.num_ws, 1)
    noise = [stored[None, None] for stored in authors.noise_const] if noisy else []

    images = authors.synthesize(ws[: len(golden[name])], noise)

    np.testing.assert_allclose(images, golden[name], rtol=0, atol=2e-5)


@pytest.fixture(scope="module")
def exported(authors: StyleGAN2, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return Exported(authors, tmp_path_factory.mktemp("onnx") / "model.onnx")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("img_psi1_const", {}),
        ("img_psi07_const", {"psi": [[0.7] * 10]}),
        ("img_psi05_cut4_const", {"psi": [[0.5] * 4 + [1] * 6]}),
        ("img_psi1_none", {"noise_scale": [[0] * 9]}),
        ("img_mix_const", {"mix": [[0] * 3 + [1] * 7]}),
    ],
)
def test_the_engines_images_are_the_programs(
    exported: Exported, golden: dict[str, NDArray[Any]], name: str, change: dict[str, Any]
) -> None:
    rows = [*range(len(golden[name])), 0, 0, 0, 0][:5]  # five in a batch, and one by one
    second = golden["z"][[1] * 5]
    changes = {key: np.tile(np.float32(value), (5, 1)) for key, value in change.items()}
    feeds = exported.feeds(golden["z"][rows], mix_z=second, **changes)

    levels, together = exported.run(feeds)
    alone = [exported.run({key: v[[i]] for key, v in feeds.items()})[1] for i in range(5)]

    np.testing.assert_allclose(together, golden[name][rows], rtol=0, atol=2e-5)
    np.testing.assert_allclose(np.concatenate(alone), golden[name][rows], rtol=0, atol=2e-5)
    if name == "img_psi07_const":
        difference = np.abs(levels[:2].astype(int) - golden["uint8_psi07_const"])
        assert difference.max() <= 1
        assert (difference > 0).mean() <= 0.001


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_converted_file_gives_the_network_that_was_saved(
    tmp_path: Path, *, legacy: bool, protocol: int
) -> None:
    expected = shaped(PLAIN)

    found = _read(
        tmp_path, forge.saved(forge.converted(expected), legacy=legacy, protocol=protocol)
    )

    assert _same(found, expected)
    assert found.provenance.format == "rosinality"
    assert found.provenance.remarks == ()


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_of_a_training_file_the_moving_average_is_read(tmp_path: Path, *, legacy: bool) -> None:
    expected, other = shaped(PLAIN), shaped(PLAIN, seed=1)

    found = _read(tmp_path, forge.saved(forge.training(expected, other), legacy=legacy))

    _assert_weights(found, expected)
    (remark,) = found.provenance.remarks
    assert remark.startswith("no latent_avg is stored")


def test_without_a_moving_average_the_training_generator_is_read(tmp_path: Path) -> None:
    other = shaped(PLAIN, seed=1)
    root = forge.training(shaped(PLAIN), other)
    del root["g_ema"]

    found = _read(tmp_path, forge.saved(root))

    _assert_weights(found, other)
    assert "no moving average" in found.provenance.remarks[0]


def _assert_weights(found: Checkpoint, expected: StyleGAN2) -> None:
    for name, value in expected.state_dict().items():
        if name != "mapping.w_avg":
            np.testing.assert_array_equal(found.arrays[name], value)


def _under(prefix: str, tensors: dict[str, Any]) -> OrderedDict[str, Any]:
    return OrderedDict((prefix + name, value) for name, value in tensors.items())


def _encoder(net: StyleGAN2) -> dict[str, Any]:
    """As encoders save it that were trained around a generator."""
    inner = _under("decoder.", forge.state_dict(net)) | {"encoder.fc.weight": torch.ones(2)}
    assert net.w_avg is not None
    return {"state_dict": inner, "latent_avg": net.w_avg.repeat(net.num_ws, 1)}


@pytest.mark.parametrize(
    ("layout", "remark"),
    [
        pytest.param(
            lambda net: forge.converted(net, g_ema=_under("module.", forge.state_dict(net))),
            "",
            id="data parallel",
        ),
        pytest.param(
            lambda net: forge.state_dict(net) | {"latent_avg": net.w_avg}, "", id="state dict"
        ),
        pytest.param(_encoder, "those under 'decoder.'", id="within an encoder"),
        pytest.param(
            lambda net: (
                _under("g.", forge.state_dict(shaped(PLAIN, seed=1)))
                | _under("g_ema.", forge.state_dict(net))
                | {"latent_avg": net.w_avg}
            ),
            "those under 'g_ema.'",
            id="both in one",
        ),
    ],
)
def test_other_programs_layouts_are_found_by_their_names(
    tmp_path: Path, layout: Callable[[StyleGAN2], Any], remark: str
) -> None:
    expected = shaped(PLAIN)

    found = _read(tmp_path, forge.saved(layout(expected)))

    assert _same(found, expected)
    assert remark in " ".join(found.provenance.remarks)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"channels": 1}, id="grey"),
        pytest.param({"resolution": 4, "widths": (6,)}, id="one block"),
        pytest.param({"kernel_size": 1}, id="kernel 1"),
        pytest.param({"mapping_widths": (28, 20)}, id="one mapping width of its own"),
        pytest.param({"resample_filter": ((0.25, 0.25), (0.25, 0.25))}, id="another blur"),
    ],
)
def test_what_shapes_the_network_is_inferred(tmp_path: Path, change: dict[str, Any]) -> None:
    expected = shaped(replace(PLAIN, **change))

    assert _same(_read(tmp_path, forge.saved(forge.converted(expected))), expected)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_strides_shared_storages_and_devices_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, legacy: bool
) -> None:
    expected = shaped(PLAIN)
    root = forge.converted(expected)
    tensors: OrderedDict[str, torch.Tensor] = root["g_ema"]
    both = torch.stack([tensors["style.1.bias"], tensors["style.2.bias"]])
    tensors["style.1.bias"], tensors["style.2.bias"] = both
    for name in [name for name in tensors if name.endswith("conv.weight")]:
        tensors[name] = tensors[name].permute(3, 4, 2, 1, 0).contiguous().permute(4, 3, 2, 0, 1)
    monkeypatch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")

    found = _read(tmp_path, forge.saved(root, legacy=legacy))

    assert _same(found, expected)


def test_without_stored_noise_a_seed_stands_in(tmp_path: Path) -> None:
    root = forge.converted(shaped(PLAIN))
    for name in [name for name in root["g_ema"] if name.startswith("noises")]:
        del root["g_ema"][name]

    found = _read(tmp_path, forge.saved(root))

    random = np.random.RandomState(0)
    for name in ("b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"):
        noise = found.arrays[f"synthesis.{name}.noise_const"]
        np.testing.assert_array_equal(noise, random.randn(*noise.shape).astype(np.float32))
    assert "noise of seed 0" in found.provenance.remarks[0]
    assert found.digest() == read(tmp_path / "550000.pt").digest()


def test_without_a_stored_centre_the_mean_w_stands_in(tmp_path: Path) -> None:
    expected = shaped(PLAIN)
    root = {"g_ema": forge.state_dict(expected)}

    found = _read(tmp_path, forge.saved(root))

    z = np.random.RandomState(0).randn(4096, 20).astype(np.float32)
    mean = expected.mapping(torch.from_numpy(z)).mean(dim=0)
    np.testing.assert_allclose(found.arrays["mapping.w_avg"], mean, rtol=1e-3, atol=1e-5)
    assert network.check(found)


def _without(name: str) -> Callable[[dict[str, Any]], Any]:
    def change(root: dict[str, Any]) -> Any:
        del root["g_ema"][name]
        return root

    return change


def _with(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    def change(root: dict[str, Any]) -> Any:
        root["g_ema"] |= {name.replace("__", "."): value for name, value in changes.items()}
        return root

    return change


_TWO = {"a.input.input": torch.ones(1), "b.input.input": torch.ones(1)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda _: [1], "no dict of tensors", id="a list"),
        pytest.param(lambda _: {"net": {}, "step": 3}, "it has net, step", id="something else"),
        pytest.param(lambda _: {"g_ema": _TWO}, "several generators, a., b.", id="two"),
        pytest.param(_without("style.1.weight"), "'style.1.weight' is missing", id="no mapping"),
        pytest.param(_without("convs.3.conv.weight"), "is missing", id="no layer"),
        pytest.param(_without("noises.noise_3"), "'noises.noise_3' is missing", id="some noise"),
        pytest.param(_with(convs__9__bias=torch.ones(1)), "'convs.9.bias' has no place", id="more"),
        pytest.param(_with(conv1__conv__weight=torch.ones(3)), "expected .1, o, i", id="axes"),
        pytest.param(_with(conv1__conv__weight="x"), "no tensor of values", id="no tensor"),
        pytest.param(_with(style__2__weight=torch.ones(3, 20)), "expected .20, 20", id="mapping"),
        pytest.param(
            _with(to_rgbs__0__upsample__kernel=torch.ones(4, 4) / 4), "differs", id="two kernels"
        ),
        pytest.param(
            lambda root: root | {"latent_avg": torch.randn(6, 20)}, "expected one w", id="centres"
        ),
        pytest.param(lambda root: root | {"latent_avg": 3}, "latent_avg is no", id="no centre"),
    ],
)
def test_what_is_wrong_with_a_generator_is_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    root = change(forge.converted(shaped(PLAIN)))

    with pytest.raises(CheckpointError, match=message):
        network.check(_read(tmp_path, forge.saved(root)))


def _zip(**entries: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in entries.items():
            file.writestr(name.replace("__", "/"), content)
    return stream.getvalue()


_SOUND = forge.saved({"x": torch.arange(4.0)})


@pytest.mark.parametrize(
    ("blob", "kind", "message"),
    [
        pytest.param(_zip(a=b""), UnsupportedCheckpoint, "0 data.pkl", id="another zip"),
        pytest.param(
            _zip(**{"a__data.pkl": b"", "b__data.pkl": b""}),
            UnsupportedCheckpoint,
            "2 data.pkl",
            id="two pickles",
        ),
        pytest.param(
            _zip(**{"a__data.pkl": b"", "a__constants.pkl": b""}),
            UnsupportedCheckpoint,
            "TorchScript",
            id="a program",
        ),
        pytest.param(
            forge.rezipped(_SOUND, lambda _, b: b, zipfile.ZIP_DEFLATED),
            UnsupportedCheckpoint,
            "compressed",
            id="compressed",
        ),
        pytest.param(
            forge.rezipped(_SOUND, lambda n, b: None if "data/0" in n else b),
            CheckpointError,
            "storage '0' is missing",
            id="no storage",
        ),
        pytest.param(
            forge.rezipped(_SOUND, lambda n, b: b[:8] if "data/0" in n else b),
            CheckpointError,
            "holds another number",
            id="short storage",
        ),
        pytest.param(
            forge.rezipped(_SOUND, lambda n, b: b"big" if "byteorder" in n else b),
            UnsupportedCheckpoint,
            "byte order",
            id="byte order",
        ),
        pytest.param(_SOUND[: len(_SOUND) // 2], CheckpointError, "no directory", id="half"),
        pytest.param(b"PK\3\4" + bytes(70_000), CheckpointError, "no directory", id="zeros"),
    ],
)
def test_damaged_zip_files_are_refused(
    tmp_path: Path, blob: bytes, kind: type[CheckpointError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        _read(tmp_path, blob)


def test_an_entry_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO(_SOUND)
    with zipfile.ZipFile(stream, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr(file.namelist()[0], b"other")

    with pytest.raises(CheckpointError, match="twice"):
        _read(tmp_path, stream.getvalue())


@pytest.mark.parametrize("cut", [1, 9, 400])
def test_a_legacy_file_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    blob = forge.saved(forge.converted(shaped(PLAIN)), legacy=True)

    with pytest.raises(CheckpointError, match=r"number of elements|another number"):
        _read(tmp_path, blob[:-cut])


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_nothing_in_a_torch_file_runs(tmp_path: Path, *, legacy: bool) -> None:
    mark = tmp_path / "ran"
    root = forge.converted(shaped(PLAIN), args=Calls(os.system, f"touch {mark}"))

    with pytest.raises(UnsafeCheckpoint, match=r"names \w+\.system"):
        _read(tmp_path, forge.saved(root, legacy=legacy))

    assert not mark.exists()
