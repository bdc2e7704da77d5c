"""What does folding the graph before it is written save, in nodes and in time?

    python loadtest/bench_folding.py

The graph of an untrained StyleGAN2 as torch traces it, and as the exporter writes it, in runtimes
that fold and fuse for themselves; all in fp32, one picture on all threads.
"""

import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import click
import onnx
import onnxruntime as ort
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


def in_onnx_runtime(path: Path) -> tuple[int, float]:
    """Nodes that ONNX Runtime runs, and milliseconds a picture."""
    optimized = path.with_suffix(".optimized.onnx")
    session = bench_onnxruntime.session(path, {"optimized_model_filepath": str(optimized)})
    feeds = bench_onnxruntime.feeds(session, 1)
    return len(onnx.load(optimized).graph.node), _median_ms(session, feeds)


def _median_ms(session: ort.InferenceSession, feeds: bench_onnxruntime.Feeds) -> float:
    times = []
    for _ in range(_RUNS + 1):
        start = time.perf_counter()
        session.run(None, feeds)
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times[1:])  # the first warms up


@click.command()
@click.option("--resolution", type=click.IntRange(4), default=256, show_default=True)
def main(*, resolution: int) -> None:
    """Nodes and milliseconds of both graphs."""
    with tempfile.TemporaryDirectory() as folder:
        for name, path in zip(("traced", "folded"), write(resolution, Path(folder)), strict=True):
            kinds = Counter(node.op_type for node in onnx.load(path).graph.node)
            common = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(8))
            click.echo(f"{name}: {kinds.total()} nodes: {common}")
            count, time_ms = in_onnx_runtime(path)
            click.echo(f"  ONNX Runtime: {count} nodes, {time_ms:.1f} ms")
            nodes = bench_layers.measure(path)
            total = sum(node.time_ms for node in nodes)
            click.echo(f"  OpenVINO: {len(nodes)} nodes, {total:.1f} ms")
            for line in bench_layers.by_kind(nodes):
                click.echo(f"    {line}")


if __name__ == "__main__":
    main()
