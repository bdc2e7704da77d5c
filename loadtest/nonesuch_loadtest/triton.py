"""What a Triton server says of itself: its name, its models' configuration and statistics."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from nonesuch import protocol
from nonesuch.contract import CARD
from nonesuch.errors import translated
from nonesuch_loadtest.result import Split, Step

Statistics = Mapping[str, Any]  # ModelStatistics by the model's name

_TIMEOUT_S = 10.0
_EMBEDDED = "nonesuch-"  # what the embedded server's name begins with
_STAND_INS = frozenset(
    {"onnxruntime", "openvino", "tensorrt"}
)  # backends for which it has one of its own


def _ask(url: str, method: str, message: Any) -> Any:
    with grpc.insecure_channel(url, options=protocol.CHANNEL) as channel, translated(url):
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        return getattr(stub, method)(message, timeout=_TIMEOUT_S)


def name(url: str) -> str:
    """The version of the server core; the name is one that a start script chose."""
    found = _ask(url, "ServerMetadata", service_pb2.ServerMetadataRequest())
    return f"Triton {found.version}"


def _config(url: str, model: str) -> Any:
    return _ask(url, "ModelConfig", service_pb2.ModelConfigRequest(name=model)).config


def steps(url: str, model: str) -> tuple[str, ...]:
    """The models that an ensemble consists of, in order; none of a plain one."""
    return tuple(step.model_name for step in _config(url, model).ensemble_scheduling.step)


def late(url: str, models: Iterable[str]) -> frozenset[str]:
    """The steps that answer after Triton has ended to count: the embedded server's engines.

    Its stand-ins for backends have a line of their own, and Triton counts until a request is in it.
    """
    server = _ask(url, "ServerMetadata", service_pb2.ServerMetadataRequest())
    if not server.name.startswith(_EMBEDDED):
        return frozenset()
    names = {name for model in models for name in steps(url, model)}
    return frozenset(name for name in names if _config(url, name).backend in _STAND_INS)


def configuration(url: str, models: Iterable[str]) -> dict[str, Any]:
    """What decides on speed in the configurations of models and of their steps."""
    names = [name for model in models for name in (model, *steps(url, model))]
    return {name: _settings(_config(url, name)) for name in dict.fromkeys(names)}


def _settings(config: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"backend": config.backend or config.platform}
    found["max_batch_size"] = config.max_batch_size
    if config.instance_group:
        found["instances"] = sum(group.count for group in config.instance_group)
    if config.HasField("dynamic_batching"):
        delay_us = config.dynamic_batching.max_queue_delay_microseconds
        found["max_queue_delay_us"] = delay_us
    words = {key: value.string_value for key, value in config.parameters.items() if key != CARD}
    return found | ({"parameters": words} if words else {})


def statistics(url: str) -> Statistics:
    """The counters of all models since the server started."""
    found = _ask(url, "ModelStatistics", service_pb2.ModelStatisticsRequest())
    return {stat.name: stat for stat in found.model_stats}


def split(
    model: str,
    parts: Iterable[str],
    before: Statistics,
    after: Statistics,
    late: Collection[str] = (),
) -> Split:
    """Where the server spent the time between two looks at its counters.

    What is beyond all that Triton counted of the steps is that of the one which is `late`.
    """
    own = _difference(before, after, model)
    steps = [_step(model, part, before, after) for part in parts or (model,)]
    counted_s = sum(s.queue_s + s.input_s + s.infer_s + s.output_s for s in steps)
    rest_s = max(0.0, own["server_s"] - counted_s)
    if len({step.model for step in steps} & set(late)) == 1:
        steps = [replace(s, infer_s=s.infer_s + rest_s * (s.model in late)) for s in steps]
    return Split(
        model=model, requests=own["requests"], server_s=own["server_s"], steps=tuple(steps)
    )


def _step(model: str, part: str, before: Statistics, after: Statistics) -> Step:
    found = _difference(before, after, part)
    del found["server_s"]
    return Step(model=part, role=part.removeprefix(f"{model}_"), **found)


def _difference(before: Statistics, after: Statistics, model: str) -> dict[str, Any]:
    """The fields of a Step, and its whole time."""
    old, new = _counters(before.get(model)), _counters(after.get(model))
    batches = new.pop("batches")
    earlier = old.pop("batches")
    counts = {size: n - earlier.get(size, 0) for size, n in batches.items()}
    spent = {key: new[key] - old[key] for key in new}
    return spent | {"batches": {size: n for size, n in sorted(counts.items()) if n}}


def _counters(stat: Any) -> dict[str, Any]:
    stat = stat or service_pb2.ModelStatistics()
    times = stat.inference_stats
    return {
        "requests": times.success.count,
        "failures": times.fail.count,
        "executions": stat.execution_count,
        "inferences": stat.inference_count,
        "server_s": times.success.ns / 1e9,
        "queue_s": times.queue.ns / 1e9,
        "input_s": times.compute_input.ns / 1e9,
        "infer_s": times.compute_infer.ns / 1e9,
        "output_s": times.compute_output.ns / 1e9,
        "batches": {batch.batch_size: batch.compute_infer.count for batch in stat.batch_stats},
    }
