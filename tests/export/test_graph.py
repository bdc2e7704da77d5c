"""The exported graph keeps the contract, and computes what torch computes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tests.conftest import GOLDEN, Golden
from tests.export.forge import shaped
from tests.export.test_network import variant

from nonesuch import contract
from nonesuch.errors import ExportError
from nonesuch_export import clusters, graph, network
from nonesuch_export.checkpoint import read
from nonesuch_export.network import Generator

Feeds = dict[str, NDArray[Any]]
FILES = sorted([*GOLDEN.glob("*.pkl"), *GOLDEN.glob("*.pt")])


class Exported:
    """A network and its ONNX graph, of which the float image can be read too."""

    def __init__(self, generator: Generator, path: Path) -> None:
        self.generator = generator
        if not path.exists():
            graph.export(generator, path)
        self.model = onnx.load(path)
        self._name = _float_image(self.model)
        exposed = onnx.load(path)
        value = helper.make_tensor_value_info(self._name, TensorProto.FLOAT, None)
        exposed.graph.output.append(value)
        self._session = ort.InferenceSession(exposed.SerializeToString())

    def feeds(self, z: NDArray[np.float32], **changes: NDArray[Any]) -> Feeds:
        given = graph.neutral(self.generator, torch.from_numpy(z))
        return {name: value.numpy().copy() for name, value in given.items()} | changes

    def run(self, feeds: Feeds) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        image, img = self._session.run(["image", self._name], feeds)
        return image, img


def _float_image(model: onnx.ModelProto) -> str:
    """The tensor before the 8-bit conversion: multiplied, shifted, clipped, transposed, cast."""
    makers = {output: node for node in model.graph.node for output in node.output}
    name = "image"
    for kind in ("Cast", "Transpose", "Clip", "Add", "Mul"):
        assert makers[name].op_type == kind
        name = makers[name].input[0]
    return name


@pytest.fixture(scope="module")
def exported(golden: Golden, graphs: Path) -> Exported:
    return Exported(network.build(read(golden.path)), graphs / f"{golden.stem}.onnx")


def test_inputs_and_output_are_the_contracts(exported: Exported, golden: Golden) -> None:
    known = graph.sizes(exported.generator)
    absent = {"modes", "transform"} | (set() if golden["c"].shape[1] else {"c"})
    wanted = [t for t in contract.GRAPH if t.name not in absent]
    types = {"FP32": TensorProto.FLOAT, "INT32": TensorProto.INT32, "UINT8": TensorProto.UINT8}

    values = [*exported.model.graph.input, exported.model.graph.output[0]]
    for value, tensor in zip(values, [*wanted, contract.IMAGE], strict=True):
        dims = value.type.tensor_type.shape.dim
        assert value.name == tensor.name
        assert value.type.tensor_type.elem_type == types[tensor.dtype]
        assert dims[0].dim_param == "N"
        sizes = [known[s] if isinstance(s, str) else s for s in tensor.shape]
        assert [d.dim_value for d in dims[1:]] == sizes


def test_the_graph_keeps_the_engines_rules(exported: Exported) -> None:
    nodes = exported.model.graph.node
    weights = {i.name: i for i in exported.model.graph.initializer}

    graph.check(exported.model)
    for node in nodes:
        assert "Random" not in node.op_type
        if node.op_type in {"Conv", "ConvTranspose"}:
            group = next((a.i for a in node.attribute if a.name == "group"), 1)
            inputs = weights[node.input[1]].dims[0 if node.op_type == "ConvTranspose" else 1]
            assert group == 1 or inputs in {1, group}  # dense, or a filter for each channel


@pytest.mark.parametrize(
    ("case", "changes"),
    [
        ("img_psi1_const", lambda _: {}),
        ("img_psi07_const", lambda f: {"psi": f["psi"] * np.float32(0.7)}),
        ("img_psi05_cut4_const", lambda f: {"psi": np.where(_rows(f) < 4, 0.5, f["psi"])}),
        ("img_psi1_none", lambda f: {"noise_scale": f["noise_scale"] * 0}),
    ],
)
def test_the_engines_images_are_the_authors(
    exported: Exported, golden: Golden, case: str, changes: Callable[[Feeds], Feeds]
) -> None:
    count = len(golden[case])
    feeds = exported.feeds(golden["z"][:count])
    if golden["c"].shape[1]:
        feeds["c"] = golden["c"][:count]
    feeds |= {name: value.astype(np.float32) for name, value in changes(feeds).items()}

    image, img = exported.run(feeds)

    np.testing.assert_allclose(img, golden[case], atol=1e-4)
    if case == "img_psi07_const":
        assert np.abs(image.astype(int) - golden["uint8_psi07_const"]).max() <= 1


def test_the_file_tells_nothing_of_the_machine_that_wrote_it(exported: Exported) -> None:
    content = exported.model.SerializeToString()

    assert b".py" not in content
    assert str(Path.home()).encode() + b"/" not in content


def _rows(feeds: Feeds) -> NDArray[Any]:
    return np.arange(feeds["psi"].shape[1])[None]


# The golden case of the third file mixes w of two classes, which one request cannot ask for.
@pytest.mark.parametrize("golden", ["sg2_uncond_64", "sg2ada_uncond_32"], indirect=True)
def test_mixing_is_the_authors(exported: Exported, golden: Golden) -> None:
    feeds = exported.feeds(golden["z"][:1], mix_z=golden["z"][1:2])
    feeds["mix"][:, 3:] = 1

    _, img = exported.run(feeds)

    np.testing.assert_allclose(img, golden["img_mix_const"], atol=1e-4)


def test_an_offset_from_the_average_gives_any_ws(exported: Exported, golden: Golden) -> None:
    feeds = exported.feeds(golden["z"][:1])
    feeds["psi"][:] = 0
    feeds["ws_offset"][:] = golden["ws_mix"] - golden["w_avg"]

    _, img = exported.run(feeds)

    np.testing.assert_allclose(img, golden["img_mix_const"], atol=1e-4)


def _eight(exported: Exported, golden: Golden) -> Feeds:
    """Eight samples, each with settings of its own in every control."""
    rng = np.random.default_rng(5)
    z = rng.standard_normal((8, golden["z"].shape[1]), np.float32)
    feeds = exported.feeds(z)
    for name in ("mix_z", "psi", "ws_offset", "noise_scale", "mix", "c"):
        if name in feeds:
            feeds[name] = rng.random(feeds[name].shape, np.float32)
    feeds["noise_shift"] = rng.integers(0, 4, feeds["noise_shift"].shape, np.int32)
    return feeds


def test_a_batch_of_eight_settings_equals_eight_single_runs(
    exported: Exported, golden: Golden
) -> None:
    feeds = _eight(exported, golden)

    together, _ = exported.run(feeds)
    alone = [exported.run({n: v[i : i + 1] for n, v in feeds.items()})[0] for i in range(8)]

    assert np.abs(together.astype(int) - np.concatenate(alone)).max() <= 1


def test_every_control_changes_the_image(exported: Exported, golden: Golden) -> None:
    moved = _eight(exported, golden)
    feeds = exported.feeds(moved["z"])
    rest, _ = exported.run(feeds)
    mixed = {"mix_z": moved["mix_z"], "mix": moved["mix"]}

    for name in set(feeds) - {"mix", "mix_z"}:
        value = moved[name] if name != "z" else moved["mix_z"]
        assert (exported.run(feeds | {name: value})[0] != rest).any(), name
    assert (exported.run(feeds | mixed)[0] != rest).any()


@pytest.mark.parametrize(
    "name", ["resnet clamped", "no noise", "grey", "kernel 5", "asymmetric filter of 3 taps",
             "filter of 1 tap", "separable filter of 9 taps"],
)  # fmt: skip
def test_options_export_as_torch_computes_them(name: str, tmp_path: Path) -> None:
    generator = shaped(variant(name))
    exported = Exported(generator, tmp_path / "model.onnx")
    feeds = exported.feeds(np.random.default_rng(1).standard_normal((5, 24), np.float32))
    pipeline = graph.Pipeline(generator)

    image, _ = exported.run(feeds)

    expected = pipeline(*(torch.from_numpy(feeds[n]) for n in pipeline.names)).numpy()
    assert ("noise_scale" in feeds) == (name != "no noise")
    assert np.abs(image.astype(int) - expected).max() <= 1


def test_without_an_average_w_there_is_no_psi() -> None:
    generator = shaped(variant("skip"))
    generator.mapping.w_avg = None

    assert "psi" not in graph.controls(generator)
    given = graph.neutral(generator, torch.zeros(2, 24))
    assert graph.Pipeline(generator)(*given.values()).shape == (2, 16, 16, 3)


def test_zeros_are_not_divided_by_zero(exported: Exported, golden: Golden) -> None:
    """The 1e-8 under each root survives the export."""
    feeds = exported.feeds(np.zeros_like(golden["z"][:2]))
    pipeline = graph.Pipeline(exported.generator)

    image, img = exported.run(feeds)

    expected = pipeline(*(torch.from_numpy(feeds[n]) for n in pipeline.names)).numpy()
    assert np.isfinite(img).all()
    assert np.abs(image.astype(int) - expected).max() <= 1


def test_a_dead_channel_stays_dead_and_no_more(tmp_path: Path) -> None:
    generator = shaped(variant("skip"))
    generator.synthesis.blocks[1].conv1.weight[3] = 0
    exported = Exported(generator, tmp_path / "model.onnx")
    feeds = exported.feeds(np.random.default_rng(2).standard_normal((2, 24), np.float32))
    pipeline = graph.Pipeline(generator)

    image, _ = exported.run(feeds)

    expected = pipeline(*(torch.from_numpy(feeds[n]) for n in pipeline.names)).numpy()
    assert np.abs(image.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (0, 3), (-2, 5), (8, -9)])
def test_shifted_noise_is_rolled(shift: tuple[int, int]) -> None:
    stored = torch.randn(8, 8)

    rolled = graph.shifted(stored, torch.tensor([shift, (0, 0)], dtype=torch.int32))

    np.testing.assert_array_equal(rolled[0, 0], np.roll(stored.numpy(), shift, (0, 1)))
    np.testing.assert_array_equal(rolled[1, 0], stored)


def test_uint8_is_the_authors_conversion() -> None:
    img = torch.tensor([-2.0, -1.0, 0.0, 0.5, 1.0, 9.0]).reshape(1, 1, 1, 6)

    assert graph.to_uint8(img).flatten().tolist() == [0, 0, 128, 191, 255, 255]


def test_the_mapping_alone_gives_w(golden: Golden, tmp_path: Path) -> None:
    graph.export_mapping(network.build(read(golden.path)), tmp_path / "mapping.onnx")
    session = ort.InferenceSession(tmp_path / "mapping.onnx")
    feeds = {i.name: golden[i.name] for i in session.get_inputs()}

    (w,) = session.run(["w"], feeds)

    np.testing.assert_allclose(w, golden["w"], atol=1e-5)


def _broken(kind: str) -> onnx.ModelProto:
    """A graph that breaks one of the rules."""
    batch = 3 if kind == "fixed" else "N"
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 1, 4, 4])]
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    if kind == "computed":
        sum_ = helper.make_node("Add", ["w", "w"], ["v"])
        nodes = [sum_, helper.make_node("Conv", ["x", "v"], ["y"])]
    if kind == "random":
        nodes.append(helper.make_node("RandomNormalLike", ["x"], ["r"]))
    if kind == "unread":
        inputs.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 1]))
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1, 4, 4])
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1, 1, 1, 1], [1.0])
    opset = helper.make_opsetid("", 17 if kind == "old" else 18)
    made = helper.make_graph(nodes, "g", inputs, [output], [weight])
    return helper.make_model(made, opset_imports=[opset], ir_version=10)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("computed", "computes the weight of a convolution"),
        ("random", "random operation RandomNormalLike"),
        ("unread", "never reads its input z"),
        ("fixed", "fixes the batch axis of x"),
        ("old", "uses the operator set ai.onnx 17"),
    ],
)
def test_a_graph_that_breaks_a_rule_is_refused(kind: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        graph.check(_broken(kind))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.stem))
def test_a_network_on_a_gpu_makes_nothing_elsewhere(file: Path) -> None:
    generator = network.build(read(file))
    if generator.w_avg is not None and generator.mapping is not None:
        generator.modes = clusters.find(generator, 2)
    pipeline = graph.Pipeline(generator)
    given = graph.neutral(generator, torch.randn(2, generator.config.z_dim))

    pipeline.to("meta")  # as strict as a GPU about where its operands are
    image = pipeline(*(given[name].to("meta") for name in pipeline.names))

    assert image.device.type == "meta"
