"""What a Triton server says of itself: its name, its models' configuration and statistics."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from nonesuch import protocol
from nonesuch.contract import CARD
from nonesuch.errors import ServerError, translated
from nonesuch_loadtest.engines import Engine, engines
from nonesuch_loadtest.result import Split, Step

_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """The counters of all models since the server started, by the model's name."""

    models: Mapping[str, Any]  # ModelStatistics
    engines: Mapping[str, Engine] = field(default_factory=dict)  # of those that have a line


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


def statistics(url: str, metrics_url: str) -> Statistics:
    """Ask for the counters; the page of metrics need not be there."""
    found = _ask(url, "ModelStatistics", service_pb2.ModelStatisticsRequest())
    models = {stat.name: stat for stat in found.model_stats}
    with suppress(ServerError):
        return Statistics(models=models, engines=engines(metrics_url))
    return Statistics(models=models)


def split(model: str, parts: Iterable[str], before: Statistics, after: Statistics) -> Split:
    """Where the server spent the time between two looks at its counters."""
    own = _difference(before, after, model)
    return Split(
        model=model,
        requests=own["requests"],
        server_s=own["server_s"],
        steps=tuple(_step(model, part, before, after) for part in parts or (model,)),
    )


def _step(model: str, part: str, before: Statistics, after: Statistics) -> Step:
    found = _difference(before, after, part)
    del found["server_s"]
    looks = [look.engines[part] for look in (before, after) if part in look.engines]
    told = looks[1].since(looks[0]) if len(looks) == 2 else Engine()
    if told.requests:
        # The page is not of the same moment as Triton's counters: its means are what counts.
        each = found["requests"] / told.requests
        found["queue_s"] += each * told.wait_s
        # All that Triton counts after a request was handed over is in the engine's two.
        found |= {"infer_s": each * told.run_s, "output_s": 0.0}
    return Step(model=part, role=part.removeprefix(f"{model}_"), **found)


def _difference(before: Statistics, after: Statistics, model: str) -> dict[str, Any]:
    """The fields of a Step, and its whole time."""
    old, new = _counters(before.models.get(model)), _counters(after.models.get(model))
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
