"""What does a bulk run keep, on disk, of the bare engine's offline rate? Does its memory grow?

The engine makes pictures in this process and drops them, before and after a whole set is made from
the server, report and all. It runs as the load test's `offline` does, in its fastest batch
(`bare_hz`), and once more with a thread and a picture for each core (`apart_hz`), which is faster
where threads that share a layer wait for each other. The promise is 0.95 of the first.

    python loadtest/bulk_disk.py portraits --url localhost:8001 --pictures 20000 --seconds 30 \
        --engine model_repository/portraits_generator/1/model.onnx
"""

import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click

from nonesuch import Card, Client, parse_seeds
from nonesuch.bulk import Bulk, Plan
from nonesuch_export.engine import Loaded, runtime
from nonesuch_loadtest.bare import feeds
from nonesuch_loadtest.resources import Resources, listener

_BATCHES = (1, 2, 4, 8, 16)
_READINGS = 10  # of the memory


@click.command()
@click.argument("model")
@click.option("--url", default="localhost:8001")
@click.option("--engine", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--pictures", default=2000, help="Of the set.")
@click.option("--seconds", default=10.0, help="Of each window of the bare engine.")
def main(model: str, url: str, engine: Path, pictures: int, seconds: float) -> None:
    """Print one JSON object; rates are pictures per second, memory is MB."""
    with tempfile.TemporaryDirectory() as folder, Client(url) as client:
        client.wait_ready(model)
        card = client.info(model)
        load = runtime(card.engine, card.precision).Engine
        bare = [load(engine, precision=card.precision)]
        cores = range(os.cpu_count() or 1)
        apart = [load(engine, precision=card.precision, threads=1) for _ in cores]
        batch = max(_BATCHES, key=lambda batch: _offline(bare, card, batch, 2.0))
        windows = [(_offline(bare, card, batch, seconds), _offline(apart, card, 1, seconds))]
        plan = Plan(model=model, seeds=parse_seeds(f"0-{pictures - 1}"))
        bulk_hz, memory = _bulk(plan, Path(folder), url)
        windows += [(_offline(bare, card, batch, seconds), _offline(apart, card, 1, seconds))]
    bare_hz, apart_hz = (statistics.mean(rates) for rates in zip(*windows, strict=True))
    rates = {"bare_hz": bare_hz, "apart_hz": apart_hz, "bulk_hz": bulk_hz}
    found: dict[str, Any] = {"pictures": pictures, "batch": batch}
    found |= {name: round(rate, 1) for name, rate in rates.items()}
    found |= {"ratio": round(bulk_hz / bare_hz, 3), "of_apart": round(bulk_hz / apart_hz, 3)}
    print(json.dumps(found | memory))  # noqa: T201


def _offline(engines: Sequence[Loaded], card: Card, batch: int, seconds: float) -> float:
    """Pictures per second of engines that run at once, each after one run."""

    def made(engine: Loaded, seeds: Iterator[int]) -> int:
        count = 0
        while time.monotonic() < end_s:
            engine.run(feeds(card, list(itertools.islice(seeds, batch))))
            count += batch
        return count

    for engine in engines:
        engine.run(feeds(card, list(range(batch))))
    begin_s = time.monotonic()
    end_s = begin_s + seconds
    streams = [itertools.count(n * 1_000_000) for n in range(len(engines))]
    with ThreadPoolExecutor(len(engines)) as pool:
        total = sum(pool.map(made, engines, streams))
    return total / (time.monotonic() - begin_s)


def _bulk(plan: Plan, folder: Path, url: str) -> tuple[float, dict[str, Any]]:
    """Pictures per second of a whole set, and the memory while it is made."""
    start_s, step = time.monotonic(), max(1, len(plan.seeds) // _READINGS)
    watched = Resources(listener(url), [os.getpid()])
    with Bulk(plan, folder, [url]) as making:
        for number, _row in enumerate(making, start=1):
            if number % step == 0:
                watched.read(time.monotonic() - start_s)
    rate_hz = len(plan.seeds) / (time.monotonic() - start_s)
    read = watched.readings
    return rate_hz, {
        "client_mb": [each.driver_bytes // 2**20 for each in read],
        "server_mb": [each.server_bytes // 2**20 for each in read if each.server_bytes],
        "client_cores": round(statistics.mean(each.driver_cores for each in read), 2),
    }


if __name__ == "__main__":
    main()
