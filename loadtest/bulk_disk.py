"""What does a bulk run keep, on disk, of the bare engine's offline rate?

Both take turns on one machine: the engine in this process with its fastest batch, then a set
that is made from the server. The promise is 0.95.

    python loadtest/bulk_disk.py portraits --url localhost:8001 \
        --engine model_repository/portraits_generator/1/model.onnx
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from nonesuch import Card, Client, parse_seeds
from nonesuch.bulk import Bulk, Plan
from nonesuch_export.engine import Loaded, runtime
from nonesuch_loadtest.bare import feeds

_MEMORY = Path("/proc/self/status")
_BATCHES = (1, 2, 4, 8)


@click.command()
@click.argument("model")
@click.option("--url", default="localhost:8001")
@click.option("--engine", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--seconds", default=15.0, help="Of each window.")
@click.option("--rounds", default=2)
def main(model: str, url: str, engine: Path, seconds: float, rounds: int) -> None:
    """Print one JSON object for each round; rates are pictures per second."""
    with tempfile.TemporaryDirectory() as folder, Client(url) as client:
        client.wait_ready(model)
        card = client.info(model)
        bare = runtime(card.engine, card.precision).Engine(engine, precision=card.precision)
        batch = max(_BATCHES, key=lambda batch: _offline(bare, card, batch, 2.0))
        plan = Plan(model=model, seeds=parse_seeds("0-9999999"))
        for number in range(rounds):
            offline = _offline(bare, card, batch, seconds)
            rate, megabytes = _bulk(plan, Path(folder) / str(number), url, seconds)
            found: dict[str, Any] = {"offline_hz": offline, "batch": batch, "bulk_hz": rate}
            found |= {"ratio": rate / offline, "memory_mb": megabytes}
            print(json.dumps(found))  # noqa: T201


def _offline(bare: Loaded, card: Card, batch: int, seconds: float) -> float:
    """Pictures per second of the engine alone, after one run."""
    bare.run(feeds(card, list(range(batch))))
    made, start_s = 0, time.monotonic()
    while (passed_s := time.monotonic() - start_s) < seconds:
        bare.run(feeds(card, list(range(made, made + batch))))
        made += batch
    return made / passed_s


def _bulk(plan: Plan, folder: Path, url: str, seconds: float) -> tuple[float, list[int]]:
    """Pictures per second, and this process's memory at begin and end of the window."""
    with Bulk(plan, folder, [url]) as making:
        warm_s = time.monotonic() + 3.0
        while time.monotonic() < warm_s:
            next(making)
        memory, made, start_s = [_megabytes()], 0, time.monotonic()
        while (passed_s := time.monotonic() - start_s) < seconds:
            next(making)
            made += 1
        return made / passed_s, [*memory, _megabytes()]


def _megabytes() -> int:
    return int(_MEMORY.read_text().split("VmRSS:")[1].split()[0]) // 1024


if __name__ == "__main__":
    main()
