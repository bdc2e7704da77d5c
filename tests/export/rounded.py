"""What a graph in fp16 computes on a machine that rounds where the graph says so.

ONNX Runtime has few fp16 kernels for the CPU and computes the others, with what lies between
them, in fp32. Here every value that is fp16 in the graph is rounded to fp16, overflow included,
and the arithmetic in between is fp32, as on the matrix units of GPUs.
"""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from onnx_ir.passes import common

_FLOAT, _HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16


def session(path: Path) -> ort.InferenceSession:
    """A loaded graph, run as it stands; gives the levels before they are cut to 0 … 255 too."""
    model = ir.load(path)
    _widen(model.graph)
    clip = next(node for node in reversed(model.graph) if node.op_type == "Clip")
    levels = clip.inputs[0]
    assert levels is not None
    model.graph.outputs.append(levels)
    common.NameFixPass()(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(ir.to_proto(model).SerializeToString(), options)


def _widen(graph: ir.Graph) -> None:
    for value in graph.initializers.values():
        if value.dtype == _HALF and value.const_value is not None:
            array = value.const_value.numpy().astype(np.float32)
            value.const_value, value.dtype = ir.tensor(array, name=value.name), _FLOAT
    for node in tuple(graph):
        made = node.outputs[0]
        if made.dtype == _HALF:
            uses = tuple(made.uses())
            kept = made if node.op_type == "Cast" else _cast(node, made, _HALF)
            producer = kept.producer()
            assert producer is not None
            wide = _cast(producer, kept, _FLOAT)
            for user, index in uses:
                user.replace_input_with(index, wide)
            made.dtype = _HALF if kept is made else _FLOAT


def _cast(after: ir.Node, value: ir.Value, dtype: ir.DataType) -> ir.Value:
    node = ir.node("Cast", [value], {"to": dtype.value})
    after.append(node)
    node.outputs[0].dtype = dtype
    return node.outputs[0]
