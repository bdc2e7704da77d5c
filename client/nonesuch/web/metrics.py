"""What is counted and timed, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_EDGES_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The figures of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "nonesuch_web_requests",
            "Requests, by what was asked and how it was answered.",
            ("route", "status"),
            registry=self._registry,
        )
        self.seconds = Histogram(
            "nonesuch_web_request_seconds",
            "From a request's arrival to the end of its answer.",
            ("route",),
            buckets=_EDGES_S,
            registry=self._registry,
        )
        self.unseen = Counter(
            "nonesuch_web_unseen",
            "Requests that Triton had when their client left, so that nobody sees what it draws.",
            registry=self._registry,
        )
        self.pictures = Counter(
            "nonesuch_web_pictures", "Pictures that were drawn.", registry=self._registry
        )
        self.waiting = Gauge(
            "nonesuch_web_waiting", "Requests that wait for their turn.", registry=self._registry
        )
        self.under_way = Gauge(
            "nonesuch_web_under_way", "Requests that Triton has.", registry=self._registry
        )

    def page(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self._registry)
