"""A small model repository and a real server over it, shared by the tests of nonesuch_server."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from tritonclient.grpc import InferenceServerClient

from nonesuch.errors import SetupError
from nonesuch_server import Embedded, Listen, Runtime, find_interpreter
from nonesuch_server.cli import cache_folder

ANYWHERE = Listen(grpc_port=0, http_port=0, metrics_port=0)

_PLUS = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        x = [pb_utils.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", a + 1)]) for a in x]
"""
_SLEEP = """
import time
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        x = [pb_utils.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        time.sleep(float(x[0][0, 0]))
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", a)]) for a in x]
"""
_CONFIG = """
name: "{name}"
backend: "{backend}"
max_batch_size: 8
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ 2 ] }} ]
output [ {{ name: "y" data_type: TYPE_FP32 dims: [ 2 ] }} ]
"""
_LOOKUP = """
name: "lookup"
backend: "onnxruntime"
max_batch_size: 8
input [ { name: "row" data_type: TYPE_INT64 dims: [ 1 ] } ]
output [
  { name: "value" data_type: TYPE_FP32 dims: [ 1, 3 ] },
  { name: "double" data_type: TYPE_FP32 dims: [ 1, 3 ] }
]
instance_group [ { count: 1 } ]
dynamic_batching { max_queue_delay_microseconds: 300000 }
parameters { key: "intra_op_thread_count" value { string_value: "4" } }
parameters { key: "unknown to the backend" value { string_value: "passed over" } }
"""
_BOTH = """
name: "both"
platform: "ensemble"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 2 ] } ]
output [ { name: "z" data_type: TYPE_FP32 dims: [ 2 ] } ]
ensemble_scheduling { step [
  { model_name: "plus" model_version: -1
    input_map { key: "x" value: "x" } output_map { key: "y" value: "between" } },
  { model_name: "twice" model_version: -1
    input_map { key: "x" value: "between" } output_map { key: "y" value: "z" } }
] }
"""


def _folder(repository: Path, name: str, config: str) -> Path:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(config, encoding="utf-8")
    return repository / name / "1"


def _python_model(repository: Path, name: str, code: str) -> None:
    folder = _folder(repository, name, _CONFIG.format(name=name, backend="python"))
    (folder / "model.py").write_text(code, encoding="utf-8")


def _onnx_model(folder: Path, graph: onnx.GraphProto) -> None:
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), folder / "model.onnx")


def _twice(repository: Path) -> None:
    config = _CONFIG.format(name="twice", backend="onnxruntime")
    one_thread = 'parameters { key: "intra_op_thread_count" value { string_value: "1" } }'
    folder = _folder(repository, "twice", config + "instance_group [ { count: 1 } ]" + one_thread)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 2]) for n in "xy")
    _onnx_model(
        folder, helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", [x], [y])
    )


def _lookup(repository: Path) -> None:
    """Write a model that fails while it runs, for a row outside its table of ten."""
    table = helper.make_tensor("table", TensorProto.FLOAT, [10, 3], [float(i) for i in range(30)])
    row = helper.make_tensor_value_info("row", TensorProto.INT64, ["N", 1])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1, 3])
        for name in ("value", "double")
    ]
    nodes = [
        helper.make_node("Gather", ["table", "row"], ["value"]),
        helper.make_node("Add", ["value", "value"], ["double"]),
    ]
    graph = helper.make_graph(nodes, "g", [row], outputs, [table])
    _onnx_model(_folder(repository, "lookup", _LOOKUP), graph)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`plus` (Python, x + 1), `twice` (ONNX, 2x), `both` of them, `sleep` and `lookup`."""
    repository = tmp_path_factory.mktemp("models")
    _python_model(repository, "plus", _PLUS)
    _python_model(repository, "sleep", _SLEEP)
    _twice(repository)
    _lookup(repository)
    _folder(repository, "both", _BOTH)
    return repository


@pytest.fixture
def repository(models: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a repository of the named models alone, to be spoilt."""

    def copied(*names: str) -> Path:
        folder = tmp_path / "repository"
        for name in names:
            shutil.copytree(
                models / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        return folder

    return copied


@pytest.fixture(scope="session")
def runtime() -> Runtime:
    """The user's own prepared runtime."""
    try:
        found = Runtime(cache_folder(), find_interpreter())
        found.prepare()
    except SetupError as exc:
        pytest.skip(str(exc))
    return found


@pytest.fixture(scope="session")
def server(models: Path, runtime: Runtime) -> Iterator[Embedded]:
    """One server over all the models."""
    with Embedded(models, runtime, ANYWHERE) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: Embedded) -> Iterator[InferenceServerClient]:
    """A plain Triton client of that server."""
    with InferenceServerClient(server.listen.grpc) as connected:
        yield connected


@pytest.fixture
def anywhere() -> Listen:
    """Three free ports."""
    return ANYWHERE
