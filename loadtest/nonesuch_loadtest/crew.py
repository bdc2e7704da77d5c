"""The driver's processes: started once, given one span of sending after the other."""

import time
from collections.abc import Generator, Sequence
from multiprocessing.connection import wait
from threading import Event
from types import TracebackType
from typing import Any, NamedTuple, Self

from nonesuch.errors import NonesuchError, SetupError
from nonesuch_loadtest import spawn
from nonesuch_loadtest.scenario import Request, Scenario
from nonesuch_loadtest.tally import Tally
from nonesuch_loadtest.target import Spec
from nonesuch_loadtest.worker import STOP, News, Place, Task, work

_STARTING_S = 120.0  # to import, connect and load an engine, on a slow machine
_LEAD_NS = 50_000_000  # for the task to reach all processes before it starts
_LOOK_S = 0.1


class Moment(NamedTuple):
    """A look at a span of sending."""

    at_ns: int  # after its start
    news: News


class Sent(NamedTuple):
    """A span of sending that is over."""

    tally: Tally
    stopped_ns: int | None  # when the user stopped it, after its start
    began: float  # Unix time of its start


class Crew:
    """Driver processes with a target each; a context manager."""

    def __init__(self, spec: Spec, requests: Sequence[Request], processes: int) -> None:
        self.spec, self.processes = spec, processes
        self._requests = tuple(requests)
        self._pipes: list[Any] = []  # as `wait` gives them back, of no class that is told
        self._started: list[Any] = []  # multiprocessing's contexts have classes of their own

    def __enter__(self) -> Self:
        for worker in range(self.processes):
            place = Place(worker, self.processes)
            process, pipe = spawn.start(work, self.spec, self._requests, place)
            self._started.append(process)
            self._pipes.append(pipe)
        try:
            for pipe in self._pipes:
                _await_ready(pipe)
        except BaseException:
            self._end(kill=True)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(kill=kind is not None)

    @property
    def pids(self) -> list[int]:
        """The processes' ids."""
        return [process.pid for process in self._started]

    def send(
        self, scenario: Scenario, edges_ns: tuple[int, ...], stop: Event
    ) -> Generator[Moment, None, Sent]:
        """Let all send their part, and yield every tenth of a second what came meanwhile.

        Returns when every answer is there, or soon after `stop` is set.
        """
        start_ns = time.monotonic_ns() + _LEAD_NS
        began = time.time() + _LEAD_NS / 1e9
        for pipe in self._pipes:
            pipe.send(Task(scenario=scenario, edges_ns=edges_ns, start_ns=start_ns))
        tallies: list[Tally] = []
        busy = list(self._pipes)
        stopped_ns: int | None = None
        while busy:
            if stop.is_set() and stopped_ns is None:
                stopped_ns = time.monotonic_ns() - start_ns
                for pipe in busy:
                    pipe.send(STOP)
            news = News()
            for pipe in wait(busy, _LOOK_S):
                heard = _heard(pipe)
                if isinstance(heard, Tally):
                    tallies.append(heard)
                    busy.remove(pipe)
                else:
                    news += heard
            yield Moment(time.monotonic_ns() - start_ns, news)
        merged = tallies[0]
        for tally in tallies[1:]:
            merged.merge(tally)
        return Sent(merged, stopped_ns, began)

    def _end(self, *, kill: bool) -> None:
        for pipe in self._pipes:
            if not kill:
                pipe.send(None)
            pipe.close()
        for process in self._started:
            process.join(0 if kill else 5)
            process.kill()
            process.join()


def _await_ready(pipe: Any) -> None:
    if not pipe.poll(_STARTING_S):
        raise SetupError(f"a driver process was not ready within {_STARTING_S:g} s")
    if isinstance(heard := _heard(pipe), NonesuchError):
        raise heard


def _heard(pipe: Any) -> Any:
    try:
        return pipe.recv()
    except (EOFError, ConnectionError) as exc:
        raise SetupError("a driver process died; its own words are above") from exc
