"""What engines tell on the metrics page of the embedded server: how long requests waited, and ran.

Such an engine has a line of its own, and Triton's statistics of it end when a request has joined
that line. A production server has no such counters, nor needs them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

from nonesuch.errors import ServerError

PORT = 8002  # Triton's, for metrics
_TIMEOUT_S = 1.0
_FIELDS = {
    "nonesuch_engine_requests_total": "requests",
    "nonesuch_engine_wait_seconds_total": "wait_s",
    "nonesuch_engine_run_seconds_total": "run_s",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """Sums over the requests that an engine has answered."""

    requests: float = 0.0
    wait_s: float = 0.0  # from when Triton handed a request over until its turn
    run_s: float = 0.0  # from its turn until it was answered

    def since(self, before: "Engine") -> "Engine":
        """What came after `before`; none if the counters began anew, with another server."""
        if self.requests < before.requests:
            return Engine()
        return Engine(
            requests=self.requests - before.requests,
            wait_s=self.wait_s - before.wait_s,
            run_s=self.run_s - before.run_s,
        )


def engines(url: str) -> Mapping[str, Engine]:
    """The counters by model of the page at HOST:PORT; raises ServerError if there is no page."""
    try:
        page = httpx.get(f"http://{url}/metrics", timeout=_TIMEOUT_S).raise_for_status().text
        families = list(text_string_to_metric_families(page))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
        raise ServerError(f"no page of metrics at http://{url}/metrics: {exc}") from exc
    found: dict[str, dict[str, float]] = {}
    for sample in (sample for family in families for sample in family.samples):
        if sample.name in _FIELDS:  # of each version of a model
            sums = found.setdefault(sample.labels["model"], dict.fromkeys(_FIELDS.values(), 0.0))
            sums[_FIELDS[sample.name]] += sample.value
    return {model: Engine(**sums) for model, sums in found.items()}
