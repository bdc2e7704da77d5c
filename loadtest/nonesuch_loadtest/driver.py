"""Send what is due when it is due, and make a sample of each request: one driver process.

Open scenarios send whatever is still under way; a request that could not be sent in time counts
from the time it was due, and its delay is kept beside. Closed ones send as soon as an answer came.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from nonesuch.errors import NonesuchError
from nonesuch_loadtest.scenario import Request
from nonesuch_loadtest.schedule import Job
from nonesuch_loadtest.tally import Sample
from nonesuch_loadtest.target import Target

_LOOK_NS = 50_000_000  # how often a waiting driver looks whether it is to stop
_COARSE_NS = 1_200_000
_GRACE_NS = 2_000_000_000  # for what is under way when the user stops the run
_AFTER_FAILURE_S = 0.05  # a closed caller must not spin on a dead server
_THREADS = 512  # at most, of a driver that blocks; more open requests than that wait


@dataclass(frozen=True, kw_only=True, slots=True)
class Drive:
    """What one process sends."""

    jobs: Iterator[Job]
    requests: tuple[Request, ...]
    callers: int | None  # of a closed scenario; None = open
    start_ns: int  # on the monotonic clock
    end_ns: int  # nothing is sent after it
    timeout_s: float
    add: Callable[[Sample], None]
    stopped: Callable[[], bool]  # the user wants to see what there is


def drive(target: Target, plan: Drive, loop: asyncio.Runner) -> None:
    """Send everything, and wait for the answers; a target that is `aio` keeps to one loop."""
    if target.aio:
        loop.run(_Aio(target, plan).run())
    else:
        _Threads(target, plan).run()


class _Sampler:
    """The parts of a request's way that both styles share."""

    def __init__(self, target: Target, plan: Drive) -> None:
        self.target, self.plan = target, plan

    def now(self) -> int:
        return time.monotonic_ns() - self.plan.start_ns

    def over(self) -> bool:
        return self.now() >= self.plan.end_ns - self.plan.start_ns or self.plan.stopped()

    def prepare(self, job: Job) -> tuple[Any, int]:
        """The message, or why there is none, and the work it took; this comes before it is due."""
        begun = time.monotonic_ns()
        message: Any
        try:
            message = self.target.prepare(self.plan.requests[job.kind], job.seed)
        except NonesuchError as exc:  # where it needs the server, as shared memory does
            message = exc
        return message, time.monotonic_ns() - begun

    def answered(self, job: Job, message: Any, answer: Any, times: tuple[int, int, int]) -> Sample:
        due, sent, work = times
        received = self.now()
        found = self.target.read(message, answer)
        end = self.now()
        return Sample(
            kind=job.kind,
            due_ns=due,
            sent_ns=sent,
            end_ns=end,
            client_ns=work + end - received,
            images=found.images,
            bytes=found.bytes,
        )

    def failed(self, job: Job, exc: NonesuchError, times: tuple[int, int, int]) -> Sample:
        due, sent, work = times
        return Sample(
            kind=job.kind,
            due_ns=due,
            sent_ns=sent,
            end_ns=self.now(),
            client_ns=work,
            error=type(exc).__name__,
        )


def _check(message: Any) -> None:
    if isinstance(message, NonesuchError):
        raise message


class _Aio(_Sampler):
    """One event loop; each open request is a task."""

    def __init__(self, target: Target, plan: Drive) -> None:
        super().__init__(target, plan)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._fault: BaseException | None = None

    async def run(self) -> None:
        await self._until(0)
        if self.plan.callers is None:
            await self._open()
        else:
            for _ in range(self.plan.callers):
                self._start(self._caller())
        await self._finish()

    async def _open(self) -> None:
        for job in self.plan.jobs:
            message, work = self.prepare(job)
            if not await self._until(job.due_ns or 0):
                break
            self._start(self._one(job, message, work))

    async def _caller(self) -> None:
        while not self.over():
            job = next(self.plan.jobs)
            message, work = self.prepare(job)
            if not await self._one(job, message, work):
                await asyncio.sleep(_AFTER_FAILURE_S)

    async def _one(self, job: Job, message: Any, work: int) -> bool:
        sent = self.now()
        times = (sent if job.due_ns is None else job.due_ns, sent, work)
        try:
            _check(message)
            answer = await self.target.send(message, self.plan.timeout_s)
            self.plan.add(self.answered(job, message, answer, times))
        except NonesuchError as exc:
            self.plan.add(self.failed(job, exc, times))
            return False
        return True

    def _start(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()):
            self._fault = exc

    async def _until(self, due_ns: int) -> bool:
        """Wait; False if the user stops the run meanwhile."""
        while (left := due_ns - self.now()) > 0:
            if self.plan.stopped():
                return False
            # The loop's own clock goes by milliseconds; the last one is spent looking.
            await asyncio.sleep(max(0, min(left - _COARSE_NS, _LOOK_NS)) / 1e9)
        return not self.plan.stopped()

    async def _finish(self) -> None:
        """Wait for what is under way; where the user stops, only for a moment."""
        give_up = None
        while self._tasks:
            await asyncio.wait(self._tasks, timeout=_LOOK_NS / 1e9)
            if self.plan.stopped() and give_up is None:
                give_up = self.now() + _GRACE_NS
            if give_up is not None and self.now() > give_up:
                for task in self._tasks:
                    task.cancel()
        if self._fault:
            raise self._fault


class _Threads(_Sampler):
    """One thread for each open request."""

    def __init__(self, target: Target, plan: Drive) -> None:
        super().__init__(target, plan)
        self._next = threading.Lock()

    def run(self) -> None:
        pool = ThreadPoolExecutor(self.plan.callers or _THREADS)
        try:
            self._until(0)
            self._finish([*(self._open(pool) if self.plan.callers is None else self._closed(pool))])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _open(self, pool: ThreadPoolExecutor) -> Iterator["Future[Any]"]:
        under_way: deque[Future[Any]] = deque()
        for job in self.plan.jobs:
            message, work = self.prepare(job)
            if not self._until(job.due_ns or 0):
                break
            under_way.append(pool.submit(self._one, job, message, work))
            while under_way and under_way[0].done():
                under_way.popleft().result()
        yield from under_way

    def _closed(self, pool: ThreadPoolExecutor) -> Iterator["Future[Any]"]:
        return (pool.submit(self._caller) for _ in range(self.plan.callers or 0))

    def _caller(self) -> None:
        while not self.over():
            with self._next:
                job = next(self.plan.jobs)
            message, work = self.prepare(job)
            if not self._one(job, message, work):
                time.sleep(_AFTER_FAILURE_S)

    def _one(self, job: Job, message: Any, work: int) -> bool:
        sent = self.now()
        times = (sent if job.due_ns is None else job.due_ns, sent, work)
        try:
            _check(message)
            answer = self.target.send(message, self.plan.timeout_s)
            self.plan.add(self.answered(job, message, answer, times))
        except NonesuchError as exc:
            self.plan.add(self.failed(job, exc, times))
            return False
        return True

    def _until(self, due_ns: int) -> bool:
        while (left := due_ns - self.now()) > 0:
            if self.plan.stopped():
                return False
            time.sleep(min(left, _LOOK_NS) / 1e9)
        return not self.plan.stopped()

    def _finish(self, futures: "list[Future[Any]]") -> None:
        give_up = None
        while futures:
            done, left = wait(futures, timeout=_LOOK_NS / 1e9)
            for future in done:
                future.result()
            futures = list(left)
            if self.plan.stopped() and give_up is None:
                give_up = self.now() + _GRACE_NS
            if give_up is not None and self.now() > give_up:
                return
