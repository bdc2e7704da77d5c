"""ONNX Runtime where an instance is on a GPU: the shim, with the CPU in the GPU's place."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from tests.server import shim


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a model that doubles x, and gives it as a whole number too."""
    folder = tmp_path_factory.mktemp("lookup")
    (folder / "1").mkdir()
    nodes = [
        helper.make_node("Add", ["x", "x"], ["double"]),
        helper.make_node("Cast", ["x"], ["image"], to=TensorProto.UINT8),
    ]
    types = {"x": TensorProto.INT64, "double": TensorProto.INT64, "image": TensorProto.UINT8}
    x, *outputs = [helper.make_tensor_value_info(n, t, ["N", 1]) for n, t in types.items()]
    graph = helper.make_graph(nodes, "lookup", [x], outputs)
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), folder / "1/model.onnx")
    return folder


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The shim as it is."""
    monkeypatch.setattr(np, "__version__", "1.26.4")  # what the server's Python stage has
    with shim.loaded("onnxruntime", {}) as module:
        yield module


@pytest.fixture
def on_cpu(shipped: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The shim, whose GPU is the CPU."""
    monkeypatch.setattr(shipped.bound, "_PROVIDER", "CPUExecutionProvider")
    monkeypatch.setattr(shipped.bound, "_DEVICE", "cpu")
    return shipped


def _arguments(folder: Path) -> dict[str, str]:
    config = {
        "max_batch_size": 4,
        "input": [{"name": "x"}],
        "output": [{"name": "double", "dims": ["1"]}, {"name": "image", "dims": ["1"]}],
    }
    return {
        "model_config": json.dumps(config),
        "model_name": "lookup",
        "model_version": "1",
        "model_repository": str(folder),
        "model_instance_kind": "GPU",
        "model_instance_device_id": "0",
    }


def _hold(module: Any, model: Path) -> None:
    served = module.TritonPythonModel()
    served.initialize(_arguments(model))
    many = [shim.Asked(list(range(n, n + n % 4 + 1))) for n in range(40)]

    served.execute(many)
    served.finalize()

    assert [each.found for each in many] == [[2 * v for v in each.values] for each in many]


def test_each_request_gets_its_own_outputs_in_batches_of_any_size(
    on_cpu: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(on_cpu, "_on_cpu")

    _hold(on_cpu, model)


def test_what_triton_puts_on_a_gpu_by_itself_is_served_without_cuda_too(
    shipped: Any, model: Path
) -> None:
    _hold(shipped, model)


def test_outputs_come_in_the_order_asked_for_and_in_their_types(on_cpu: Any, model: Path) -> None:
    options = onnxruntime.SessionOptions()
    session = on_cpu.bound.Session(str(model / "1/model.onnx"), options, 0)

    image, double = session.run(["image", "double"], {"x": np.array([[3], [4]])})

    assert (image.dtype, image.tolist()) == (np.uint8, [[3], [4]])
    assert (double.dtype, double.tolist()) == (np.int64, [[6], [8]])


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_runtime_without_cuda_fails_the_load(model: Path) -> None:
    with (
        shim.loaded("bound", {}) as bound,
        pytest.raises(Exception, match=r"^ONNX Runtime runs on CPU.*, asked for CUDAExec"),
    ):
        bound.Session(str(model / "1/model.onnx"), onnxruntime.SessionOptions(), 0)
