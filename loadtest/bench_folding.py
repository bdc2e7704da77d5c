"""What does folding the graph before it is written save, in nodes and in time?

    python loadtest/bench_folding.py

The graph of an untrained StyleGAN2 as torch traces it, and as the exporter writes it, in runtimes
that fold and fuse for themselves; all in fp32, one picture on all threads.
"""

import itertools
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import click
import onnx
import torch

import bench_layers
import bench_onnxruntime
from nonesuch_export import graph, network
from nonesuch_export.network.config import Config

_RUNS = 12


def write(resolution: int, folder: Path) -> tuple[Path, Path]:
    """Both graphs of a network of that size: as traced, and folded."""
    config = Config.sized(resolution=resolution, classes=0, channel_base=None, channel_max=512)
    pipeline = graph.Pipeline(network.untrained("stylegan2", config, 0))
    example = graph.neutral(pipeline.network, torch.zeros(3, config.z_dim))
    before, after = folder / "traced.onnx", folder / "folded.onnx"
    onnx.save(graph.traced(pipeline, example, ("image",)).model_proto, before)
    graph.trace(pipeline, example, ("image",), after)
    return before, after


@dataclass(frozen=True, slots=True)
class Ran:
    """What a runtime made of a graph."""

    nodes: int  # that it runs
    time_ms: float  # a picture
    lines: str = ""  # where the time went


def in_onnx_runtime(path: Path) -> Ran:
    """Median of a few runs."""
    optimized = path.with_suffix(".optimized.onnx")
    session = bench_onnxruntime.session(path, {"optimized_model_filepath": str(optimized)})
    given = bench_onnxruntime.feeds(session, 1)
    times = []
    for _ in range(_RUNS + 1):
        start = time.perf_counter()
        session.run(None, given)
        times.append((time.perf_counter() - start) * 1000)
    # The first run warms up.
    return Ran(len(onnx.load(optimized).graph.node), statistics.median(times[1:]))


def in_openvino(path: Path) -> Ran:
    """The sum of the medians of all nodes."""
    nodes = bench_layers.measure(path)
    total = sum(node.time_ms for node in nodes)
    return Ran(len(nodes), total, "".join(f"\n    {line}" for line in bench_layers.by_kind(nodes)))


RUNTIMES = {"ONNX Runtime": in_onnx_runtime, "OpenVINO": in_openvino}


@click.command()
@click.option("--resolution", type=click.IntRange(4), default=256, show_default=True)
def main(*, resolution: int) -> None:
    """Nodes and milliseconds of both graphs, which take turns; the better of two is told."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write(resolution, Path(folder))
        turns = itertools.product(range(2), RUNTIMES, paths)
        found: dict[tuple[str, Path], list[Ran]] = defaultdict(list)
        for _, runtime, path in turns:
            found[runtime, path].append(RUNTIMES[runtime](path))
        for path in paths:
            kinds = Counter(node.op_type for node in onnx.load(path).graph.node)
            common = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(8))
            click.echo(f"{path.stem}: {kinds.total()} nodes: {common}")
            for runtime in RUNTIMES:
                ran = min(found[runtime, path], key=lambda one: one.time_ms)
                click.echo(f"  {runtime}: {ran.nodes} nodes, {ran.time_ms:.1f} ms{ran.lines}")


if __name__ == "__main__":
    main()
