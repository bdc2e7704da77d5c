"""A graph in fp16 draws what the one in fp32 draws, and nothing in it overflows."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from tests.conftest import GOLDEN
from tests.export import rounded
from tests.export.forge import shaped
from tests.export.test_network import SMALL

from nonesuch.errors import ExportError
from nonesuch_export import graph, network, parity, precision
from nonesuch_export.checkpoint import read
from nonesuch_export.network import Generator, StyleGAN2

Feeds = dict[str, NDArray[Any]]
# All golden files but rosinality's, whose network is one of StyleGAN2's.
STEMS = tuple(sorted(path.stem for path in GOLDEN.glob("*.pkl")))


def exported(stem: str, graphs: Path) -> Path:
    """The graph of a golden checkpoint, in fp32."""
    path = graphs / f"{stem}.onnx"
    if not path.exists():
        graph.export(network.build(read(GOLDEN / f"{stem}.pkl")), path)
    return path


def lowered(stem: str, graphs: Path) -> Path:
    path = graphs / f"{stem}.fp16"
    if not path.exists():
        precision.lower(exported(stem, graphs), path, "fp16")
    return path


def _feeds(generator: Generator, seeds: int = 4) -> Feeds:
    given, _ = parity.settings(generator, range(seeds))
    return {name: value.numpy() for name, value in given.items()}


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options)


def _psnr(source: Path, target: Path, feeds: Feeds) -> float:
    """Of the worst picture, in dB."""
    (reference,) = _session(source).run(None, feeds)
    image, _ = rounded.session(target).run(None, feeds)
    difference = image.astype(np.float64) - reference
    return 10 * math.log10(255**2 / max(float(np.square(difference).mean((1, 2, 3)).max()), 1e-9))


@pytest.mark.parametrize("stem", STEMS)
def test_fp16_draws_what_fp32_draws(stem: str, graphs: Path) -> None:
    feeds = _feeds(network.build(read(GOLDEN / f"{stem}.pkl")))

    assert _psnr(exported(stem, graphs), lowered(stem, graphs), feeds) > 50


def _types(model: onnx.ModelProto) -> dict[str, set[int]]:
    """The types that each kind of node writes."""
    known = onnx.shape_inference.infer_shapes(model).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*known.value_info, *known.output)}
    found: dict[str, set[int]] = {}
    for node in model.graph.node:
        found.setdefault(node.op_type, set()).update(types[out] for out in node.output)
    return found


@pytest.mark.parametrize("stem", STEMS)
def test_what_decides_stays_in_fp32(stem: str, graphs: Path) -> None:
    model = onnx.load(lowered(stem, graphs))

    found = _types(model)

    assert TensorProto.FLOAT16 in found["Conv"]
    assert found["LeakyRelu"] >= {TensorProto.FLOAT16}
    small = {"Gemm", "Pow", "ReduceSum", "Sqrt", "Reciprocal", "InstanceNormalization", "Sin"}
    for kind in small & set(found):
        assert found[kind] == {TensorProto.FLOAT}, kind
    makers = {out: node for node in model.graph.node for out in node.output}
    node = makers["image"]
    while node.op_type != "Conv":  # back to ToRGB, the types are fp32
        assert TensorProto.FLOAT16 not in {t.data_type for t in _constants(model, node)}
        node = makers[node.input[0]]
    assert {t.data_type for t in _constants(model, node)} == {TensorProto.FLOAT16}


def _constants(model: onnx.ModelProto, node: onnx.NodeProto) -> list[TensorProto]:
    return [i for i in model.graph.initializer if i.name in node.input and i.data_type != 7]


def test_inputs_and_output_keep_their_types(graphs: Path) -> None:
    source, target = (
        onnx.load(make("sg2ada_uncond_32", graphs)).graph for make in (exported, lowered)
    )

    assert list(target.input) == list(source.input)
    assert list(target.output) == list(source.output)
    assert len(target.SerializeToString()) < 0.9 * len(source.SerializeToString())


def _extreme() -> StyleGAN2:
    """Styles and weights of any size, which demodulation undoes, and dead channels."""
    generator = shaped(replace(SMALL, conv_clamp=None))
    layers = [layer for block in generator.synthesis.blocks for layer in block.convolutions]
    for layer, size in zip(layers, (2000, 1e-3, 1e5, 1, 1000), strict=True):
        layer.affine.weight.mul_(size)
        layer.affine.bias.mul_(size)
        layer.weight.mul_(size**0.5)
    layers[3].weight[3] = 0  # nothing leaves it
    layers[3].affine.weight[5] = 0  # nothing enters it
    layers[3].affine.bias[5] = 0
    return generator


def test_nothing_overflows_whatever_the_styles(tmp_path: Path) -> None:
    generator = _extreme()
    source, target = tmp_path / "fp32.onnx", tmp_path / "fp16.onnx"
    graph.export(generator, source)

    precision.lower(source, target, "fp16")

    assert _psnr(source, target, _feeds(generator)) > 50


def test_activations_are_cut_before_they_overflow(graphs: Path) -> None:
    """Noise drives those of a network without clamps beyond the range of fp16."""
    stem = "stylegan2tf-32-orig"
    feeds = _feeds(network.build(read(GOLDEN / f"{stem}.pkl")))
    feeds["noise_scale"][:] = 1e6

    image, levels = rounded.session(lowered(stem, graphs)).run(None, feeds)

    assert np.isfinite(levels).all()
    assert image.std((1, 2, 3)).min() > 50


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no graph")

    with pytest.raises(ExportError, match=r"model\.onnx is no ONNX model"):
        precision.lower(path, path, "fp16")
