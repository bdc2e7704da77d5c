"""One driver process: it sends its part of each scenario and hands its tally back."""

import asyncio
import queue
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection

from nonesuch.errors import NonesuchError
from nonesuch_loadtest import schedule
from nonesuch_loadtest.driver import Drive, drive
from nonesuch_loadtest.scenario import Request, Scenario
from nonesuch_loadtest.tally import Sample, Tally
from nonesuch_loadtest.target import Spec, Target

STOP = "stop"
_NEWS_S = 0.5


@dataclass(frozen=True, slots=True)
class Place:
    """Which of how many driver processes this is."""

    worker: int
    workers: int

    def share(self, callers: int) -> int:
        """Its part of the callers, which add up over all processes."""
        return callers // self.workers + (self.worker < callers % self.workers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One span of sending."""

    scenario: Scenario
    edges_ns: tuple[int, ...]  # the ends of the warm-up and of each window, from the start
    start_ns: int  # on the monotonic clock, which all processes share


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """What came since the last news."""

    answered: int = 0
    failed: int = 0
    images: int = 0
    sum_ns: int = 0
    max_ns: int = 0

    def __add__(self, other: "News") -> "News":
        return News(
            answered=self.answered + other.answered,
            failed=self.failed + other.failed,
            images=self.images + other.images,
            sum_ns=self.sum_ns + other.sum_ns,
            max_ns=max(self.max_ns, other.max_ns),
        )


def work(pipe: Connection, spec: Spec, requests: tuple[Request, ...], place: Place) -> None:
    """The life of a driver process; it takes a Task or STOP, and gives News and a Tally."""
    with asyncio.Runner() as loop:
        try:
            target = spec.connect()
            for request in requests:  # what cannot be sent at all is a wrong use, not a failure
                target.prepare(request, 0)
        except NonesuchError as exc:
            pipe.send(exc)
            return
        _Worker(pipe, target, place, loop).serve()


class _Worker:
    """Sends and listens at once."""

    def __init__(
        self, pipe: Connection, target: Target, place: Place, loop: asyncio.Runner
    ) -> None:
        self._pipe, self._target, self._place, self._loop = pipe, target, place, loop
        self._lock = threading.Lock()
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._tally: Tally | None = None
        self._news = News()

    def serve(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        self._pipe.send(None)  # ready
        while task := self._tasks.get():
            tally = self._run(task)
            with self._lock:
                self._pipe.send(tally)
        closing = self._target.close()
        if self._target.aio:
            self._loop.run(closing)

    def _listen(self) -> None:
        while True:
            try:
                heard = self._pipe.recv()
            except EOFError:
                heard = None
            if heard == STOP:
                self._stop.set()
                continue
            self._tasks.put(heard)
            if heard is None:
                self._stop.set()
                return

    def _run(self, task: Task) -> Tally:
        scenario, place = task.scenario, self._place
        limit_ns = round(scenario.objective.limit_s * 1e9) if scenario.objective else 0
        self._tally = tally = Tally(task.edges_ns, len(scenario.requests), limit_ns)
        if scenario.kind in {"closed", "single-stream"}:
            callers = place.share(scenario.concurrency or 1)
            jobs = schedule.endless(scenario, place.worker)
        else:
            callers = None
            jobs = schedule.arrivals(scenario).part(place.worker, place.workers)
        plan = Drive(
            jobs=jobs,
            requests=scenario.requests,
            callers=callers,
            start_ns=task.start_ns,
            end_ns=task.start_ns + task.edges_ns[-1],
            timeout_s=scenario.timeout_s,
            add=self._add,
            stopped=self._stop.is_set,
        )
        telling = threading.Event()
        teller = threading.Thread(target=self._tell, args=(telling,), daemon=True)
        teller.start()
        try:
            drive(self._target, plan, self._loop)
        finally:
            telling.set()
            teller.join()
        with self._lock:  # what threads left behind still bring is too late
            self._tally = None
        return tally

    def _add(self, sample: Sample) -> None:
        latency_ns = 0 if sample.error else sample.end_ns - sample.due_ns
        with self._lock:
            if self._tally is None:
                return
            self._tally.add(sample)
            self._news += News(
                answered=not sample.error,
                failed=bool(sample.error),
                images=sample.images,
                sum_ns=latency_ns,
                max_ns=latency_ns,
            )

    def _tell(self, over: threading.Event) -> None:
        while not over.wait(_NEWS_S):
            with self._lock:
                news, self._news = self._news, News()
                self._pipe.send(news)
        with self._lock:
            self._pipe.send(self._news)
            self._news = News()
