"""The page with one face; its first picture stands in it, and needs no script to be asked for."""

import random
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from urllib.parse import quote, urlencode

from nonesuch.contract import SEEDS

_TEXT = (files("nonesuch.web") / "static" / "index.html").read_text(encoding="utf-8")
_WHOLE = re.compile(r"\d{1,10}", re.ASCII)
_PLACE = '<img id="face" alt="" hidden>'


def document(pairs: Sequence[tuple[str, str]], models: Sequence[str], *, again: bool) -> str:
    """The HTML for an address with these parameters, which face.js reads in the same way.

    `models` are those that may be shown, the default first; where none fits, the picture is left
    to the script, which waits for the server. A page that is loaded again brings another face.
    """
    asked = dict(reversed(pairs))
    model = asked.get("model", models[0] if models else "")
    if model not in models:
        return _TEXT
    seed = asked.get("seed", "")
    if again or not (_WHOLE.fullmatch(seed) and int(seed) < SEEDS):
        seed = str(random.randrange(SEEDS))
    rest = [pair for pair in pairs if pair[0] not in {"model", "seed"}]
    source = f"v1/models/{quote(model)}/image?{urlencode([*rest, ('seed', seed)])}"
    about = f"Synthetic picture: {model}, seed {seed}. What it shows does not exist."
    words = {"src": source, "alt": about, "data-model": model, "data-seed": seed}
    given = " ".join(f'{name}="{escape(value)}"' for name, value in words.items())
    face = f'<img id="face" {given} fetchpriority="high" elementtiming="face">'
    return _TEXT.replace(_PLACE, face)
