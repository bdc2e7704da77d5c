"""How long do interactive requests wait while a bulk run has the server at full speed?

Single pictures are asked for at times drawn before (Poisson), alone and beside `nonesuch bulk`;
latency counts from the time at which a request was due. The promise is a p99 of at most twice
that without bulk, plus one service time.

    python loadtest/bulk_behind.py portraits --url localhost:8001 --seconds 30
"""

import itertools
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from nonesuch import Client

_SETTLE_S = 4.0  # for bulk to find its pace
_CALLERS = 32


@click.command()
@click.argument("model")
@click.option("--url", default="localhost:8001")
@click.option("--seconds", default=30.0, help="Of each of the two windows.")
@click.option("--rate-hz", default=8.0, help="Interactive requests.")
def main(model: str, url: str, seconds: float, rate_hz: float) -> None:
    """Print one JSON object; times are milliseconds."""
    due_s = np.random.default_rng(0).exponential(1 / rate_hz, int(seconds * rate_hz)).cumsum()
    with Client(url) as client, tempfile.TemporaryDirectory() as folder:
        _latencies(client, model, due_s[:10])  # warm-up
        alone = _latencies(client, model, due_s)
        words = ["bulk", model, "--seeds", "0-9999999", "--url", url, "--out", folder]
        with subprocess.Popen([sys.executable, "-m", "nonesuch.cli", *words]) as bulk:
            time.sleep(_SETTLE_S)
            begun, start_s = _made(Path(folder)), time.monotonic()
            beside = _latencies(client, model, due_s)
            rate = (_made(Path(folder)) - begun) / (time.monotonic() - start_s)
            bulk.kill()
    print(json.dumps(_figures(alone, beside) | {"bulk_bytes_per_s": round(rate)}))  # noqa: T201


def _latencies(client: Client, model: str, due_s: NDArray[np.float64]) -> NDArray[np.float64]:
    start_s = time.monotonic()
    seeds = itertools.count(2**31)

    def ask(due: float) -> float:
        time.sleep(max(0.0, start_s + due - time.monotonic()))
        next(client.generate(model, [next(seeds)]))
        return time.monotonic() - start_s - due

    with ThreadPoolExecutor(_CALLERS) as pool:
        return 1000 * np.array(list(pool.map(ask, due_s)))


def _made(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _figures(alone: NDArray[np.float64], beside: NDArray[np.float64]) -> dict[str, Any]:
    found = {
        name: {f"p{q}": round(float(np.percentile(values, q)), 1) for q in (50, 95, 99)}
        for name, values in (("alone", alone), ("beside", beside))
    }
    allowed = 2 * found["alone"]["p99"] + found["alone"]["p50"]
    return found | {"requests": len(alone), "allowed_p99": round(allowed, 1)}


if __name__ == "__main__":
    main()
