"""A report says what the result says, and first what is wrong with it."""

import io
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console
from tests.loadtest.forge import Made, objective, result

from nonesuch_loadtest import page, text
from nonesuch_loadtest.cli import main
from nonesuch_loadtest.live import LiveTable
from nonesuch_loadtest.progress import Progress
from nonesuch_loadtest.report import report
from nonesuch_loadtest.result import Result, write
from nonesuch_loadtest.words import ms

_RATES = (10.0, 20.0, 40.0, 60.0)
_HERE = {"meta", "link", "img", "br", "hr", "input"}  # elements without an end


def one(**given: Any) -> Result:
    return result(Made(**given))


def ramp() -> Result:
    points = [
        Made(rate_hz=rate, median_s=0.03 / (1 - rate / 80), setting={"rate_hz": rate})
        for rate in _RATES
    ]
    return result(*points, name="ramp", rates_hz=_RATES, objective=objective(0.2))


def callers() -> Result:
    points = [
        Made(rate_hz=15 * count, seed=count, setting={"concurrency": count}) for count in (1, 2, 4)
    ]
    return result(*points, name="callers", concurrencies=(1, 2, 4))


class Page(HTMLParser):
    """What a page holds: its text, elements, and that each is closed in its turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in _HERE:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def pictures(html: str) -> list[ET.Element]:
    return [ET.fromstring(svg) for svg in re.findall(r'<svg [^>]*class="plot".*?</svg>', html)]


@pytest.mark.parametrize(
    "results", [[one()], [ramp()], [one(), ramp(), callers(), one(failed=0.1)]], ids=len
)
def test_a_page_needs_nothing_from_outside(results: list[Result]) -> None:
    html = page.html(report(results))

    read = Page(html)
    assert not {tag for tag, _, _ in read.attributes} & {"script", "link", "img", "iframe"}
    assert not [a for a in read.attributes if a[1] in {"src", "href", "xlink:href"}]
    assert not re.search(r"https?://|@import|url\(", html)
    assert ("meta", "content", "width=device-width, initial-scale=1") in read.attributes
    assert "prefers-color-scheme: dark" in html


def test_every_plot_has_a_title_and_words_for_those_who_cannot_see_it() -> None:
    html = page.html(report([ramp(), callers(), one()]))

    found = pictures(html)
    assert len(found) == html.count("<figure>") >= 8
    for picture in found:
        assert picture.get("role") == "img"
        assert picture.findtext("title")
        assert len(picture.findtext("desc") or "") > 10


def test_the_plots_are_those_that_the_results_allow() -> None:
    titles = {p.findtext("title") for p in pictures(page.html(report([ramp(), callers()])))}

    assert titles >= {
        "Latency: cumulative distribution",
        "Latency against rate",
        "Throughput against concurrency",
        "Where the time goes",
        "Throughput over time",
        "Latency over time",
        "Processor over time",
        "Memory over time",
    }
    alone = {p.findtext("title") for p in pictures(page.html(report([one()])))}
    assert "Latency against rate" not in alone
    assert "Batch sizes of faces_generator" in alone


def test_the_figures_are_the_results_own() -> None:
    made = Made(rate_hz=500)
    told = result(made)

    html = "".join(Page(page.html(report([told]))).text)

    raw = np.concatenate(made.latencies())
    total = told.points[0].total
    for percent in (50, 90, 99, 99.9):
        assert ms(total.percentile(percent)) in html
        expected = 1e3 * np.percentile(raw, percent, method="inverted_cdf")
        assert 1e3 * total.percentile(percent) == pytest.approx(expected, rel=2e-3)
    assert f"{len(raw):,}" in html
    assert f"{np.mean([w.rate_hz for w in told.points[0].windows]):,.0f}" in html


def test_the_parts_of_a_request_add_up_to_its_latency() -> None:
    told = one()

    bars = next(
        p
        for p in pictures(page.html(report([told])))
        if p.findtext("title") == "Where the time goes"
    )

    parts = [part.findtext("title") or "" for part in bars.findall("rect")]
    assert [p.split(":")[0] for p in parts] == [
        "client", "network", "queue", "sampler", "generator", "encoder", "other",
    ]  # fmt: skip
    sum_ms = sum(float(p.split(": ")[1].removesuffix(" ms")) for p in parts)
    assert sum_ms == pytest.approx(1e3 * told.points[0].total.latency.mean_s, rel=0.01)


def test_percentiles_that_few_samples_cannot_know_are_withheld() -> None:
    told = one(rate_hz=20, windows=1)

    words = page.markdown(report([told]))

    row = next(
        line for line in words.splitlines() if line.startswith("| faces |") and "needs" in line
    )
    assert "— (needs 368)" in row
    assert "— (needs 3,688)" in row
    assert "p99 (368), p99.9 (3,688)" in words
    longest = f"{1e3 * told.points[0].total.latency.max_s:.0f}"
    assert words.count(f" {longest} ") <= 2  # as the longest of all, never as a percentile


def test_failures_stand_at_the_top_and_in_red() -> None:
    found = report([one(failed=0.03)])

    notice = found.notices[0]
    assert notice.kind == "bad"
    assert re.match(r"\d+ of 1,600 requests failed \(.+ %\): RemoteError \d+\.", notice.text)
    html = page.html(found)
    assert html.index(notice.text) < html.index("<main>")
    assert 'class="tile bad"' in html
    assert "> **Error:** " in page.markdown(found)
    assert any(line.startswith("ERROR: ") for line in text.headline(found))
    assert "no answer" in html  # p99 falls among the failures


@pytest.mark.parametrize(("ceiling_hz", "near"), [(150, True), (250, False)])
def test_a_run_near_the_drivers_ceiling_says_so_at_the_top(ceiling_hz: float, near: bool) -> None:
    found = report([result(Made(rate_hz=40), ceiling_hz=ceiling_hz)])

    warned = [n.text for n in found.notices if "the driver's own ceiling" in n.text]
    assert bool(warned) == near
    assert not near or "40.0 requests/s are within 5 times" in warned[0]


def test_a_result_without_a_single_request_still_makes_a_page() -> None:
    found = report([one(windows=0)])

    assert found.notices[0].kind == "bad"
    assert "there is nothing to report" in found.notices[0].text
    Page(page.html(found))


def test_names_that_look_like_html_stay_text(tmp_path: Path) -> None:
    write(result(Made(), name="<script>alert(1)</script>|x"), tmp_path / "r.json")

    done = CliRunner().invoke(
        main, ["report", str(tmp_path / "r.json"), "--out", str(tmp_path / "page.html")]
    )

    assert done.exit_code == 0, done.output
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_many_results_become_one_page_with_a_name_for_each(tmp_path: Path) -> None:
    places = [str(tmp_path / f"{i}.json") for i in range(3)]
    for place, told in zip(places, [one(), one(seed=6), ramp()], strict=True):
        write(told, Path(place))

    done = CliRunner().invoke(main, ["report", *places, "--out", str(tmp_path / "all.md")])

    assert done.exit_code == 0, done.output
    words = (tmp_path / "all.md").read_text(encoding="utf-8")
    for name in ("faces", "faces (2)", *(f"ramp, {rate:g} requests/s" for rate in _RATES)):
        assert f"\n| {name} |" in words


def progress(rate: int, failed: int) -> Progress:
    return Progress(
        setting={"rate_hz": rate}, phase="window 1 of 3", at_s=4, of_s=12, answered=9,
        failed=failed, requests_hz=9, images_hz=9, mean_s=0.05, max_s=None, all_answered=36,
        all_failed=failed,
    )  # fmt: skip


def test_the_live_table_counts_failures_and_keeps_each_setting() -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    table = LiveTable(console)
    for rate, failed in ((10, 0), (20, 7)):
        table.show(progress(rate, failed))

    console.print(table.table())

    lines = console.export_text().splitlines()
    assert len(lines) == 3
    assert "window 1 of 3" in lines[1]
    assert re.search(r"36 +7 +9\.00 +9\.00 .* 50\.0 +—", lines[2])


@pytest.mark.parametrize("terminal", [True, False])
def test_the_live_table_draws_on_a_terminal_only(terminal: bool) -> None:
    drawn = io.StringIO()

    with LiveTable(Console(width=140, file=drawn, force_terminal=terminal)) as table:
        table.show(progress(10, 3))

    assert ("window 1 of 3" in drawn.getvalue()) == terminal
    assert bool(drawn.getvalue()) == terminal
