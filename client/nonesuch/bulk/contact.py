"""Contact sheets: small copies of all pictures of a set, and a page to leaf through them."""

import html
import io
import json
from collections.abc import Sequence

import numpy as np
from PIL import Image

from nonesuch.images import Picture, Pixels, encode, grid

COLUMNS, ROWS = 10, 8
_SIDE = 96  # pixels of a copy's longer side
_PAPER = (250, 250, 247)

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 1rem auto; max-width: 60rem; padding: 0 1rem;
  background: #fafaf7; color: #28282d; }}
nav {{ display: flex; gap: .5rem; align-items: center; margin: .5rem 0; }}
button, input {{ font: inherit; padding: .2rem .7rem; }}
input {{ width: 6rem; }}
img {{ width: 100%; image-rendering: auto; display: block; }}
</style>
<h1>{title}</h1>
<nav><button id="back">Back</button>
<label>Sheet <input id="at" type="number" min="1"></label> of <span id="all"></span>
<button id="on">On</button><span id="seeds"></span></nav>
<img id="sheet" alt="">
<p>A picture's seed shows when the pointer is on it. All pictures are synthetic.</p>
<script>
const sheets = {sheets}, columns = {columns}, rows = {rows};
const by = id => document.getElementById(id);
const seeds = text => text.split(",").flatMap(part => {{
  const [first, last = first] = part.split("-").map(Number);
  return Array.from({{length: last - first + 1}}, (_, i) => first + i);
}});
let at = 0;
function show(n) {{
  if (!Number.isFinite(n)) n = 0;
  at = Math.min(Math.max(n, 0), sheets.length - 1);
  by("sheet").src = sheets[at][0];
  by("sheet").alt = by("seeds").textContent = "seeds " + sheets[at][1];
  by("at").value = at + 1;
  history.replaceState(null, "", "#" + (at + 1));
}}
by("back").onclick = () => show(at - 1);
by("on").onclick = () => show(at + 1);
by("at").onchange = () => show(Number(by("at").value) - 1);
document.onkeydown = e => {{
  if (e.key === "ArrowLeft") show(at - 1);
  if (e.key === "ArrowRight") show(at + 1);
}};
by("sheet").onmousemove = e => {{
  const all = seeds(sheets[at][1]), high = Math.ceil(all.length / columns);
  const x = Math.floor(e.offsetX / by("sheet").clientWidth * columns);
  const y = Math.floor(e.offsetY / by("sheet").clientHeight * high);
  by("sheet").title = "seed " + (all[y * columns + x] ?? "");
}};
by("all").textContent = sheets.length;
show(Number(location.hash.slice(1)) - 1);
</script>
</html>
"""


def small(picture: Picture) -> Pixels:
    """A small copy of a picture, [H, W, 3], on paper where it is transparent."""
    with Image.open(io.BytesIO(picture.encoded or b"")) as image:
        image.draft("RGB", (_SIDE, _SIDE))
        copy = image.convert("RGBA" if picture.channels == 4 else "RGB")
    copy.thumbnail((_SIDE, _SIDE))
    if picture.channels == 4:
        paper = Image.new("RGB", copy.size, _PAPER)
        paper.paste(copy, (0, 0), copy)
        copy = paper
    return np.asarray(copy)


def sheet(copies: Sequence[Pixels]) -> bytes:
    """A sheet of small copies, a JPEG marked as synthetic; ten in a row."""
    free = [np.full_like(copies[0], _PAPER)] * (-len(copies) % COLUMNS)
    return encode(grid([*copies, *free], COLUMNS), "jpeg", [])


def page(title: str, sheets: Sequence[tuple[str, str]]) -> str:
    """The page for sheets, each with its path and the list of its seeds."""
    return _PAGE.format(
        title=html.escape(title),
        sheets=json.dumps(sheets).replace("<", "\\u003c"),
        columns=COLUMNS,
        rows=ROWS,
    )
