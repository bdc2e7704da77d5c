"""Which of ONNX Runtime's session options are fastest here, and in how many runs is a batch?

    python loadtest/bench_onnxruntime.py model_repository/portraits_generator/1/model.onnx

All take turns. Each has a session of its own, which takes memory, so name a few of a large model.
The first is what ONNX Runtime does if it is told nothing.
"""

import functools
import itertools
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

Feeds = Mapping[str, NDArray[Any]]
Run = Callable[[Feeds], object]

_LEVELS = ort.GraphOptimizationLevel
# What is set beside the defaults: attributes of the options, and entries of their dictionary.
SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "one thread": {"intra_op_num_threads": 1},
    "no spinning": {"session.intra_op.allow_spinning": "0"},
    "no arena": {"enable_cpu_mem_arena": False},
    "no memory pattern": {"enable_mem_pattern": False},
    "graph level extended: no NCHWc": {"graph_optimization_level": _LEVELS.ORT_ENABLE_EXTENDED},
    "graph level basic": {"graph_optimization_level": _LEVELS.ORT_ENABLE_BASIC},
    "no prepacked weights": {"session.disable_prepacking": "1"},
    "denormals as zero": {"session.set_denormal_as_zero": "1"},
    "branches in parallel": {"execution_mode": ort.ExecutionMode.ORT_PARALLEL},
}


def session(plan: Path, settings: Mapping[str, Any]) -> ort.InferenceSession:
    """A session with these settings beside the defaults."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    for name, value in settings.items():
        if name.startswith("session."):
            options.add_session_config_entry(name, value)
        else:
            setattr(options, name, value)
    return ort.InferenceSession(plan, options, providers=["CPUExecutionProvider"])


def _whole(settings: Mapping[str, Any], plan: Path) -> Run:
    made = session(plan, settings)
    return lambda feeds: made.run(None, feeds)


def _one_by_one(plan: Path) -> Run:
    made = session(plan, {})
    return lambda feeds: [made.run(None, row) for row in _rows(feeds)]


def _side_by_side(plan: Path) -> Run:
    made = session(plan, SETTINGS["one thread"])
    pool = ThreadPoolExecutor(os.cpu_count())
    return lambda feeds: list(pool.map(lambda row: made.run(None, row), _rows(feeds)))


WAYS: dict[str, Callable[[Path], Run]] = {
    **{name: functools.partial(_whole, settings) for name, settings in SETTINGS.items()},
    "each sample in a run": _one_by_one,
    "each sample on a thread of its own": _side_by_side,
}


def _rows(feeds: Feeds) -> list[dict[str, NDArray[Any]]]:
    count = len(next(iter(feeds.values())))
    return [{name: array[i : i + 1] for name, array in feeds.items()} for i in range(count)]


def measure(plan: Path, batch: int, rounds: int, ways: Sequence[str]) -> dict[str, float]:
    """Samples a second, each way, median of the rounds."""
    runs, given = {name: WAYS[name](plan) for name in ways}, feeds(session(plan, {}), batch)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn, (name, run) in itertools.product(range(rounds + 1), runs.items()):
        start = time.perf_counter()
        run(given)
        if turn:  # the first warms up
            times[name].append(time.perf_counter() - start)
    return {name: batch / statistics.median(spent) for name, spent in times.items()}


def feeds(made: ort.InferenceSession, batch: int) -> dict[str, NDArray[Any]]:
    """Any numbers: the time does not depend on them, as long as none is denormal."""
    chance = np.random.default_rng(0)
    return {
        value.name: chance.integers(0, 2, (batch, *value.shape[1:])).astype(
            np.int32 if "int32" in value.type else np.float32
        )
        for value in made.get_inputs()
    }


@click.command()
@click.argument("plan", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--batch", type=click.IntRange(1, 64), default=4, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, help="How often all take turns.")
@click.option("--way", "ways", type=click.Choice(list(WAYS)), multiple=True, help="[default: all]")
def main(*, plan: Path, batch: int, rounds: int, ways: tuple[str, ...]) -> None:
    """Pictures a second of an exported graph, each way."""
    for name, rate_hz in measure(plan, batch, rounds, ways or tuple(WAYS)).items():
        click.echo(f"{rate_hz:8.2f} img/s  {name}")


if __name__ == "__main__":
    main()
