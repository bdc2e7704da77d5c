"""TensorRT as an engine: a plan for one type of GPU, of a graph that says its own precision.

TensorRT 10 and 11 are one program to this module; so is TensorRT for RTX, whose interface is that
of 11. It builds without a GPU for the `targets` in its settings, but Triton does not serve its
plans. Flags are looked up by name: their numbers change between versions.
"""

import gc
import importlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2 as pb

from nonesuch.errors import ExportError
from nonesuch_export import identity
from nonesuch_export import precision as lowering
from nonesuch_export.engine.launch import Launch
from nonesuch_export.identity import Identity, Settings

NAME = "tensorrt"
BACKEND = "tensorrt"
FILE = "model.plan"
PRECISIONS: tuple[str, ...] = ("fp32", "fp16")

_PACKAGES = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")

Progress = Callable[[str, int, int], None]  # a phase's name, its steps that are done, and all


def available() -> None:
    """Raise ExportError unless plans that Triton serves can be built and compared here."""
    trt = _library()
    if trt.__name__ != "tensorrt":
        raise ExportError(
            f"Triton does not serve the plans of {trt.__name__}; install nonesuch[tensorrt]"
        )
    _gpu()


def compile(graph: Path, plan: Path, *, precision: str, max_batch: int) -> None:
    """Build a plan for this machine's GPU; the graph stays beside it, to build others of."""
    kept = graph.replace(identity.graph(plan))
    build(kept, plan, Settings(precision=precision, batch=(1, max_batch, max_batch)))


def configure(config: pb.ModelConfig, *, precision: str) -> None:  # noqa: ARG001 (it is in the plan)
    """Name the backend, and the plan beside which the graph lies."""
    config.platform = "tensorrt_plan"
    config.backend = BACKEND
    config.default_model_filename = FILE


def build(
    graph: Path,
    plan: Path,
    settings: Settings,
    *,
    timing_cache: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """Build `plan` of the contract's graph (fp32), and write its identity beside it.

    `timing_cache` is a file that saves time in the next build on the same GPU; it is read if it
    is there. `progress` is called from threads of TensorRT. Raises ExportError with TensorRT's
    reason.
    """
    trt = _library()
    capability = None if settings.targets else _gpu()
    made = Identity(
        library=_version(trt),
        gpu=None if capability is None else capability[0],
        capability=None if capability is None else capability[1],
        onnx_sha256=identity.digest(graph),
        settings=settings,
    )
    try:
        with tempfile.TemporaryDirectory(dir=plan.parent, prefix=".plan-") as folder:
            lowered = graph
            if settings.precision == "fp16":
                lowered = Path(folder) / graph.name
                lowering.lower(graph, lowered, "fp16")
            aside = Path(folder) / FILE
            aside.write_bytes(_serialized(trt, lowered, settings, timing_cache, progress))
            aside.replace(plan)
            made.write(plan)
    except OSError as exc:
        raise ExportError(f"{plan} cannot be written: {exc.strerror or exc}") from exc


class Engine:
    """A plan on this machine's GPU; `run` blocks.

    Raises ExportError where the plan is another machine's, or TensorRT refuses it.
    """

    def __init__(self, plan: Path, *, precision: str, threads: int = 0) -> None:  # noqa: ARG002
        trt = _library()
        made = Identity.read(plan)
        if made.settings.precision != precision:
            raise ExportError(f"{plan} is in {made.settings.precision}, not in {precision}")
        gpu, capability = _gpu()
        made.check(plan, library=_version(trt), gpu=gpu, capability=capability)
        self._log = _log(trt)  # all of these must live as long as the contexts
        with _explained(self._log, plan):
            self._runtime = trt.Runtime(self._log)
            self._engine = self._runtime.deserialize_cuda_engine(plan.read_bytes())
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        modes = {name: self._engine.get_tensor_mode(name) for name in names}
        self.inputs = tuple(n for n in names if modes[n] == trt.TensorIOMode.INPUT)
        (self._output,) = set(names) - set(self.inputs)
        self._types = {name: trt.nptype(self._engine.get_tensor_dtype(name)) for name in names}
        # Batch sizes run one after the other, so they share the memory for what is between layers.
        size = max(1, self._engine.device_memory_size_v2)
        self._scratch = torch.empty(size, dtype=torch.uint8, device="cuda")
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._launches: dict[int, Launch] = {}

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """The graph's one output for its inputs by name, with a common batch axis.

        The first run of a batch size is slow: it captures what the others repeat. Raises
        ExportError where an input is missing, or the batch is not in the plan's range.
        """
        if missing := set(self.inputs) - set(feeds):
            raise ExportError(
                f"the engine takes {', '.join(sorted(missing))}, which this model lacks"
            )
        given = {n: np.ascontiguousarray(feeds[n], self._types[n]) for n in self.inputs}
        count = len(given[self.inputs[0]])
        with torch.cuda.stream(self._stream), _explained(self._log, Path(FILE)):
            if count not in self._launches:
                self._launches[count] = self._launch(given)
            return self._launches[count](given)

    def _launch(self, given: Mapping[str, NDArray[Any]]) -> Launch:
        strategies = _library().ExecutionContextAllocationStrategy
        context = self._engine.create_execution_context(strategies.USER_MANAGED)
        context.set_device_memory(self._scratch.data_ptr(), self._scratch.numel())
        return Launch(context, given, (self._output, self._types[self._output]), self._stream)


def _library() -> Any:  # the packages ship no types
    """TensorRT, or else TensorRT for RTX, whichever is installed."""
    for name in _PACKAGES:
        try:
            return importlib.import_module(name)
        except (ImportError, OSError):  # OSError: its shared libraries are missing
            continue
    raise ExportError("TensorRT is not installed; install nonesuch[tensorrt]")


def _version(trt: Any) -> str:
    return f"{trt.__name__.removesuffix('_bindings')} {trt.__version__}"


def _gpu() -> tuple[str, str]:
    """Name and compute capability of this machine's GPU."""
    if not torch.cuda.is_available():
        raise ExportError(
            "torch finds no NVIDIA GPU here; build and load plans on the machine that serves them"
        )
    major, minor = torch.cuda.get_device_capability()
    return torch.cuda.get_device_name(), f"{major}.{minor}"


def _serialized(
    trt: Any, graph: Path, settings: Settings, timing_cache: Path | None, progress: Progress | None
) -> bytes:
    """The plan of a graph whose types are final."""
    log = _log(trt)
    with _explained(log, graph):
        builder = trt.Builder(log)
        network = builder.create_network(_creation(trt))
        parser = trt.OnnxParser(network, log)  # holds the weights until the plan is made
        if not parser.parse_from_file(str(graph)):
            raise ValueError("; ".join(str(parser.get_error(i)) for i in range(parser.num_errors)))
        config = _configuration(trt, builder, settings)
        _add_profile(builder, network, config, settings)
        timing = None if timing_cache is None else _timing(trt, config, timing_cache)
        monitor = None if progress is None else _monitor(trt, progress)
        config.progress_monitor = monitor
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise ValueError("it makes no plan of it")
        if timing is not None and timing_cache is not None:
            timing_cache.write_bytes(bytes(timing.serialize()))
        return bytes(plan)


def _creation(trt: Any) -> int:
    """The flags of a network that takes the types of its graph as they stand."""
    flags = trt.NetworkDefinitionCreationFlag.__members__
    # Version 10 must be told; 11 knows nothing else, nor the flag that 10 still has beside it.
    return 1 << int(flags["STRONGLY_TYPED"]) if "EXPLICIT_BATCH" in flags else 0


def _configuration(trt: Any, builder: Any, settings: Settings) -> Any:
    config = builder.create_builder_config()
    config.builder_optimization_level = settings.level
    config.clear_flag(trt.BuilderFlag.TF32)  # fp32 is to be fp32: TF32 has the digits of fp16
    if settings.workspace_mib is not None:
        limit = settings.workspace_mib * 2**20
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, limit)
    if settings.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    levels = trt.HardwareCompatibilityLevel
    config.hardware_compatibility_level = _member(levels, settings.hardware.upper())
    if settings.targets:
        _aim(trt, config, settings.targets)
    return config


def _aim(trt: Any, config: Any, targets: tuple[str, ...]) -> None:
    if not hasattr(config, "num_compute_capabilities"):
        raise ValueError(f"{_version(trt)} builds for this machine's GPU only, without targets")
    config.num_compute_capabilities = len(targets)
    for i, name in enumerate(targets):
        config.set_compute_capability(_member(trt.ComputeCapability, name), i)


def _member(kind: Any, name: str) -> Any:
    known = dict(kind.__members__)
    if name not in known:
        raise ValueError(f"{name} is not among its {kind.__name__}: {', '.join(known)}")
    return known[name]


def _add_profile(builder: Any, network: Any, config: Any, settings: Settings) -> None:
    """Say for which shapes the plan is: all those of a batch, from the least to the most."""
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        shapes = [tuple(n if d < 0 else d for d in tensor.shape) for n in settings.batch]
        profile.set_shape(tensor.name, *shapes)
    if config.add_optimization_profile(profile) < 0:
        raise ValueError(f"no plan of it takes batches of {settings.batch}")


def _timing(trt: Any, config: Any, file: Path) -> Any:
    """The build's timing cache, which the configuration does not keep alive."""
    if trt.__name__ != "tensorrt":
        raise ValueError(f"{_version(trt)} measures nothing when it builds, so has no timing cache")
    timing = config.create_timing_cache(file.read_bytes() if file.exists() else b"")
    if not config.set_timing_cache(timing, ignore_mismatch=False):
        raise ValueError(f"{file} is no timing cache of this GPU and version; delete it")
    return timing


def _monitor(trt: Any, progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Tells of each step of each phase."""

        def __init__(self) -> None:
            super().__init__()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:  # noqa: ARG002
            self._steps[phase] = steps
            progress(phase, 0, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            progress(phase, step + 1, self._steps[phase])
            return True  # go on

        def phase_finish(self, phase: str) -> None:
            progress(phase, self._steps[phase], self._steps[phase])

    return Monitor()


def _log(trt: Any) -> Any:
    class Log(trt.ILogger):  # type: ignore[misc]
        """Keeps errors; all else is talk."""

        def __init__(self) -> None:
            super().__init__()
            self.lines: list[str] = []

        def log(self, severity: Any, text: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.lines.append(text)

    return Log()


@contextmanager
def _explained(log: Any, file: Path) -> Iterator[None]:
    """Give the reason of what fails, which TensorRT writes to its log and nowhere else."""
    try:
        with _uncollected():
            yield
    except (ValueError, TypeError, RuntimeError, AttributeError) as exc:
        reason = "; ".join(dict.fromkeys([str(exc), *log.lines]))
        raise ExportError(f"TensorRT refuses {file.name}: {reason[:600]}") from exc


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector away while TensorRT works.

    It calls our log with a lock held. A collection there may end an older builder, which waits for
    the same lock, for ever.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
