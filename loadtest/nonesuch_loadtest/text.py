"""A report's headline, and a judgement, as lines for a terminal."""

from collections.abc import Iterator, Sequence

from nonesuch_loadtest.document import Cell, Report, Table
from nonesuch_loadtest.estimate import Estimate
from nonesuch_loadtest.notices import notices
from nonesuch_loadtest.reading import readings
from nonesuch_loadtest.regression import Change, Judgement, differences
from nonesuch_loadtest.result import Result
from nonesuch_loadtest.words import ms, number, percent, share_span

_SIGNS = {"bad": "ERROR: ", "warn": "Warning: ", "note": ""}


def headline(report: Report) -> Iterator[str]:
    """Notices, then the figures of a single measurement, or the tables of several."""
    yield report.title
    yield report.about
    for notice in report.notices:
        yield f"{_SIGNS[notice.kind]}{notice.text}"
    yield ""
    for tile in report.tiles:
        value = f"{tile.value} {tile.unit}".rstrip()
        yield f"{tile.label:<24} {value:>20}  {tile.under}".rstrip()
    figures = report.sections[0].tables
    if len(figures[0].rows) > 1:
        for table in figures:
            yield from (table.title, *aligned(table), "")


def aligned(table: Table) -> Iterator[str]:
    """A table in columns, names on the left."""
    rows = [table.head, *([name, *(cell.text for cell in cells)] for name, cells in table.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.head))]
    for row in rows:
        first, *others = row
        padded = (text.rjust(width) for text, width in zip(others, widths[1:], strict=True))
        yield "  ".join((first.ljust(widths[0]), *padded)).rstrip()


def judgement(found: Judgement) -> Iterator[str]:
    """Every figure of both runs, and whether B is worse."""
    settings = dict.fromkeys(change.setting for change in found.changes)
    for setting in settings:
        if setting:
            yield from ("", setting)
        changes = [change for change in found.changes if change.setting == setting]
        rows = [(change.figure, _cells(change)) for change in changes]
        yield from aligned(Table(head=["", "A", "B", "B / A", "95 %", ""], rows=rows))
    yield ""
    worse = len(found.worse)
    limit = percent(found.regression)
    yield f"{worse} figure{'s are' if worse != 1 else ' is'} worse by more than {limit}"


def caveats(a: Result, b: Result) -> Iterator[str]:
    """What to know before a comparison: what else differs, and what is wrong with either."""
    for name, old, new in differences(a, b):
        yield f"differs: {name}: {old} -> {new}"
    for letter, result in (("A", a), ("B", b)):
        for notice in notices(readings([result])):
            if notice.kind != "note":
                yield f"{letter}: {notice.text}"


def _cells(change: Change) -> Sequence[Cell]:
    if change.figure == "failed":
        more = change.ratio
        texts = [percent(change.a.value), percent(change.b.value)]
        return [
            *map(Cell, [*texts, f"{100 * more.value:+.2f} %", share_span(more), change.verdict])
        ]
    unit = ms if change.figure.startswith("p") else number
    texts = [unit(change.a.value), unit(change.b.value)]
    return [*map(Cell, [*texts, f"{change.ratio.value:.3f}", _span(change.ratio), change.verdict])]


def _span(ratio: Estimate) -> str:
    return f"{ratio.low:.3f} … {ratio.high:.3f}" if ratio.high < float("inf") else "not known"
