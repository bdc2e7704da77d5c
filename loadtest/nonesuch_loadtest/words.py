"""Figures as a report writes them: three digits that mean something, and an interval."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from nonesuch_loadtest.estimate import Estimate

NONE = "—"  # a figure that is not known


def number(value: float) -> str:
    """Three significant digits, and three places at most; a dash for NaN."""
    if math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞"
    if value == 0 or abs(value) >= 99.95:
        return f"{value:,.0f}"
    digits = 2 - math.floor(math.log10(abs(value)) + 1e-12)
    return f"{value:.{min(digits, 3)}f}"


def ms(seconds: float) -> str:
    """Seconds as milliseconds; what was never answered says so."""
    return "no answer" if math.isinf(seconds) else number(1e3 * seconds)


def megabytes(size: float) -> str:
    """Bytes as millions of them."""
    return number(size / 1e6)


def percent(share: float) -> str:
    """A share from 0 to 1; one above 0 never reads as 0."""
    return "< 0.001 %" if 0 < share < 1e-5 else f"{number(100 * share)} %"


def span(found: Estimate, text: Callable[[float], str] = number) -> str:
    """The interval alone, empty where there is none."""
    return "" if math.isnan(found.low) else f"{text(found.low)} … {text(found.high)}"


def interval(found: Estimate, text: Callable[[float], str] = number) -> str:
    """A figure and its interval."""
    around = span(found, text)
    return f"{text(found.value)} ({around})" if around else text(found.value)


def share_span(found: Estimate) -> str:
    """The interval of a share, or of the difference of two."""
    return f"{100 * found.low:.2f} … {100 * found.high:.2f} %"


def setting(values: Mapping[str, Any]) -> str:
    """What sets a point apart from the others of its result.

    >>> setting({"rate_hz": 20.0, "max_batch": 8})
    '20 requests/s, max batch 8'
    """
    return ", ".join(_setting(name, value) for name, value in values.items())


def _setting(name: str, value: object) -> str:
    if name == "rate_hz":
        return f"{value:g} requests/s" if isinstance(value, float | int) else str(value)
    return f"{name.replace('_', ' ')} {value}"
