"""Shuffle: the order of channels before depth becomes space.

torch keeps the parities of a channel side by side. With all channels of a parity side by side, a
runtime that stores channels last moves them in one piece: 10.2 ms against 7.9 for the widest
layer at 256 pixels, convolution included (OpenVINO, bf16).
"""

import onnx_ir as ir

from nonesuch_export import nodes


def order(graph: ir.Graph) -> None:
    """Give each DepthToSpace that follows a convolution its parities first ("DCR")."""
    for node in tuple(graph):
        value = node.inputs[0] if node.op_type == "DepthToSpace" else None
        source = None if value is None else value.producer()
        if source is None or source.op_type != "Conv":
            continue
        count = node.attributes.get_int("blocksize", 0) ** 2
        for index, value in enumerate(source.inputs[1:], start=1):  # weight, and maybe bias
            array = nodes.array(value)  # [channels · parities, …]
            parities = array.reshape(-1, count, *array.shape[1:]).swapaxes(0, 1)
            made = nodes.constant(graph, f"{source.name}_{index}", parities.reshape(array.shape))
            source.replace_input_with(index, made)
        node.attributes["mode"] = ir.AttrString("mode", "DCR")
