"""ONNX Runtime as an engine: how it runs batches."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from nonesuch_export.engine import onnxruntime

SIDE = 300  # 90,000 values a sample


def test_large_pictures_are_drawn_by_a_few_at_once(tmp_path: Path) -> None:
    plan = tmp_path / onnxruntime.FILE
    shape: list[str | int | None] = ["N", SIDE, SIDE, 1]
    nodes = [
        helper.make_node("Shape", ["x"], ["size"], start=0, end=1),
        helper.make_node("Cast", ["size"], ["count"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "count"], ["image"]),  # tells how many were in its run
    ]
    given, made = (
        helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("x", "image")
    )
    opset = helper.make_opsetid("", 18)
    graph = helper.make_graph(nodes, "counting", [given], [made])
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), plan)
    x = np.arange(5, dtype=np.float32)[:, None, None, None] * np.ones((SIDE, SIDE, 1), np.float32)

    image = onnxruntime.Engine(plan, precision="fp32").run({"x": x})

    assert image.shape == x.shape
    assert (image[:, 0, 0, 0] - x[:, 0, 0, 0]).tolist() == [2, 2, 2, 2, 1]
