"""A report as one HTML page that needs nothing else, or as Markdown."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import jinja2

from nonesuch import files
from nonesuch_loadtest.document import Cell, Report, Section, Table
from nonesuch_loadtest.report import report
from nonesuch_loadtest.result import Result

_WORDS = {"bad": "Error", "warn": "Warning", "note": "Note"}


def html(found: Report) -> str:
    """The page, light or dark as the reader's system is; it refers to nothing outside itself."""
    return _template().render(report=found)


def save(results: Sequence[Result], path: Path) -> None:
    """Write the report of some results: Markdown to a file that ends in .md, else the page.

    Raises OutputError where the file cannot be written.
    """
    found = report(results)
    text = markdown(found) if path.suffix == ".md" else html(found)
    files.save(path, text.encode())


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nonesuch_loadtest", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("page.html")


def markdown(found: Report) -> str:
    """The same without the plots."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Report) -> Iterator[str]:
    yield from (f"# {_plain(found.title)}", "", _plain(found.about), "")
    for notice in found.notices:
        yield from (f"> **{_WORDS[notice.kind]}:** {_plain(notice.text)}", "")
    for tile in found.tiles:
        words = " ".join(_plain(word) for word in (tile.unit, tile.under and f"({tile.under})"))
        yield f"- {_plain(tile.label)}: **{_plain(tile.value)}** {words}".rstrip()
    for section in found.sections:
        yield from _section(section)
    yield from ("", found.footer)


def _section(section: Section) -> Iterator[str]:
    if section.tables or section.command:
        yield from ("", f"## {_plain(section.title)}")
    for table in section.tables:
        yield from _table(table)
    if section.command:
        yield from ("", "```sh", section.command, "```")


def _table(table: Table) -> Iterator[str]:
    if table.title:
        yield from ("", f"### {_plain(table.title)}")
    side = "---" if table.words else "---:"
    yield from ("", _row(table.head), _row(["---", *[side] * (len(table.head) - 1)]))
    for name, cells in table.rows:
        yield _row([_plain(name), *map(_cell, cells)])
    if table.under:
        yield from ("", _plain(table.under))


def _row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _cell(cell: Cell) -> str:
    text = _plain(cell.text)
    text = f"**{text}**" if cell.kind == "bad" else text
    return f"{text} ({_plain(cell.under)})" if cell.under else text


def _plain(text: str) -> str:
    """`text` with what Markdown, or HTML in it, would read as more than text."""
    for sign in "\\`*_<|[":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
