"""Overflow: keep modulated convolutions within the range of fp16, whatever the styles.

fp16 ends at 65504, which activations times styles times weights, summed, may pass. Here styles
are divided by the largest of the sample, weights by the largest of the output channel times
√fan-in, and the factor that follows the convolution, demodulation, takes up what was divided
out: a sum is at most √fan-in times the largest activation, and the picture is the same. The
idea is StyleGAN2-ADA's (Karras et al., 2020, arXiv:2006.06676), where demodulation cancels the
divisors by itself. Activations that could still pass the range are clamped, as networks that
were trained in fp16 do themselves.
"""

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from nonesuch_export import nodes

_LEAST = 1e-8  # what styles are divided by at least
_HIGHEST = 2.0**15  # of a sum in fp16, half of what it ends at


def prevent(graph: ir.Graph) -> None:
    """Rewrite each convolution of a graph in fp32 that has a style before it.

    Its input is clamped, and where demodulation follows, style and weights are divided.
    """
    for node in tuple(graph):
        styled = (
            node.inputs[0].producer() if nodes.mixes(node) and node.inputs[0] is not None else None
        )
        if styled is None or _factor(styled) is None:
            continue
        _clamp(graph, styled, _HIGHEST / math.sqrt(nodes.by_output(node)[0].size))
        scaled = _multiplied(node) if _is_linear(node) else None
        if scaled is not None:
            _rescale(scaled, _style(node, styled), _weigh(node, scaled))


def _is_linear(node: ir.Node) -> bool:
    """Whether a convolution, shuffle, pad or crop adds nothing of its own."""
    if nodes.is_convolution(node):
        return len(node.inputs) < 3 or not nodes.array(node.inputs[2]).any()
    if node.op_type == "DepthToSpace":  # whose parities are parts of a channel (`shuffle`)
        return node.attributes.get_string("mode", "DCR") == "DCR"
    return node.op_type == "Slice" or (node.op_type == "Pad" and len(node.inputs) < 3)


def _factor(node: ir.Node) -> int | None:
    """Which input of a multiplication is a factor of each channel, where the other is a map."""
    if node.op_type != "Mul":
        return None
    vectors = [_is_vector(value) for value in node.inputs]
    return None if vectors[0] == vectors[1] else vectors.index(True)


def _is_vector(value: ir.Value | None) -> bool:
    """Whether it is computed, and [N, C, 1, 1]."""
    if value is None or value.const_value is not None or value.shape is None:
        return False
    return len(value.shape) == 4 and value.shape[2] == value.shape[3] == 1


def _multiplied(node: ir.Node) -> ir.Node | None:
    """The first multiplication by a factor of each channel that the whole result goes through."""
    readers = node.successors()
    if len(readers) != 1:
        return None
    (reader,) = readers
    if _factor(reader) is not None:
        return reader
    filters = nodes.is_convolution(reader) and not nodes.mixes(reader)
    passes = filters or reader.op_type in {"DepthToSpace", "Pad", "Slice"}
    return _multiplied(reader) if passes and _is_linear(reader) else None


def _clamp(graph: ir.Graph, styled: ir.Node, limit: float) -> None:
    """Cut the map that a style is applied to to ± limit, for all who read it."""
    which = _factor(styled)
    assert which is not None
    x = styled.inputs[1 - which]
    maker = None if x is None else x.producer()
    if x is None or maker is None or _is_clamped(maker, limit):
        return
    low, high = (
        nodes.constant(graph, f"{styled.name}_limit", np.array(v, np.float32))
        for v in (-limit, limit)
    )
    uses = tuple(x.uses())
    node = ir.node("Clip", [x, low, high])
    maker.append(node)
    node.outputs[0].dtype, node.outputs[0].shape = ir.DataType.FLOAT, x.shape
    for user, index in uses:
        user.replace_input_with(index, node.outputs[0])


def _is_clamped(maker: ir.Node, limit: float) -> bool:
    return maker.op_type == "Clip" and float(nodes.array(maker.inputs[2])) <= limit


def _style(node: ir.Node, styled: ir.Node) -> ir.Value:
    """Give a convolution's input styles of at most 1; returns what they are divided by."""
    which = _factor(styled)
    assert which is not None
    x, style = styled.inputs[1 - which], styled.inputs[which]
    assert x is not None
    axes = np.array([1], np.int64)
    largest = _insert(node, "ReduceMax", _insert(node, "Abs", style), axes)  # [N, 1, 1, 1]
    largest = _insert(node, "Max", largest, np.float32(_LEAST))
    node.replace_input_with(0, _insert(node, "Mul", x, _insert(node, "Div", style, largest)))
    return largest


def _weigh(node: ir.Node, scaled: ir.Node) -> NDArray[np.float32]:
    """Divide a convolution's weights; returns by what, [1, C, 1, 1] as `scaled` has channels."""
    weight = nodes.by_output(node)  # [O, I, k, k], where O is C, or parities times C
    shape = scaled.outputs[0].shape
    assert shape is not None
    channels = shape[1]
    assert isinstance(channels, int)
    largest = np.abs(weight).reshape(-1, channels, weight[0].size).max(axis=(0, 2))
    divisor = np.where(largest > 0, largest * math.sqrt(weight[0].size), 1).astype(np.float32)
    weight = weight / np.tile(divisor, len(weight) // channels)[:, None, None, None]
    if node.op_type == "ConvTranspose":
        weight = weight.swapaxes(0, 1)
    assert node.graph is not None
    node.replace_input_with(1, nodes.constant(node.graph, f"{node.name}_within", weight))
    return divisor[None, :, None, None]


def _rescale(scaled: ir.Node, largest: ir.Value, divisor: NDArray[np.float32]) -> None:
    """Let the factor after a convolution make up for what its style and weights lost."""
    which = _factor(scaled)
    assert which is not None
    lost = _insert(scaled, "Mul", largest, divisor)
    scale = _insert(scaled, "Mul", scaled.inputs[which], lost)
    # Only where hardly anything comes out of the convolution is there more to make up for.
    scale = _insert(scaled, "Min", scale, np.float32(_HIGHEST))
    scaled.replace_input_with(which, scale)


def _insert(
    before: ir.Node, op: str, *inputs: ir.Value | NDArray[np.generic] | np.generic | None
) -> ir.Value:
    """The result, in fp32, of a new node."""
    assert before.graph is not None
    given = [
        value
        if value is None or isinstance(value, ir.Value)
        else nodes.constant(before.graph, f"{before.name}_{op}", np.asarray(value))
        for value in inputs
    ]
    node = ir.node(op, given)
    before.prepend(node)
    node.outputs[0].dtype = ir.DataType.FLOAT
    return node.outputs[0]
