"""Precision: the contract's graph in fp32 → the same in fp16 or bf16, its types written into it.

An engine that takes the types of a graph as they stand needs no other word on precision. What is
large is in half precision: convolutions and the maps between them. What is small, and decides
about the rest, stays in fp32: latents, mapping, styles, demodulation, sums over maps, StyleGAN3's
Fourier features, and the image from ToRGB on.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common

from nonesuch.errors import ExportError
from nonesuch_export import nodes, overflow, rounding

_FLOAT = ir.DataType.FLOAT
_TYPES = {"fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}
_BF16_OPSET = 22  # the first whose convolutions are defined in bf16; nothing else of ours differs

# What may follow a convolution in its precision: no value is made of many others. Powers and
# sums over a map are not among them; they overflow.
_FOLLOWING = frozenset(
    {
        "Add", "Clip", "Concat", "DepthToSpace", "Elu", "LeakyRelu", "Mul", "Pad", "Relu",
        "Reshape", "Resize", "Selu", "Sigmoid", "Slice", "Softplus", "Squeeze", "Sub", "Tanh",
        "Transpose", "Unsqueeze",
    }
)  # fmt: skip


def lower(source: Path, target: Path, precision: str) -> None:
    """Write the contract's graph `source` (fp32) to `target` in fp16 or bf16, maybe one file.

    Inputs and outputs keep their types. Raises ExportError where `source` is no such graph.
    """
    try:
        model = common.ShapeInferencePass()(ir.load(source)).model
    except Exception as exc:  # neither library promises a class of its own
        raise ExportError(f"{source.name} is no ONNX model: {str(exc)[:300]}") from exc
    if precision == "fp16":  # bf16 has the range of fp32
        overflow.prevent(model.graph)
    else:
        model.opset_imports[""] = _BF16_OPSET
    _type(model.graph, _TYPES[precision])
    ir.passes.Sequential(
        common.RemoveUnusedNodesPass(), common.DeduplicateInitializersPass(), common.NameFixPass()
    )(model)
    lowered = ir.to_proto(model)
    try:
        onnx.checker.check_model(lowered, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as exc:
        raise ExportError(f"{source.name} cannot be lowered: {str(exc)[:300]}") from exc
    onnx.save(lowered, target)


def _type(graph: ir.Graph, half: ir.DataType) -> None:
    """Give each node its precision, with a Cast wherever two meet."""
    kept = _colours(graph) | _waves(graph)
    cast: dict[ir.Value, ir.Value] = {}  # a value is of one precision, and cast to the other
    for node in tuple(graph):
        wanted = half if node not in kept and _follows(node, half) else _FLOAT
        other = _FLOAT if wanted == half else half
        for i, value in enumerate(_mixed(node)):
            if value is None or value.dtype != other:
                continue
            if value not in cast:
                cast[value] = _cast(value, wanted, node)
            node.replace_input_with(i, cast[value])
        if wanted == half:
            node.outputs[0].dtype = half


def _mixed(node: ir.Node) -> Sequence[ir.Value | None]:
    """The inputs that are in the precision of a node: all, but for how often to repeat samples."""
    return node.inputs[:1] if node.op_type == "Resize" else node.inputs


def _follows(node: ir.Node, half: ir.DataType) -> bool:
    if nodes.is_convolution(node):
        return True
    values = [v for v in _mixed(node) if v is not None and v.dtype in {half, _FLOAT}]
    square = len(set(values)) < len(values)
    halved = any(value.dtype == half for value in values)
    return node.op_type in _FOLLOWING and halved and not square


def _cast(value: ir.Value, wanted: ir.DataType, reader: ir.Node) -> ir.Value:
    """The value in another precision, made before its first reader; of a constant, a constant."""
    if value.const_value is not None and reader.graph is not None:
        return nodes.constant(reader.graph, f"{value.name}_half", _rounded(value, wanted, reader))
    node = ir.node("Cast", [value], {"to": wanted.value})
    reader.prepend(node)
    made = node.outputs[0]
    made.shape, made.dtype = value.shape, wanted
    return made


def _rounded(value: ir.Value, wanted: ir.DataType, reader: ir.Node) -> NDArray[np.generic]:
    assert value.const_value is not None
    array = value.const_value.numpy()
    precision = next(name for name, kind in _TYPES.items() if kind == wanted)
    if nodes.is_convolution(reader) and value is reader.inputs[1]:
        return rounding.kernels(array, precision)
    return rounding.values(array, precision)


def _colours(graph: ir.Graph) -> set[ir.Node]:
    """What makes the image of the colours that come out of ToRGB's convolutions."""
    found: set[ir.Node] = set()
    waiting = [value.producer() for value in graph.outputs]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found and not nodes.mixes(node):
            found.add(node)
            waiting += node.predecessors()
    return found


def _waves(graph: ir.Graph) -> set[ir.Node]:
    """What reads sines, up to and with the first convolution: phases are large, and matter."""
    found: set[ir.Node] = set()
    for node in graph:
        sines = node.op_type in {"Sin", "Cos"}
        if sines or any(n in found and not nodes.is_convolution(n) for n in node.predecessors()):
            found.add(node)
    return found
