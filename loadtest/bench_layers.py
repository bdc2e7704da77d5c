"""Where does the time of an OpenVINO plan go, node by node, for one picture on all threads?

python loadtest/bench_layers.py build/bench-engines/256/openvino-bf16/model.xml
"""

import collections
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import openvino
from numpy.typing import NDArray

_RUNS = 12


@dataclass(frozen=True, slots=True)
class Node:
    """What OpenVINO made of one or more of the graph's nodes."""

    kind: str
    kernel: str
    shape: tuple[int, ...]
    time_ms: float  # median of the runs


def measure(plan: Path) -> list[Node]:
    """All nodes that run, in their order."""
    core = openvino.Core()
    model = core.read_model(plan)
    model.reshape({i.any_name: [1, *list(i.partial_shape)[1:]] for i in model.inputs})
    options = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1, "PERF_COUNT": True}
    compiled = core.compile_model(model, "CPU", options)
    request, feeds = compiled.create_infer_request(), dict(_feeds(compiled))
    times: dict[str, list[float]] = collections.defaultdict(list)
    for run in range(_RUNS + 1):
        request.infer(feeds)
        if run:  # the first warms up
            for fact in request.profiling_info:
                times[fact.node_name].append(fact.real_time.total_seconds() * 1000)
    kernels = {fact.node_name: (fact.node_type, fact.exec_type) for fact in request.profiling_info}
    shapes = {
        op.get_friendly_name(): tuple(op.output(0).get_shape())
        for op in compiled.get_runtime_model().get_ordered_ops()
        if op.get_output_size()
    }
    return [
        Node(*kernels[name], shapes.get(name, ()), statistics.median(spent))
        for name, spent in times.items()
        if any(spent)
    ]


def _feeds(compiled: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """Any numbers: the time does not depend on them, as long as none is denormal."""
    chance = np.random.default_rng(0)
    for value in compiled.inputs:
        shape = list(value.shape)
        integers = "int" in str(value.element_type)
        kind = np.int32 if integers else np.float32
        yield value.any_name, chance.integers(0, 2, shape).astype(kind)


def by_kind(nodes: Sequence[Node]) -> Iterator[str]:
    """A line for each kind and kernel that takes 0.5 % of the time or more, the slowest first."""
    total = sum(node.time_ms for node in nodes)
    kinds: dict[tuple[str, str], list[float]] = collections.defaultdict(list)
    for node in nodes:
        kinds[node.kind, node.kernel].append(node.time_ms)
    for (kind, kernel), spent in sorted(kinds.items(), key=lambda item: -sum(item[1])):
        if sum(spent) >= total / 200:
            share = sum(spent) / total
            yield f"{sum(spent):8.2f} ms {share:5.0%} {len(spent):4} nodes  {kind}, {kernel}"


@click.command()
@click.argument("plan", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--top", type=click.IntRange(0), default=12, help="Slowest nodes to name.")
def main(*, plan: Path, top: int) -> None:
    """Time by kernel, and the slowest nodes."""
    nodes = measure(plan)
    total = sum(node.time_ms for node in nodes)
    click.echo(f"{total:.2f} ms in {len(nodes)} nodes")
    for line in by_kind(nodes):
        click.echo(line)
    for node in sorted(nodes, key=lambda node: -node.time_ms)[:top]:
        click.echo(f"{node.time_ms:8.2f} ms  {node.kind} {list(node.shape)}, {node.kernel}")


if __name__ == "__main__":
    main()
