"""What a run found, and all it takes to repeat it: `result.json`.

    Result ── scenario, target, versions, hardware, driver
      └── points: one, or one for each step of a ramp, a search or a sweep
            ├── warmup, windows: Window ── histograms, counts, errors by class
            ├── by_request: Window, over the whole measured time, for each sort of request
            ├── ticks: the time line
            ├── splits: of each model ── steps of its ensemble, from the server's statistics
            └── resources: the time line of processes and GPU

Times are seconds, on a monotonic clock from the beginning of the point's measured time.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nonesuch import files
from nonesuch.card import Card
from nonesuch.errors import InvalidRequest
from nonesuch_loadtest import record
from nonesuch_loadtest.histogram import Histogram
from nonesuch_loadtest.scenario import Scenario

FORMAT = 1  # grows when an older reader would misread a file
MARGIN = 5.0  # a run nearer to the driver's ceiling measures the driver

# Of a Window: what adds up over its requests, and its histograms.
COUNTED = ("answered", "images", "bytes", "good_images")
TIMED = ("latency", "failed", "delay", "client")


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The requests of a span of time.

    Latencies belong to the window in which a request was *due*; images, bytes and answers to
    those through which it was under way, by their shares, so that they are no whole numbers.
    """

    start_s: float = 0.0
    length_s: float = 0.0
    answered: float = 0.0  # requests
    images: float = 0.0
    bytes: float = 0.0  # of answers, as the target counts them
    good_images: float = 0.0  # of answers within the objective's limit
    errors: dict[str, int] = field(default_factory=dict)  # requests by the error's class
    latency: Histogram = field(default_factory=Histogram)  # scheduled time to answer
    failed: Histogram = field(default_factory=Histogram)  # the same of those that failed
    delay: Histogram = field(default_factory=Histogram)  # scheduled time to sending: the driver's
    client: Histogram = field(default_factory=Histogram)  # the driver's own work on a request

    @property
    def rate_hz(self) -> float:
        """Images per second."""
        return self.images / self.length_s if self.length_s else math.nan

    @property
    def requests_hz(self) -> float:
        """Answered requests per second."""
        return self.answered / self.length_s if self.length_s else math.nan

    @property
    def goodput_hz(self) -> float:
        """Images per second that came within the objective's limit."""
        return self.good_images / self.length_s if self.length_s else math.nan

    @property
    def bytes_hz(self) -> float:
        """Bytes per second of answers."""
        return self.bytes / self.length_s if self.length_s else math.nan

    @property
    def failures(self) -> int:
        return sum(self.errors.values())

    def percentile(self, percent: float) -> float:
        """Seconds of latency at `percent` of all requests; a failure ranks behind every answer.

        Infinite where that many did not get an answer; NaN of no requests.
        """
        total = len(self.latency) + len(self.failed)
        rank = math.ceil(percent / 100 * total)
        if total and rank > len(self.latency):
            return math.inf
        return self.latency.at_rank(rank)

    @classmethod
    def merged(cls, parts: "Iterable[Window]") -> "Window":
        """Several as one, in any order; its length is the sum of theirs."""
        parts = tuple(parts)
        errors: Counter[str] = Counter()
        for part in parts:
            errors.update(part.errors)
        found: dict[str, Any] = {
            name: sum(getattr(part, name) for part in parts) for name in ("length_s", *COUNTED)
        }
        found |= {name: Histogram.merged(getattr(part, name) for part in parts) for name in TIMED}
        start_s = min((part.start_s for part in parts), default=0.0)
        return cls(start_s=start_s, errors=dict(errors), **found)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """A short span of the time line; answers and failures when they came, latency when due."""

    start_s: float
    length_s: float
    answered: int
    failed: int
    images: int
    due: int  # answered requests that were due in it; their latency is the next two
    mean_s: float
    max_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A model's part in a request, by the server's statistics of the measured time.

    Seconds are sums over `requests`; `infer_s` counts a batch's time for each request in it.
    """

    model: str  # as the server calls it
    role: str  # "sampler", "generator", "encoder"; the model's name where it has none
    requests: int  # successful ones
    failures: int
    executions: int
    inferences: int  # samples, whose number over `executions` is the mean batch
    queue_s: float
    input_s: float
    infer_s: float
    output_s: float
    batches: dict[int, int] = field(default_factory=dict)  # executions by batch size


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Where the server spent the time of a model's requests."""

    model: str
    requests: int  # successful ones, whole
    server_s: float  # sum of their time inside the server
    steps: tuple[Step, ...]  # of its ensemble in order; of a plain model, itself


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """The load on the machine at a time, averaged since the one before."""

    at_s: float
    server_cores: float | None = None  # busy cores of the server's processes, None = not here
    server_bytes: int | None = None  # their resident memory, shared pages once in each
    driver_cores: float = 0.0
    driver_bytes: int = 0
    gpu_watts: float | None = None
    gpu_mhz: float | None = None
    gpu_busy: float | None = None  # 0 … 1
    gpu_bytes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One measurement at one setting."""

    setting: dict[str, Any] = field(default_factory=dict)  # as {"rate_hz": 20}; {} = the only one
    warmup: Window
    windows: tuple[Window, ...]  # those that were begun; the last may be cut short
    by_request: tuple[Window, ...] = ()  # in the order of the scenario's requests
    ticks: tuple[Tick, ...] = ()
    splits: tuple[Split, ...] = ()  # empty where the target tells none
    resources: tuple[Resource, ...] = ()
    began: float = 0.0  # Unix time at which the measured time began, to find it in other logs
    ended: str = ""  # why it ended early; "" = it did not

    @property
    def total(self) -> Window:
        """All measured windows as one."""
        return Window.merged(self.windows)


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """What was measured, from its card."""

    name: str
    model_hash: str
    family: str = ""
    width: int = 0
    height: int = 0
    engine: str = ""
    precision: str = ""

    @classmethod
    def of(cls, card: Card) -> "Model":
        """The facts of a card."""
        return cls(
            name=card.name,
            model_hash=card.model_hash,
            family=card.family,
            width=card.width,
            height=card.height,
            engine=card.engine,
            precision=card.precision,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Whom the requests went to."""

    kind: str  # "server", "engine" or "null"
    transport: str = ""  # of a server: "grpc", "grpc-shm" or "http"
    style: str = ""  # of a server's client: "sync" or "aio"
    server: str = ""  # name and version, as it says
    models: tuple[Model, ...] = ()
    configuration: dict[str, Any] = field(default_factory=dict)  # of the models, as served


@dataclass(frozen=True, kw_only=True, slots=True)
class Hardware:
    """What the figures are true of; no host name."""

    cpu: str
    cores: int  # that this process may use
    memory_bytes: int
    system: str  # kernel and architecture
    instructions: tuple[str, ...] = ()  # vector extensions
    gpus: tuple[str, ...] = ()
    load: float = 0.0  # of the machine before the run, one minute's mean


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """A run from beginning to end."""

    format: int = FORMAT
    name: str  # what a report calls it
    started: str  # ISO 8601, UTC
    command: str  # that repeats it
    scenario: Scenario
    target: Target
    versions: dict[str, str]
    hardware: Hardware
    processes: int = 1  # of the driver
    ceiling_hz: float | None = None  # requests/s of the same driver without a target; None = of it
    forced: bool = False  # it ran too near the ceiling, with --force
    answer: dict[str, Any] = field(default_factory=dict)  # of a search or sweep: the best setting
    points: tuple[Point, ...]

    @property
    def ended(self) -> str:
        """Why the run ended early; "" if it did not."""
        return next((point.ended for point in self.points if point.ended), "")


def write(result: Result, path: Path) -> None:
    """Write a result, aside first; raises OutputError where that fails."""
    text = json.dumps(record.dump(result), indent=1, ensure_ascii=False) + "\n"
    files.save(path, text.encode())


def read(path: Path) -> Result:
    """Read what `write` wrote; raises InvalidRequest for a file that is no result."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise InvalidRequest(f"{path} is no result of nonesuch-loadtest: {exc}") from exc
    found = raw.get("format") if isinstance(raw, dict) else None
    if found != FORMAT:
        raise InvalidRequest(f"{path} has format {found}, this nonesuch-loadtest reads {FORMAT}")
    try:
        return record.load(Result, raw)
    except InvalidRequest as exc:
        raise InvalidRequest(f"{path} is no result of nonesuch-loadtest: {exc}") from exc
