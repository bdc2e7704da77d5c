"""One measurement at one setting: sending, and meanwhile looking at server and machine."""

import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

from nonesuch.errors import InvalidRequest, ServerError
from nonesuch_loadtest import schedule, triton
from nonesuch_loadtest.crew import Crew, Moment, Sent
from nonesuch_loadtest.progress import Progress
from nonesuch_loadtest.resources import Resources, listener
from nonesuch_loadtest.result import Point, Split, Tick, Window
from nonesuch_loadtest.scenario import Scenario
from nonesuch_loadtest.worker import News

_FOREVER_NS = 2**62
_WARM_BURST = 32  # requests at most in the warm-up of `offline`
_NEWS_S = 1.0

Going = Generator[Progress, None, Point]


@dataclass(frozen=True, kw_only=True, slots=True)
class Observed:
    """Whom to look at during a run."""

    url: str = ""  # of the server whose statistics are wanted, "" for none
    parts: dict[str, tuple[str, ...]] | None = None  # the steps of each model
    late: frozenset[str] = frozenset()  # those of which Triton does not count all
    pid: int | None = None  # of the server on this machine

    @classmethod
    def server(cls, url: str, models: Sequence[str], pid: int | None = None) -> "Observed":
        """A server with its models; `pid` None looks for it on this machine."""
        parts = {model: triton.steps(url, model) for model in models}
        return cls(
            url=url,
            parts=parts,
            late=triton.late(url, models),
            pid=pid if pid is not None else listener(url),
        )


NOBODY = Observed()


def edges_ns(scenario: Scenario) -> tuple[int, ...]:
    """The ends of the warm-up and of each window, from the start; a burst has no end."""
    if scenario.kind == "offline":
        return (0, _FOREVER_NS)
    warm, window = scenario.warmup_s, scenario.window_s
    if scenario.kind == "replay":
        last_s = schedule.arrivals(scenario).due_ns[-1] / 1e9
        window = (last_s - warm) / scenario.windows
        if window <= 0:
            raise InvalidRequest(
                f"the log lasts {last_s:g} s, which the warm-up of {warm:g} s uses up"
            )
    edges = [warm + i * window for i in range(scenario.windows + 1)]
    # What is due at the very end of a log is still of the last window.
    return tuple(round(edge * 1e9) + (i == scenario.windows) for i, edge in enumerate(edges))


def measure(
    crew: Crew, scenario: Scenario, observed: Observed, setting: dict[str, Any], stop: Event
) -> Going:
    """Run one scenario that is no ramp; yields its progress, returns what it found."""
    watch = _Watch(crew, scenario, observed, setting)
    if scenario.kind == "offline":
        return _bursts(crew, scenario, watch, stop)
    return _span(crew, scenario, watch, stop)


def _span(crew: Crew, scenario: Scenario, watch: "_Watch", stop: Event) -> Going:
    edges = edges_ns(scenario)
    sent: Sent = yield from watch.over(crew.send(scenario, edges, stop), edges)
    end = edges[-1] if sent.stopped_ns is None else sent.stopped_ns
    warmup, *windows = sent.tally.windows(end)
    by_request = sent.tally.by_request(end)
    ended = "" if sent.stopped_ns is None else "stopped by the user"
    return watch.point(warmup, windows, by_request, sent.tally.ticks(), ended)


def _bursts(crew: Crew, scenario: Scenario, watch: "_Watch", stop: Event) -> Going:
    """A window is a burst, from its start to its last answer."""
    few = replace(scenario, count=min(scenario.count or 0, _WARM_BURST))
    warmup = Window()
    if scenario.warmup_s:
        sent: Sent = yield from watch.over(crew.send(few, edges_ns(few), stop), ())
        warmup = sent.tally.windows(_end_ns(sent))[1]
    windows: list[Window] = []
    sorts: list[Window] = [Window()] * len(scenario.requests)
    ticks: list[Tick] = []
    at_s = 0.0
    for i in range(scenario.windows):
        if stop.is_set():
            break
        burst = replace(scenario, seed=scenario.seed + i)
        sent = yield from watch.over(crew.send(burst, edges_ns(burst), stop), (0,))
        end = _end_ns(sent)
        windows.append(replace(sent.tally.windows(end)[1], start_s=at_s))
        pairs = zip(sorts, sent.tally.by_request(end), strict=True)
        sorts = [Window.merged(pair) for pair in pairs]
        ticks += [replace(tick, start_s=tick.start_s + at_s) for tick in sent.tally.ticks()]
        at_s += end / 1e9
    ended = "stopped by the user" if stop.is_set() else ""
    return watch.point(warmup, windows, tuple(sorts), tuple(ticks), ended)


def _end_ns(burst: Sent) -> int:
    """When the last answer came, or the user had enough of it; a burst has some length."""
    return max(1, burst.tally.last_ns if burst.stopped_ns is None else burst.stopped_ns)


class _Watch:
    """Looks at the server and the machine while something is sent."""

    def __init__(
        self, crew: Crew, scenario: Scenario, observed: Observed, setting: dict[str, Any]
    ) -> None:
        self._scenario, self._observed, self._setting = scenario, observed, setting
        self._resources = Resources(observed.pid, [*crew.pids, os.getpid()])
        self._before: triton.Statistics | None = None
        self._after: triton.Statistics | None = None
        self._all = News()
        self._began: float | None = None

    def over(
        self, sending: Generator[Moment, None, Sent], edges: tuple[int, ...]
    ) -> Generator[Progress, None, Sent]:
        """Follow a span of sending; its edges say when the server's counters are read."""
        news, told_ns = News(), 0
        self._look(edges, 0)  # where nothing warms up, nothing has been sent yet
        while True:
            try:
                moment = next(sending)
            except StopIteration as stop:
                self._look(edges, _FOREVER_NS)
                sent: Sent = stop.value
                if edges and self._began is None:
                    self._began = sent.began + edges[0] / 1e9
                return sent
            self._look(edges, moment.at_ns)
            news += moment.news
            if moment.at_ns - told_ns >= _NEWS_S * 1e9:
                self._all += news
                self._resources.read((moment.at_ns - (edges[0] if edges else 0)) / 1e9)
                yield self._progress(edges, moment.at_ns, (moment.at_ns - told_ns) / 1e9, news)
                news, told_ns = News(), moment.at_ns

    def _look(self, edges: tuple[int, ...], at_ns: int) -> None:
        """Read the counters once at the measured time's beginning, and at the end of each span."""
        if not edges or at_ns < edges[0]:
            return
        if self._before is None:
            self._before = self._statistics()
        burst = len(edges) == 1
        if at_ns == _FOREVER_NS if burst else at_ns >= edges[-1] and self._after is None:
            self._after = self._statistics()

    def _statistics(self) -> triton.Statistics:
        if not self._observed.url:
            return {}
        try:
            return triton.statistics(self._observed.url)
        except ServerError:  # it died; the failures tell
            return {}

    def _progress(self, edges: tuple[int, ...], at_ns: int, span_s: float, news: News) -> Progress:
        last = edges[-1] if len(edges) > 1 else None
        return Progress(
            setting=self._setting,
            phase=_phase(edges, at_ns),
            at_s=at_ns / 1e9,
            of_s=None if last is None else last / 1e9,
            answered=news.answered,
            failed=news.failed,
            requests_hz=news.answered / span_s,
            images_hz=news.images / span_s,
            mean_s=news.sum_ns / news.answered / 1e9 if news.answered else None,
            max_s=news.max_ns / 1e9 if news.answered else None,
            all_answered=self._all.answered,
            all_failed=self._all.failed,
        )

    def point(
        self,
        warmup: Window,
        windows: Sequence[Window],
        by_request: tuple[Window, ...],
        ticks: tuple[Tick, ...],
        ended: str,
    ) -> Point:
        """What was measured, and seen meanwhile."""
        return Point(
            setting=self._setting,
            warmup=warmup,
            windows=tuple(windows),
            by_request=by_request,
            ticks=ticks,
            splits=self._splits(),
            resources=tuple(self._resources.readings),
            began=self._began or 0.0,
            ended=ended,
        )

    def _splits(self) -> tuple[Split, ...]:
        before, after = self._before, self._after
        if not before or not after:
            return ()
        parts, late = self._observed.parts or {}, self._observed.late
        return tuple(triton.split(m, steps, before, after, late) for m, steps in parts.items())


def _phase(edges: tuple[int, ...], at_ns: int) -> str:
    if len(edges) < 2:
        return "burst" if edges else "warm-up"
    if at_ns < edges[0]:
        return "warm-up"
    if at_ns >= edges[-1]:
        return "waiting"
    count = len(edges) - 1
    return f"window {sum(at_ns >= edge for edge in edges)} of {count}"
