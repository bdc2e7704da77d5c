"""Which format a browser or a tool wants, by its header Accept (RFC 9110, section 12.5.1)."""

from nonesuch.contract import FORMATS
from nonesuch.images import default_format
from nonesuch.options import FormatName

TYPES = {name: f"image/{name}" for name in FORMATS}


def chosen(accept: str, channels: int) -> FormatName | None:
    """The best of our formats for pictures of so many channels, None where none is accepted.

    Among equals the model's own format comes first.

    >>> chosen("image/avif,image/webp,image/*,*/*;q=0.8", 3), chosen("image/webp", 3)
    ('jpeg', 'webp')
    >>> chosen("text/html", 3) is None, chosen("", 4)
    (True, 'png')
    """
    own = default_format(channels)
    order: list[FormatName] = [own, "jpeg", "webp", "png"]
    if channels == 4:
        order.remove("jpeg")
    shares = {name: _share(accept or "*/*", TYPES[name]) for name in order}
    best = max(order, key=lambda name: shares[name])
    return best if shares[best] > 0 else None


def _share(accept: str, kind: str) -> float:
    """How welcome a type is, 0 to 1: by the most exact of the ranges that hold it."""
    exact: dict[int, float] = {}
    for part in accept.split(","):
        span, *parameters = (word.strip().lower() for word in part.split(";"))
        if span in {kind, "image/*", "*/*"}:
            exact[("*/*", "image/*", kind).index(span)] = _quality(parameters)
    return exact[max(exact)] if exact else 0.0


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0
