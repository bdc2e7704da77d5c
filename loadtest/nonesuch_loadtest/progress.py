"""How a run is going, about once a second, for whoever draws it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """All since the last one, unless said otherwise."""

    setting: dict[str, Any] = field(default_factory=dict)  # of the point, as in its result
    phase: str  # "ceiling", "warm-up", "window 2 of 3", "waiting" for the last answers
    at_s: float  # since the beginning of the point
    of_s: float | None  # its length, without waiting; None = not known before
    answered: int
    failed: int
    requests_hz: float
    images_hz: float
    mean_s: float | None  # of the latency; None = no answer
    max_s: float | None
    all_answered: int  # since the beginning of the point
    all_failed: int
