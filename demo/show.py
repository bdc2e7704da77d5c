"""What a served generator can do, on a few sheets: `make demo` runs it against the demo's own."""

import html
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click

from nonesuch import Client, Noise, NonesuchError, Picture, Truncation
from nonesuch.files import save
from nonesuch.images import Pixels, encode
from nonesuch.options import RAW
from nonesuch.sheet import Sheet

_PSI = Truncation(psi=0.7)
_FACES = range(32)
_PSIS = (0.0, 0.25, 0.5, 0.7, 1.0, 1.2)
_GROUPS = ("coarse", "middle", "fine")
_SOURCES, _DESTINATIONS = (5, 12), (3, 8, 21, 27, 30)
_NOISES = ("all", "none", "fine", "coarse")
_DIALS = ("smile", "glasses", "age", "skin")
_WEIGHTS = (-1.6, -0.8, 0, 0.8, 1.6)


class Artist:
    """Asks a server for pictures of one model and keeps count and recipes."""

    def __init__(self, client: Client, model: str) -> None:
        self._client = client
        self._model = model
        self.count = 0
        self.recipes: list[Any] = []

    def draw(self, seeds: Iterable[int], **settings: Any) -> list[Pixels]:
        """The pixels of some seeds, at psi 0.7 unless the settings say otherwise."""
        asked = {"truncation": _PSI, "format": RAW, **settings}
        return self._kept(self._client.generate(self._model, seeds, **asked))

    def mix(self, rows: Iterable[int], columns: Iterable[int], layers: str) -> list[Pixels]:
        """A matrix of style mixing at psi 0.7, row by row."""
        return self._kept(
            self._client.mix(self._model, rows, columns, layers=layers, truncation=_PSI)
        )

    def _kept(self, pictures: Iterable[Picture]) -> list[Pixels]:
        tiles = []
        for picture in pictures:
            self.recipes.append(picture.recipe)
            tiles.append(picture.array())
        self.count += len(tiles)
        return tiles


@dataclass(frozen=True)
class Shown:
    """A sheet, the name of its file, and the words beneath it on the page."""

    name: str
    sheet: Sheet
    words: str


def faces(artist: Artist) -> Shown:
    tiles = artist.draw(_FACES)
    rows = [tiles[i : i + 8] for i in range(0, len(tiles), 8)]
    title = f"Seeds {_FACES[0]} to {_FACES[-1]}, psi 0.7"
    return Shown("grid", Sheet(title=title, rows=rows), "People who do not exist.")


def truncation(artist: Artist) -> Shown:
    seeds = (5, 18, 24)
    columns = [artist.draw(seeds, truncation=Truncation(psi=psi)) for psi in _PSIS]
    sheet = Sheet(
        title="Truncation",
        rows=list(zip(*columns, strict=True)),
        above=[f"psi {psi:g}" for psi in _PSIS],
        beside=[f"seed {seed}" for seed in seeds],
    )
    words = "psi 0 is the average portrait; the further from it, the more varied and the riskier."
    return Shown("truncation", sheet, words)


def mixing(artist: Artist) -> Shown:
    sources = artist.draw(_SOURCES)
    rows: list[list[Pixels | None]] = [[None, *artist.draw(_DESTINATIONS)]]
    beside = ["this, but …"]
    for group in _GROUPS:
        mixed = iter(artist.mix(_SOURCES, _DESTINATIONS, group))
        for seed, source in zip(_SOURCES, sources, strict=True):
            rows.append([source, *islice(mixed, len(_DESTINATIONS))])
            beside.append(f"{group} of seed {seed}")
    words = (
        "Each picture is the one at the top of its column, but for one group of layers, which "
        "comes from the one on the left: coarse layers carry pose, head and hair shape, middle "
        "layers the features, fine layers colour and light."
    )
    return Shown("mixing", Sheet(title="Style mixing", rows=rows, beside=beside), words)


def noise(artist: Artist) -> Shown:
    seeds = (1, 14, 29)
    columns = [artist.draw(seeds, noise=Noise(layers=layers)) for layers in _NOISES]
    other = [artist.draw(seeds, noise=Noise(mode="random", seed=seed)) for seed in (1, 2)]
    sheet = Sheet(
        title="Noise in all layers, in none, in some, and from other seeds",
        rows=list(zip(*columns, *other, strict=True)),
        above=[*_NOISES, "noise seed 1", "noise seed 2"],
        beside=[f"seed {seed}" for seed in seeds],
    )
    words = (
        "Noise draws what has no cause: strands of hair, grain of skin, cloth of the background."
    )
    return Shown("noise", sheet, words)


def dials(artist: Artist) -> Shown:
    seed = 255
    rows = [
        [artist.draw([seed], directions={dial: weight})[0] for weight in _WEIGHTS]
        for dial in _DIALS
    ]
    sheet = Sheet(
        title=f"Four dials of seed {seed}",
        rows=rows,
        above=[f"{weight:+g}" if weight else "0" for weight in _WEIGHTS],
        beside=_DIALS,
    )
    words = "Named directions in W, in standard deviations; `nonesuch info` lists them all."
    return Shown("dials", sheet, words)


SHEETS: tuple[Callable[[Artist], Shown], ...] = (faces, truncation, mixing, noise, dials)

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>nonesuch: {model}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto }}
img {{ max-width: 100%; image-rendering: auto }}
figure {{ margin: 2rem 0 }}
</style>
<h1>{model}</h1>
<p>{about}</p>
<p>All pictures are synthetic. Each file says so, and how it was made.</p>
{figures}
</html>
"""
_FIGURE = '<figure><img src="{name}.png" alt="{title}"><figcaption>{words}</figcaption></figure>'


def page(model: str, about: str, shown: Iterable[Shown]) -> str:
    """A page that shows the sheets, to be opened from the folder in which they lie."""
    figures = [
        _FIGURE.format(
            name=one.name, title=html.escape(one.sheet.title), words=html.escape(one.words)
        )
        for one in shown
    ]
    words = {"model": html.escape(model), "about": html.escape(about)}
    return _PAGE.format(**words, figures="\n".join(figures))


@click.command(context_settings={"show_default": True})
@click.argument("model", default="portraits")
@click.option("--url", default="localhost:8001", envvar="NONESUCH_URL", show_envvar=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default="out")
def main(model: str, url: str, out: Path) -> None:
    """Draw the sheets of MODEL and a page with all of them into a folder.

    \b
    Examples:
      python -m demo.show --url localhost:8001
      nonesuch-server run -- python -m demo.show --out out
    """
    try:
        _show(model, url, out)
    except NonesuchError as exc:
        click.echo(f"Error: {exc}", err=True)
        raise SystemExit(exc.exit_status) from exc


def _show(model: str, url: str, out: Path) -> None:
    shown, count, start_s = [], 0, time.monotonic()
    with Client(url) as client:
        about = client.info(model).about or ""
        for make in SHEETS:
            artist = Artist(client, model)
            one = make(artist)
            save(out / f"{one.name}.png", encode(one.sheet.draw(), "png", artist.recipes))
            count += artist.count
            shown.append(one)
    save(out / "index.html", page(model, about, shown).encode())
    rate_hz = count / (time.monotonic() - start_s)
    click.echo(
        f"{count} pictures on {len(shown)} sheets, {rate_hz:.1f} images per second", err=True
    )
    click.echo(out / "index.html")


if __name__ == "__main__":
    main()
