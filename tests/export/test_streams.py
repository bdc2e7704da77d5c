"""How a batch is shared between threads that each run samples of their own."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from nonesuch_export.engine import onnxruntime, streams


@given(count=st.integers(0, 200), width=st.integers(1, 64))
def test_all_run_together_what_keeps_at_most_half_of_the_streams_busy(
    count: int, width: int
) -> None:
    shared = streams.shared(count, width)

    assert 0 <= shared <= count
    assert count - shared <= width / 2
    assert shared % width == 0 or shared % width > width / 2


@pytest.mark.parametrize(
    ("side", "threads", "sizes"),
    [
        (300, 1, [1, 1, 1, 1, 1]),  # 90,000 values a sample
        (300, 2, [1, 1, 1, 1, 1]),
        (150, 2, [2, 2, 2, 2, 1]),
        (10, 2, [3, 3, 3, 2, 2]),
        (10, 8, [1, 1, 1, 1, 1]),
        (10, 16, [5, 5, 5, 5, 5]),
    ],
)
def test_a_thread_runs_as_many_samples_at_once_as_fit_its_cache(
    tmp_path: Path, side: int, threads: int, sizes: list[int]
) -> None:
    plan = tmp_path / onnxruntime.FILE
    shape: list[str | int | None] = ["N", side, side, 1]
    nodes = [
        helper.make_node("Shape", ["x"], ["size"], start=0, end=1),
        helper.make_node("Cast", ["size"], ["count"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "count"], ["image"]),  # tells how many were in its run
    ]
    before, after = (
        helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("x", "image")
    )
    opset = helper.make_opsetid("", 18)
    graph = helper.make_graph(nodes, "counting", [before], [after])
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), plan)
    x = np.arange(5, dtype=np.float32)[:, None, None, None] * np.ones((side, side, 1), np.float32)

    image = onnxruntime.Engine(plan, precision="fp32", threads=threads).run({"x": x})

    assert (image[:, 0, 0, 0] - x[:, 0, 0, 0]).tolist() == sizes
