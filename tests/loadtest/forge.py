"""Results made by code from a seed, and the raw samples that they were made of."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nonesuch_loadtest.histogram import Histogram
from nonesuch_loadtest.result import (
    Hardware,
    Model,
    Point,
    Resource,
    Result,
    Split,
    Step,
    Target,
    Tick,
    Window,
)
from nonesuch_loadtest.scenario import Objective, Request, Scenario

MODEL = Model(
    name="faces", model_hash="5eed", family="stylegan2", width=256, height=256,
    engine="onnxruntime", precision="fp32",
)  # fmt: skip
HARDWARE = Hardware(
    cpu="Analytical Engine", cores=2, memory_bytes=2**34, system="Linux 6.1 x86_64",
    instructions=("avx2",), load=0.1,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Made:
    """How to make a point: requests of log-normal latency at an even rate."""

    rate_hz: float = 40.0
    median_s: float = 0.050
    sigma: float = 0.3
    windows: int = 4
    window_s: float = 10.0
    failed: float = 0.0  # share of the requests
    seed: int = 5
    setting: dict[str, Any] = field(default_factory=dict)
    gpu: bool = False

    def latencies(self) -> list[NDArray[np.float64]]:
        """Seconds of every request, window by window, failed ones as infinity."""
        dice = np.random.default_rng(self.seed)
        count = round(self.rate_hz * self.window_s)
        drawn = [self.median_s * np.exp(self.sigma * dice.normal(size=count)) for _ in self.spans]
        return [np.where(dice.random(count) < self.failed, np.inf, spans) for spans in drawn]

    @property
    def spans(self) -> range:
        return range(self.windows)

    def point(self) -> Point:
        windows = [_window(self, i, spans) for i, spans in enumerate(self.latencies())]
        total = Window.merged(windows)
        return Point(
            setting=self.setting,
            warmup=Window(length_s=1.0),
            windows=tuple(windows),
            by_request=(total,),
            ticks=tuple(_ticks(self)),
            splits=(_split(total),),
            resources=tuple(_resource(self, at) for at in range(round(self.length_s))),
        )

    @property
    def length_s(self) -> float:
        return self.windows * self.window_s


def _window(made: Made, index: int, spans: NDArray[np.float64]) -> Window:
    answered = spans[np.isfinite(spans)]
    failures = len(spans) - len(answered)
    wobble = 1 + 0.004 * float(np.sin(index))
    return Window(
        start_s=index * made.window_s,
        length_s=made.window_s,
        answered=len(answered) * wobble,
        images=len(answered) * wobble,
        bytes=9_000.0 * len(answered),
        good_images=float((answered < 0.08).sum()),
        errors={"RemoteError": failures} if failures else {},
        latency=counted(answered),
        failed=counted(np.full(failures, 0.010)),
        delay=counted(np.full(len(spans), 0.0002)),
        client=counted(np.full(len(spans), 0.001)),
    )


def counted(spans_s: NDArray[np.float64]) -> Histogram:
    """A histogram of seconds."""
    histogram = Histogram()
    for span in spans_s:
        histogram.record_ns(round(1e9 * span))
    return histogram


def _ticks(made: Made) -> list[Tick]:
    spans = np.concatenate([*made.latencies(), []])
    parts = np.array_split(spans, round(made.length_s) or 1)
    return [_tick(start, part, part[np.isfinite(part)]) for start, part in enumerate(parts)]


def _tick(start: int, part: NDArray[np.float64], answered: NDArray[np.float64]) -> Tick:
    count = len(answered)
    return Tick(
        start_s=start, length_s=1.0, answered=count, failed=len(part) - count, images=count,
        due=count, mean_s=float(answered.mean()) if count else 0.0,
        max_s=float(answered.max()) if count else 0.0,
    )  # fmt: skip


def _split(total: Window) -> Split:
    requests = len(total.latency)
    mean_s = total.latency.mean_s * requests if requests else 0.0
    steps = [("sampler", 0.02), ("generator", 0.6), ("encoder", 0.1)]
    return Split(
        model="faces",
        requests=requests,
        server_s=0.9 * mean_s,
        steps=tuple(
            Step(
                model=f"faces_{role}", role=role, requests=requests, failures=0,
                executions=requests // 2, inferences=requests,
                queue_s=(0.1 if role == "generator" else 0.005) * mean_s, input_s=0.0,
                infer_s=share * mean_s, output_s=0.0,
                batches={1: requests // 5, 2: requests // 4, 4: requests // 20},
            )
            for role, share in steps
        ),
    )  # fmt: skip


def _resource(made: Made, at: int) -> Resource:
    return Resource(
        at_s=at, server_cores=1.5 + 0.1 * float(np.sin(at)), driver_cores=0.1,
        server_bytes=900_000_000 + 10_000 * at, driver_bytes=80_000_000,
        gpu_watts=200.0 + at % 7 if made.gpu else None, gpu_mhz=1500 if made.gpu else None,
        gpu_busy=0.8 if made.gpu else None,
    )  # fmt: skip


def result(
    *points: Made, name: str = "faces", ceiling_hz: float | None = 4000, **given: Any
) -> Result:
    """A result with a point for each; `given` are fields of its scenario."""
    made = points or (Made(),)
    fields: dict[str, Any] = {"kind": "server", "rate_hz": made[0].rate_hz, **given}
    if len(made) > 1:
        fields = {"kind": "ramp", **given}
    return Result(
        name=name,
        started="2026-11-22T09:00:00Z",
        command="nonesuch-loadtest run faces --rate 40 --seed 1",
        scenario=Scenario(requests=(Request(model="faces"),), **fields),
        target=Target(
            kind="server", transport="grpc", style="aio", server="triton 2.60", models=(MODEL,),
            configuration={"faces": {"max_batch_size": 8}},
        ),
        versions={"nonesuch": "0.1.0", "python": "3.11"},
        hardware=HARDWARE,
        ceiling_hz=ceiling_hz,
        points=tuple(m.point() for m in made),
    )  # fmt: skip


def objective(limit_s: float) -> Objective:
    return Objective(limit_s=limit_s)
