"""Nodes: what passes over a graph ask of its nodes and constants, and how they add constants."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


def is_convolution(node: ir.Node) -> bool:
    """Whether it is a convolution, transposed or not."""
    return node.op_type in {"Conv", "ConvTranspose"}


def mixes(node: ir.Node) -> bool:
    """Whether it is a convolution whose outputs are each made of several channels."""
    return is_convolution(node) and by_output(node).shape[1] > 1


def constant(graph: ir.Graph, name: str, array: NDArray[np.generic]) -> ir.Value:
    """A new initializer of the graph, whose name begins so."""
    while name in graph.initializers:
        name += "_"
    tensor = ir.tensor(array, name=name)
    value = ir.Value(
        name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor
    )
    graph.register_initializer(value)
    return value


def array(value: ir.Value | None) -> NDArray[np.float32]:
    """What a constant holds."""
    assert value is not None
    assert value.const_value is not None  # graph.check allows no computed weights
    return value.const_value.numpy()


def by_output(node: ir.Node) -> NDArray[np.float32]:
    """A convolution's weight [outputs, inputs of each, …]; of a dense one, or in one group."""
    weight = array(node.inputs[1])
    if node.op_type == "Conv":
        return weight
    groups = node.attributes.get_int("group", 1)
    parts = weight.reshape(groups, -1, *weight.shape[1:])  # [groups, inputs, outputs, …]
    return parts.swapaxes(1, 2).reshape(-1, parts.shape[1], *weight.shape[2:])
