"""What the commands share around a measurement: plans, Ctrl-C, progress, files, exit status."""

import json
import signal
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

import click

from nonesuch_loadtest import flags

if TYPE_CHECKING:
    from nonesuch_loadtest.progress import Progress
    from nonesuch_loadtest.result import Result
    from nonesuch_loadtest.run import Plan
    from nonesuch_loadtest.scenario import Scenario

R = TypeVar("R")


def planned(model: str | None, given: flags.Given, stop: threading.Event) -> "Plan":
    """The run that a command line asks for; raises InvalidRequest for what is none."""
    from nonesuch_loadtest.run import Plan

    scenario = flags.scenario(given, model)
    spec, observed = flags.target(given, scenario)
    return Plan(
        scenario=scenario,
        spec=spec,
        name=given["name"] or _name(scenario),
        command=flags.command_line(),
        observed=observed,
        processes=given["processes"],
        force=given["force"],
        null=given.get("null", False),
        stop=stop,
    )


def _name(scenario: "Scenario") -> str:
    models = " and ".join(dict.fromkeys(request.model for request in scenario.requests))
    return f"{models}, {scenario.kind}"


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; a second one breaks off as usual."""
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        click.echo("stopping; Ctrl-C once more gives up the results", err=True)
        signal.signal(signal.SIGINT, before)
        stop.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def drawn(going: "Generator[Progress, None, R]") -> R:
    """Follow a measurement to its end, with a table on a terminal."""
    from nonesuch_loadtest.live import LiveTable

    with LiveTable() as table:
        while True:
            try:
                table.show(next(going))
            except StopIteration as stop:
                result: R = stop.value
                return result


def save(results: "Mapping[str, Result]", out: Path | None) -> None:
    """Write each result as NAME.json into a folder, and a report of them all beside."""
    from nonesuch_loadtest import page
    from nonesuch_loadtest.result import write

    if out is None:
        return
    for name, result in results.items():
        write(result, out / f"{name}.json")
    for name in ("report.html", "report.md"):
        page.save(list(results.values()), out / name)


def show(results: "Sequence[Result]", *, as_json: bool) -> None:
    """Print results: each as one JSON object, or the figures of all for people."""
    from nonesuch_loadtest import record, text
    from nonesuch_loadtest.report import report

    if as_json:
        for result in results:
            click.echo(json.dumps(record.dump(result)))
        return
    for line in text.headline(report(results)):
        click.echo(line)


def end(results: "Iterable[Result]") -> None:
    """Leave with 1 where requests failed, none was measured, or an objective was missed."""
    for result in results:
        objective = result.scenario.objective
        totals = [point.total for point in result.points if point.windows]
        missed = objective and any(
            not total.percentile(objective.percentile) <= objective.limit_s for total in totals
        )
        answered = any(total.latency for total in totals)
        if missed or not answered or any(total.failures for total in totals):
            click.get_current_context().exit(1)
