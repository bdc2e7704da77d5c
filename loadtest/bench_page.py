"""How long does the page take to show its first picture, beside the picture's own time?

    nonesuch-server run --repository build/bench -- python loadtest/bench_page.py random256

with a model as `make bench-ratio` builds it. Each visit starts `nonesuch web` and Chromium anew,
with an empty profile, and opens the page; then it reloads it, for a warm one. The browser itself
notes when the picture was on the screen (element timing). The table tells when things were from
the start of a visit; `after_ms` is from the picture's last byte to the screen, and `added_ms` what
the visitor waits beside the server's answer, from the picture's request to its first byte. Needs
playwright and Debian's Chromium.
"""

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields

import click
from playwright.sync_api import Page, sync_playwright

from nonesuch import Client
from nonesuch.errors import SetupError

# Whatever looks further than this machine stays off.
_ARGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
_SHOWN = """() => new Promise(resolve => new PerformanceObserver(list => {
  const [shown] = list.getEntries().filter(entry => entry.identifier === "face");
  if (!shown) return;
  const answer = performance.getEntriesByType("resource").find(e => e.name.includes("/image?"));
  resolve([answer.requestStart, answer.responseStart, answer.responseEnd, shown.renderTime]);
}).observe({ type: "element", buffered: true }))"""


@dataclass(frozen=True, slots=True)
class Visit:
    """When things were so far, in milliseconds from the start of the visit."""

    asked_ms: float  # the picture's request
    answered_ms: float  # its first byte
    received_ms: float  # its last byte
    shown_ms: float  # on the screen

    @property
    def after_ms(self) -> float:
        """From the picture's last byte to the screen."""
        return self.shown_ms - self.received_ms

    @property
    def added_ms(self) -> float:
        """What the visitor waits beside the server's answer."""
        return self.shown_ms - (self.answered_ms - self.asked_ms)


@contextmanager
def served(url: str, model: str) -> Iterator[str]:
    """Serve the page, and yield its address."""
    words = ["web", "--url", url, "--model", model, "--port", "0"]
    program = subprocess.Popen(
        [sys.executable, "-m", "nonesuch.cli", *words], stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout
        yield program.stdout.readline().strip()
    finally:
        program.terminate()
        program.wait(20)


def looked(page: Page) -> Visit:
    """Wait until the picture is on the screen."""
    return Visit(*page.evaluate(_SHOWN))


def visits(url: str, model: str, chromium: str) -> tuple[Visit, Visit]:
    """A cold visit and a warm one."""
    with (
        served(url, model) as address,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=_ARGS) as browser,
    ):
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.goto(address)
        cold = looked(page)
        page.reload()
        return cold, looked(page)


@click.command()
@click.argument("model")
@click.option("--url", envvar="NONESUCH_URL", default="localhost:8001", metavar="HOST:PORT")
@click.option("--visits", "count", default=10, show_default=True)
def main(model: str, url: str, count: int) -> None:
    """Visit the page of MODEL so many times, and print what the first picture took."""
    if (chromium := shutil.which("chromium")) is None:
        raise SetupError("chromium is not installed; as root: apt-get install chromium")
    with Client(url) as client:
        client.wait_ready(model)
        for _ in client.generate(model, [0, 1]):
            pass  # the server's own first pictures are not the page's
    both = [visits(url, model, chromium) for _ in range(count)]
    click.echo(f"{os.cpu_count()} cores, {count} visits; milliseconds, median and worst")
    for name, those in zip(("cold", "warm"), zip(*both, strict=True), strict=True):
        told(name, those)


def told(name: str, those: tuple[Visit, ...]) -> None:
    """Print a line for each figure."""
    rows = {field.name: [astuple(v)[i] for v in those] for i, field in enumerate(fields(Visit))}
    rows |= {"after_ms": [v.after_ms for v in those], "added_ms": [v.added_ms for v in those]}
    for what, values in rows.items():
        click.echo(f"{name:5} {what:12} {statistics.median(values):7.1f} {max(values):7.1f}")


if __name__ == "__main__":
    main()
