"""Models with the backend `tensorrt` on the embedded server: the shim, on a GPU of plain memory."""

import json
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server import memory_gpu, shim
from tests.server.memory_gpu import Gpu, Plan

from nonesuch.errors import SetupError
from nonesuch_server import Embedded, Listen, Runtime, find_interpreter, gpu, packages, preflight

Loaded = Callable[[Gpu], Any]


@pytest.fixture
def loaded() -> Iterator[Loaded]:
    """The shim's module beside the libraries of a GPU."""
    with ExitStack() as stack:

        def load(there: Gpu) -> Any:
            bindings: Any = types.ModuleType("cuda.bindings")
            bindings.runtime = there.cuda()
            beside = {
                "cuda": types.ModuleType("cuda"),
                "cuda.bindings": bindings,
                "tensorrt": memory_gpu.tensorrt(there),
            }
            return stack.enter_context(shim.loaded("tensorrt", beside))

        yield load


def _engine(module: Any, tmp_path: Path, plan: Plan, most: int) -> Any:
    (tmp_path / "model.plan").write_bytes(plan.to_bytes())
    engine = module.Engine(str(tmp_path / "model.plan"), 0)
    engine.prepare(most)
    return engine


def test_batches_of_any_size_after_each_other_are_computed_each_from_its_own_inputs(
    loaded: Loaded, tmp_path: Path
) -> None:
    engine = _engine(loaded(Gpu()), tmp_path, Plan(), 8)
    kept: list[tuple[Any, list[int]]] = []

    @given(st.lists(st.integers(0, 255), min_size=1, max_size=8))
    def hold(values: list[int]) -> None:
        double, image = engine.run(["double", "image"], {"x": np.array(values)[:, None]})
        assert (image.dtype, image.shape) == (np.uint8, (len(values), 2, 2))
        assert (double.dtype, double[:, 0].tolist()) == (np.float32, [2 * v for v in values])
        kept.append((image, values))

    hold()
    for image, values in kept:  # also those of earlier runs
        assert image.tolist() == [[[v, v], [v, v]] for v in values]


def test_every_batch_size_is_captured_when_the_model_loads(loaded: Loaded, tmp_path: Path) -> None:
    there = Gpu()
    engine = _engine(loaded(there), tmp_path, Plan(), 4)
    assert there.runs == [1, 2, 3, 4]
    memory = len(there.held)

    engine.run(["image"], {"x": np.ones((3, 1), np.float32)})

    assert there.runs[4:] == [3]
    assert len(there.held) == memory


def test_a_plan_for_one_shape_serves_a_model_without_batches(
    loaded: Loaded, tmp_path: Path
) -> None:
    engine = _engine(loaded(Gpu()), tmp_path, Plan(static=2), 0)

    (double,) = engine.run(["double"], {"x": np.array([[3], [4]])})

    assert double.tolist() == [[6], [8]]


@pytest.mark.parametrize(
    ("there", "plan", "words"),
    [
        (Gpu(devices=0), Plan(), "CUDA says: no CUDA-capable device is detected"),
        (Gpu(limit=100), Plan(), "CUDA says: out of memory"),
        (Gpu(), Plan(static=2), "the plan takes batches of 2 only, not of 8"),
        (
            Gpu(),
            Plan(most=4),
            r"the plan does not take x as \[5, 1\]; x: no profile has the shape \(5, 1\)",
        ),
    ],
)
def test_what_does_not_fit_fails_the_load_with_its_reason(
    there: Gpu, plan: Plan, words: str, loaded: Loaded, tmp_path: Path
) -> None:
    module = loaded(there)

    with pytest.raises(module.Refusal, match=f"^{words}$"):
        _engine(module, tmp_path, plan, 8)


def test_a_file_that_is_no_plan_is_refused_with_the_words_of_the_log(
    loaded: Loaded, tmp_path: Path
) -> None:
    module = loaded(Gpu())
    (tmp_path / "model.plan").write_bytes(b"no plan")

    with pytest.raises(module.Refusal, match=r"^the plan does not load; The engine plan file is"):
        module.Engine(str(tmp_path / "model.plan"), 0)


LOOKUP = {
    "max_batch_size": 8,
    "input": [{"name": "x"}],
    "output": [{"name": "double"}],
}


def _arguments(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    (folder / "1").mkdir()
    (folder / "1/model.plan").write_bytes(Plan().to_bytes())
    said = {"model_config": json.dumps(config), "model_name": "lookup", "model_version": "1"}
    return {**said, "model_repository": str(folder), "model_instance_device_id": "0"}


@pytest.fixture
def numpy_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server's Python stage has."""
    monkeypatch.setattr(np, "__version__", "1.26.4")


@pytest.mark.usefixtures("numpy_1")
def test_a_model_answers_each_request_with_its_own_outputs(loaded: Loaded, tmp_path: Path) -> None:
    there = Gpu()
    model = loaded(there).TritonPythonModel()
    model.initialize(_arguments(tmp_path, LOOKUP))
    many = [shim.Asked(list(range(n, n + n % 3 + 1))) for n in range(40)]

    model.execute(many[:20])
    model.execute(many[20:])
    model.finalize()

    assert [each.found for each in many] == [[2 * v for v in each.values] for each in many]
    assert sum(there.runs[8:]) == sum(len(each.values) for each in many)
    assert max(there.runs[8:]) == 8


@pytest.mark.usefixtures("numpy_1")
def test_a_configuration_of_another_plan_fails_the_load(loaded: Loaded, tmp_path: Path) -> None:
    model = loaded(Gpu()).TritonPythonModel()

    with pytest.raises(Exception, match="names the input z, the model has x"):
        model.initialize(_arguments(tmp_path, LOOKUP | {"input": [{"name": "z"}]}))


CONFIG = """name: "faces_generator"
platform: "tensorrt_plan"
max_batch_size: 8
default_model_filename: "model.plan"
instance_group { count: 1 }
"""


def _model(repository: Path, name: str, *, library: str | None = "tensorrt 11.4.0.106") -> None:
    version = repository / name / "1"
    version.mkdir(parents=True)
    (version / "model.plan").write_bytes(b"plan")
    if library is not None:
        (version / "model.json").write_text(json.dumps({"library": library}), encoding="utf-8")
    config = CONFIG.replace("faces_generator", name)
    (version.parent / "config.pbtxt").write_text(config, encoding="utf-8")


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "count", lambda: 1)


@pytest.mark.skipif(gpu.count() > 0, reason="this machine has a GPU")
def test_without_a_gpu_the_server_says_so_before_anything_is_fetched(tmp_path: Path) -> None:
    _model(tmp_path, "faces_generator")
    runtime = Runtime(tmp_path / "cache", find_interpreter())

    with pytest.raises(SetupError, match=r"'faces_generator' runs on an NVIDIA GPU, and this"):
        Embedded(tmp_path, runtime, Listen()).start()


@pytest.mark.usefixtures("with_gpu")
def test_models_on_a_gpu_need_the_tensorrt_that_built_their_plans(tmp_path: Path) -> None:
    _model(tmp_path, "faces_generator")
    _model(tmp_path, "faces_mapping")
    models = preflight.check(tmp_path)

    found = packages.of(models)
    assert [each.split("==")[0] for each in found] == [
        "cuda-bindings",
        "nvidia-nvimgcodec-cu12[nvjpeg]",
        "tensorrt",
    ]
    assert found[-1] == "tensorrt==11.4.0.106"
    with pytest.raises(SetupError, match=r"lacks cuda-bind.*, tensorrt==11\.4\.0\.106, which mod"):
        Embedded(tmp_path, Runtime(tmp_path / "cache", find_interpreter()), Listen()).start()


@pytest.mark.usefixtures("with_gpu")
def test_an_onnx_model_on_a_gpu_needs_onnxruntime_for_cuda_in_the_pinned_version(
    tmp_path: Path,
) -> None:
    version = tmp_path / "faces/1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(b"graph")
    config = 'backend: "onnxruntime"\ninstance_group { count: 1 kind: KIND_GPU }\n'
    (tmp_path / "faces/config.pbtxt").write_text(config, encoding="utf-8")

    _, needed = packages.of(preflight.check(tmp_path))
    (pinned,) = (line for line in packages.pinned() if packages.replaced(line, [needed]))

    assert needed == pinned.replace("onnxruntime", "onnxruntime-gpu[cuda,cudnn]")


@pytest.mark.usefixtures("with_gpu")
@pytest.mark.parametrize(
    ("library", "words"),
    [
        (None, r"has no readable .*model\.json, which says what built its plan"),
        ("tensorrt", r"says that 'tensorrt' built its plan, which is no TensorRT"),
        ("left-pad 1.0", r"says that 'left-pad 1\.0' built its plan, which is no TensorRT"),
        ("tensorrt 11.4 --pre", r"which is no TensorRT"),
    ],
)
def test_a_plan_that_does_not_say_what_built_it_is_refused(
    library: str | None, words: str, tmp_path: Path
) -> None:
    _model(tmp_path, "faces_generator", library=library)

    with pytest.raises(SetupError, match=rf"^model 'faces_generator'.*{words}"):
        packages.of(preflight.check(tmp_path))


@pytest.mark.usefixtures("with_gpu")
def test_plans_of_two_versions_are_not_served_together(tmp_path: Path) -> None:
    _model(tmp_path, "cats_generator")
    _model(tmp_path, "faces_generator", library="tensorrt 10.16.1.11")

    with pytest.raises(
        SetupError,
        match=r"'cats_generator' needs tensorrt==11\.4\.0\.106 and 'faces_generator' tensorrt==10",
    ):
        packages.of(preflight.check(tmp_path))


def test_other_packages_are_another_runtime(tmp_path: Path) -> None:
    interpreter = find_interpreter()
    plain = Runtime(tmp_path, interpreter)

    assert Runtime(tmp_path, interpreter, ("tensorrt==11.4",)).folder != plain.folder
    assert Runtime(tmp_path, interpreter, ()).folder == plain.folder


@pytest.mark.slow
@pytest.mark.triton
@pytest.mark.usefixtures("with_gpu")
@pytest.mark.skipif(gpu.count() > 0, reason="this machine has a GPU")
def test_the_real_server_gets_as_far_as_to_cuda(tmp_path: Path) -> None:
    _model(tmp_path / "models", "faces_generator", library="tensorrt_rtx 1.7.1.116")
    needed = packages.of(preflight.check(tmp_path / "models"))
    runtime = Runtime(tmp_path / "cache", find_interpreter(), needed)

    runtime.prepare()
    anywhere = Listen(grpc_port=0, http_port=0, metrics_port=0)
    with pytest.raises(SetupError, match="'faces_generator' does not load: CUDA says: "):
        Embedded(tmp_path / "models", runtime, anywhere).start()
