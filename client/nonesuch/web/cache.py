"""What lets clients keep an answer: its ETag, and the word that it is still the same."""

import hashlib
import json

from starlette.requests import Request
from starlette.responses import Response

from nonesuch import __version__
from nonesuch.card import Card

_CACHE = "public, max-age=600"  # the ETag stands for a model's hash, an address does not


def tag(card: Card, settings: object) -> str:
    """An ETag for what a model makes of settings: it is what the recipe will be made of.

    A weak one, since the same picture need not be the same bytes after an update.
    """
    text = f"{__version__}\n{card.to_json()}\n{json.dumps(settings)}"
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def headers(tag: str, vary: str) -> dict[str, str]:
    """The headers of an answer that may be kept."""
    return {"ETag": tag, "Cache-Control": _CACHE, **({"Vary": vary} if vary else {})}


def unchanged(request: Request, tag: str) -> Response | None:
    """The answer for a client that has the same already (RFC 9110, section 13.1.2)."""
    known = request.headers.get("if-none-match", "")
    bare = {each.strip().removeprefix("W/") for each in known.split(",")}
    if "*" in bare or tag.removeprefix("W/") in bare:
        return Response(status_code=304, headers=headers(tag, "Accept"))
    return None
