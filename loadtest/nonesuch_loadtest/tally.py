"""Samples become windows: counts and histograms, in memory that does not grow with the run."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from nonesuch_loadtest.histogram import Histogram
from nonesuch_loadtest.result import COUNTED, TIMED, Tick, Window

_TICKS = 240  # at most; then two become one
_TICK_NS = 500_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One request, on a monotonic clock from the start of the run, warm-up included."""

    kind: int  # which of the scenario's requests
    due_ns: int
    sent_ns: int
    end_ns: int  # its answer was read, or it failed
    client_ns: int = 0  # the driver's own work on it, before sending and after the answer
    images: int = 0
    bytes: int = 0
    error: str = ""  # the class of a failure


@dataclass(slots=True)
class _Counts:
    """A Window that is being filled, by the names of its fields."""

    answered: float = 0.0
    images: float = 0.0
    bytes: float = 0.0
    good_images: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)
    latency: Histogram = field(default_factory=Histogram)
    failed: Histogram = field(default_factory=Histogram)
    delay: Histogram = field(default_factory=Histogram)
    client: Histogram = field(default_factory=Histogram)

    def spans(self, sample: Sample) -> None:
        self.delay.record_ns(sample.sent_ns - sample.due_ns)
        self.client.record_ns(sample.client_ns)
        kept = self.failed if sample.error else self.latency
        kept.record_ns(sample.end_ns - sample.due_ns)
        if sample.error:
            self.errors[sample.error] = self.errors.get(sample.error, 0) + 1

    def progress(self, sample: Sample, share: float, *, good: bool) -> None:
        self.answered += share
        self.images += share * sample.images
        self.bytes += share * sample.bytes
        self.good_images += share * sample.images * good

    def add(self, other: "_Counts") -> None:
        for name in COUNTED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for kind, count in other.errors.items():
            self.errors[kind] = self.errors.get(kind, 0) + count
        for name in TIMED:
            getattr(self, name).merge(getattr(other, name))

    def window(self, start_ns: int, end_ns: int) -> Window:
        return Window(
            start_s=start_ns / 1e9,
            length_s=max(0, end_ns - start_ns) / 1e9,
            **{field.name: getattr(self, field.name) for field in fields(self)},
        )


@dataclass(slots=True)
class _Moment:
    """A tick that is being filled."""

    answered: int = 0
    failed: int = 0
    images: int = 0
    due: int = 0
    sum_ns: int = 0
    max_ns: int = 0

    def add(self, other: "_Moment") -> None:
        for name in ("answered", "failed", "images", "due", "sum_ns"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.max_ns = max(self.max_ns, other.max_ns)


class Tally:
    """Counts samples of one driver process; tallies of several merge.

    `edges_ns` are the ends of the warm-up and of each window, from the start of the run; what is
    due later belongs to none. `limit_ns` is the objective's, or 0 for none.
    """

    def __init__(self, edges_ns: Iterable[int], kinds: int, limit_ns: int = 0) -> None:
        self._edges = [0, *edges_ns]
        self._limit = limit_ns
        self._windows = [_Counts() for _ in self._edges[1:]]  # the first is the warm-up
        self._kinds = [_Counts() for _ in range(kinds)]
        self._moments: dict[int, _Moment] = {}
        self._tick_ns = _TICK_NS
        self.answered = self.failed = self.images = 0  # so far, warm-up included
        self.last_ns = 0  # the latest end

    def add(self, sample: Sample) -> None:
        """Count one request that has ended."""
        self.answered += not sample.error
        self.failed += bool(sample.error)
        self.images += sample.images
        self.last_ns = max(self.last_ns, sample.end_ns)
        if (i := bisect_right(self._edges, sample.due_ns) - 1) < len(self._windows):
            for counts in self._of(i, sample):
                counts.spans(sample)
        if not sample.error:
            self._spread(sample)
        self._tick(sample)

    def _of(self, i: int, sample: Sample) -> "tuple[_Counts, ...]":
        """What a sample of window `i` counts in; those of the warm-up in nothing else."""
        return (self._windows[i], self._kinds[sample.kind]) if i else (self._windows[0],)

    def _spread(self, sample: Sample) -> None:
        """Share an answer among the windows through which it was under way."""
        good = not self._limit or sample.end_ns - sample.due_ns <= self._limit
        first = bisect_right(self._edges, sample.sent_ns) - 1
        for i in range(first, len(self._windows)):
            inside = min(sample.end_ns, self._edges[i + 1]) - max(sample.sent_ns, self._edges[i])
            if inside <= 0 and i > first:
                break
            share = inside / max(1, sample.end_ns - sample.sent_ns)
            for counts in self._of(i, sample):
                counts.progress(sample, share, good=good)

    def _tick(self, sample: Sample) -> None:
        came = self._moments.setdefault(sample.end_ns // self._tick_ns, _Moment())
        if sample.error:
            came.failed += 1
        else:
            came.answered += 1
            came.images += sample.images
            due = self._moments.setdefault(sample.due_ns // self._tick_ns, _Moment())
            due.due += 1
            due.sum_ns += sample.end_ns - sample.due_ns
            due.max_ns = max(due.max_ns, sample.end_ns - sample.due_ns)
        while len(self._moments) > _TICKS:
            self._coarsen()

    def _coarsen(self) -> None:
        self._tick_ns *= 2
        wider: dict[int, _Moment] = {}
        for i, moment in self._moments.items():
            wider.setdefault(i // 2, _Moment()).add(moment)
        self._moments = wider

    def merge(self, other: "Tally") -> None:
        """Add the counts of another process, whose edges are the same."""
        pairs = zip((*self._windows, *self._kinds), (*other._windows, *other._kinds), strict=True)
        for mine, its in pairs:
            mine.add(its)
        while self._tick_ns < other._tick_ns:
            self._coarsen()
        while other._tick_ns < self._tick_ns:
            other._coarsen()
        for i, moment in other._moments.items():
            self._moments.setdefault(i, _Moment()).add(moment)
        self.answered += other.answered
        self.failed += other.failed
        self.images += other.images
        self.last_ns = max(self.last_ns, other.last_ns)

    def windows(self, end_ns: int) -> tuple[Window, ...]:
        """The warm-up and each window that began before `end_ns`, cut there."""
        spans = zip(self._windows, self._edges, self._edges[1:], strict=False)
        zero = self._edges[1]
        return tuple(
            counts.window(first - zero, min(last, end_ns) - zero)
            for i, (counts, first, last) in enumerate(spans)
            if first < end_ns or i == 0
        )

    def by_request(self, end_ns: int) -> tuple[Window, ...]:
        """The measured time of each sort of request."""
        length = min(self._edges[-1], end_ns) - self._edges[1]
        return tuple(counts.window(0, length) for counts in self._kinds)

    def ticks(self) -> tuple[Tick, ...]:
        """The time line, in order, from the measured time's beginning on; before it below 0."""
        return tuple(
            Tick(
                start_s=(i * self._tick_ns - self._edges[1]) / 1e9,
                length_s=self._tick_ns / 1e9,
                answered=moment.answered,
                failed=moment.failed,
                images=moment.images,
                due=moment.due,
                mean_s=moment.sum_ns / moment.due / 1e9 if moment.due else 0.0,
                max_s=moment.max_ns / 1e9,
            )
            for i, moment in sorted(self._moments.items())
        )
