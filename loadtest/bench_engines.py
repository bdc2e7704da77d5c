"""How fast is each engine here, beside each other and beside the machine's matrix peak?

    python loadtest/bench_engines.py --out build/bench-engines.json

writes a table, all figures, and a chart beside them. Each contestant has a process of its own, so
that its memory is its own; they take turns, window by window, so that what else the machine does
hits all alike, and what it does is measured: the last column says what share of the machine's
processor time went elsewhere, and figures with more than a few hundredths of it are to be measured
again. The model is untrained and of the authors' size: speed does not depend on what the
weights are.
"""

import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
import torch

import bars
from contestants import (
    COPIED,
    COPY,
    FAMILIES,
    GROUPED,
    PRODUCT,
    SIDE,
    Contestant,
    Sizes,
    Work,
    contestants,
    moved,
    multiply_adds,
    prepare,
    sized,
)
from nonesuch.command import Parsed, seconds
from nonesuch.errors import ExportError

PACKAGES = ("torch", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "numpy")
_LOADING_S = 600.0  # for a process to get ready, on a slow machine


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """One of a contestant's turns."""

    rate_hz: float  # pictures a second
    peak_bytes: int  # of memory, up to then
    elsewhere: float  # share of the machine's processor time that others took


Windows = dict[Contestant, list[Window]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a contestant did at one batch size."""

    contestant: str
    precision: str
    resolution: int
    batch: int
    rate_hz: float  # pictures a second, median of the windows
    best_hz: float  # of the windows
    share: float  # of the matrix peak in its precision, by the multiply-adds of the model
    peak_gflops: float  # that peak: the best window of a product of square matrices
    ratio: float  # to PyTorch with grouped convolutions at the same batch size (fp16: in fp16)
    copied: float | None  # share of the rate at which the bytes that must move could be copied
    peak_bytes: int  # of memory for weights and activations, batch sizes so far
    elsewhere: float  # share of the machine's processor time that others took, in the worst window


def _serve(pipe: Connection, make: Callable[[Path], Work], folder: Path, device: str) -> None:
    """A contestant's process: get ready, then one window for each batch size that arrives."""
    before = _held(device, "VmRSS")
    try:
        work = make(folder)
        work(1)
    except ExportError as exc:
        pipe.send(str(exc))
        return
    pipe.send(None)
    warm = {1}  # batch sizes
    while job := pipe.recv():
        batch, window_s = job
        if batch not in warm:
            work(batch)
            warm.add(batch)
        busy, done, start = _foreign_s(), 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < window_s or not done:
            work(batch)
            done += batch
        window = Window(
            rate_hz=done / spent,
            peak_bytes=_held(device, "VmHWM") - before,
            elsewhere=max(_foreign_s() - busy, 0.0) / (spent * (os.cpu_count() or 1)),
        )
        pipe.send(window)


def _foreign_s() -> float:
    """Processor time that has gone to other processes, and to other guests of the host."""
    times = Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _waiting, *rest = map(int, times)
    own = os.times()
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK") - own.user - own.system


def _held(device: str, name: str) -> int:
    """Memory of this process, by the kernel's name for it; on a GPU, all that is taken there.

    What others have there stays as it is while one of them works.
    """
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        return total - free
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


@contextmanager
def _process(contestant: Contestant, folder: Path, device: str) -> Iterator[Connection | str]:
    """The connection to a contestant that is ready, or why it cannot take part."""
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(
        target=_serve, args=(its, contestant.make, folder, device), daemon=True
    )
    process.start()
    its.close()  # so that its end is ours to notice
    try:
        refusal = ours.recv() if ours.poll(_LOADING_S) else f"not ready within {_LOADING_S:g} s"
        yield refusal or ours
    finally:
        process.kill()
        process.join()


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to measure, and how long."""

    folder: Path
    device: str
    batches: tuple[int, ...]
    rounds: int
    window_s: float


def measure(plan: Plan, config: Sizes) -> Iterator[Result]:
    """All contestants at all batch sizes of one model; those that cannot take part are told."""
    refused = prepare(plan.folder, config, plan.device, max(plan.batches))
    with ExitStack() as stack:
        ready: dict[Contestant, Connection] = {}
        for contestant in contestants(plan.device):
            found: Connection | str = refused.get((contestant.name, contestant.precision), "")
            found = found or stack.enter_context(_process(contestant, plan.folder, plan.device))
            if isinstance(found, str):
                click.echo(f"{contestant.name} {contestant.precision}: {found}", err=True)
            else:
                ready[contestant] = found
        for batch in plan.batches:
            yield from _results(_windows(ready, plan, batch), config, batch, SIDE[plan.device])


def _windows(ready: dict[Contestant, Connection], plan: Plan, batch: int) -> Windows:
    windows: Windows = {contestant: [] for contestant in ready}
    for turn in range(plan.rounds):
        for contestant, pipe in ready.items():
            pipe.send((batch, plan.window_s))
            windows[contestant].append(pipe.recv())
        click.echo(f"batch {batch}, round {turn + 1} of {plan.rounds}", err=True)
    return windows


def _results(windows: Windows, config: Sizes, batch: int, side: int) -> Iterator[Result]:
    rates = {(c.name, c.precision): [one.rate_hz for one in w] for c, w in windows.items()}
    # Two operations a multiply-add, as many as a product of square matrices has.
    images = 2 * side**3 / (2 * multiply_adds(config))
    copies_hz = max(rates[COPY, ""]) / batch
    for contestant, made in windows.items():
        if contestant.name in {PRODUCT, COPY}:
            continue
        own = rates[contestant.name, contestant.precision]
        products_hz = max(rates[PRODUCT, contestant.precision]) / batch
        peak_hz = products_hz * images
        usual = rates.get((GROUPED, contestant.precision)) or rates[GROUPED, "fp32"]
        must = moved(config, batch, contestant.precision)
        yield Result(
            contestant=contestant.name,
            precision=contestant.precision,
            resolution=config.resolution,
            batch=batch,
            rate_hz=statistics.median(own),
            best_hz=max(own),
            share=statistics.median(own) / peak_hz,
            peak_gflops=products_hz * 2 * side**3 / 1e9,
            ratio=statistics.median(a / b for a, b in zip(own, usual, strict=True)),
            copied=must and statistics.median(own) * must / (copies_hz * 2 * 4 * COPIED),
            peak_bytes=max(one.peak_bytes for one in made),
            elsewhere=max(one.elsewhere for one in made),
        )


def _versions() -> Iterator[tuple[str, str]]:
    """Of those packages that are installed."""
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            yield name, version(name)


def hardware() -> dict[str, Any]:
    """What the figures are true of."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    facts = {
        line.split(":")[0].strip(): line.split(":")[1].strip() for line in lines if ":" in line
    }
    known = facts.get("flags", "").split()
    return {
        "cpu": facts.get("model name", platform.processor()),
        "cores": len(os.sched_getaffinity(0)),
        "instructions": [f for f in known if f.startswith(("avx", "amx"))],
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "load": os.getloadavg()[0],  # at the end: what else was running
    }


def _table(results: list[Result]) -> str:
    head = (
        f"{'':<46}{'batch':>5}{'img/s':>9}{'ratio':>7}{'of peak':>9}{'of copy':>9}"
        f"{'memory':>11}{'elsewhere':>11}"
    )
    return "\n".join([head, *map(_line, results)])


def _line(result: Result) -> str:
    who = f"{result.resolution:>4}  {result.contestant} {result.precision}"
    speed = f"{result.batch:>5}{result.rate_hz:>9.2f}{result.ratio:>7.2f}{result.share:>9.2f}"
    speed += f"{'-':>9}" if result.copied is None else f"{result.copied:>9.2f}"
    return f"{who:<46}{speed}{result.peak_bytes / 2**20:>7.0f} MiB{result.elsewhere:>11.0%}"


def _bars(results: list[Result], batch: int) -> list[bars.Group]:
    """A group for each resolution, of the rates at one batch size."""
    groups: dict[int, list[bars.Bar]] = {}
    for result in results:
        if result.batch == batch:
            who, rate_hz = f"{result.contestant} {result.precision}", result.rate_hz
            note = f"{rate_hz:.2f} img/s, {result.ratio:.1f} x, {result.share:.0%} of peak"
            bar = bars.Bar(who, rate_hz, note)
            groups.setdefault(result.resolution, []).append(bar)
    return [bars.Group(f"{side} x {side}, batch {batch}", made) for side, made in groups.items()]


@click.command()
@click.option("--family", type=click.Choice(FAMILIES), default=FAMILIES[0], show_default=True)
@click.option("--device", type=click.Choice(list(SIDE)), default="cpu", show_default=True)
@click.option("--resolution", "resolutions", multiple=True, type=int, default=(256, 1024))
@click.option("--batch", "batches", multiple=True, type=click.IntRange(1, 64), default=(1, 4))
@click.option("--rounds", type=click.IntRange(1), default=5, help="How often all take turns.")
@click.option("--window-s", type=Parsed(seconds), default=5.0, help="Length of each turn.")
@click.option("--folder", type=click.Path(path_type=Path), default="build/bench-engines")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write all figures there, and a chart (.png)."
)
def main(
    *,
    family: str,
    device: str,
    resolutions: tuple[int, ...],
    batches: tuple[int, ...],
    folder: Path,
    out: Path | None,
    **how: Any,
) -> None:
    """Compare the engines on this machine's CPU or GPU; ratios are to the first of them."""
    if device == "cuda" and family != FAMILIES[0]:
        raise click.UsageError(f"the usual way to compute {family} on a GPU is not here to compare")
    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("torch finds no NVIDIA GPU here")
    results: list[Result] = []
    for resolution in resolutions:
        place = folder / f"{family}-{resolution}"
        plan = Plan(folder=place, device=device, batches=batches, **how)
        results += measure(plan, sized(family, resolution))
    click.echo(_table(results))
    if out is not None:
        versions = dict(_versions())
        rows = [asdict(result) for result in results]
        figures = {
            "hardware": hardware(),
            "versions": versions,
            "how": {"family": family, "device": device, "batches": batches, **how},
            "results": rows,
        }
        out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        bars.draw(_bars(results, max(batches)), out.with_suffix(".png"))


if __name__ == "__main__":
    main()
