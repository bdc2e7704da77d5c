"""The command `nonesuch-loadtest`."""

import datetime
import functools
import json
import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nonesuch.command import CommandGroup, Parsed, seconds
from nonesuch.errors import SetupError
from nonesuch_loadtest import flags
from nonesuch_loadtest.commands import compare, report
from nonesuch_loadtest.session import drawn, end, interruptible, planned, save, show

if TYPE_CHECKING:
    from nonesuch_loadtest.crosscheck import Opinion
    from nonesuch_loadtest.ratio import Ratio
    from nonesuch_loadtest.result import Result
    from nonesuch_loadtest.sweep import Choice

_CALLERS = 8  # of the closed run that tells a search what the server can do at most
_NOW = "[default: as it is now]"


@click.group(cls=CommandGroup, extra="loadtest")
@click.version_option(package_name="nonesuch", message="%(version)s")
def main() -> None:
    """Measure generators, served and bare: latency, throughput, and where the time goes.

    Exit status: 0 done, 1 failed requests, a missed objective or a run that measured the driver,
    2 used wrongly, 3 the server cannot be reached.
    """


@main.command()
@click.argument("model", required=False)
@flags.kind_flags
@flags.request_flags
@flags.time_flags
@flags.objective_flag()
@flags.server_flags
@click.option(
    "--repository",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Run the engine of MODEL in this model repository here instead of asking a server.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="With --repository: run this checkpoint of MODEL, by PyTorch as it is: the baseline.",
)
@click.option("--null", is_flag=True, help="Measure the driver: the answers come at once.")
@flags.driver_flags
@flags.name_flag
@flags.out_flags
def run(*, model: str | None, out: Path | None, as_json: bool, **given: Any) -> None:
    """Send requests for MODEL by a scenario, and measure.

    \b
    single-stream  one request after the other; the result is p90 of the latency
    server         --rate-hz requests per second at random times; p99 of the latency
    offline        --count requests at once; images per second
    closed         --concurrency requests under way at all times; images per second
    ramp           server at --rates-hz or closed with --concurrencies, until it saturates
    replay         the requests of --log when they came; p99 of the latency

    Latency counts from when a request was due, so a server that stalls cannot hide it. Ctrl-C
    ends with the results so far.

    \b
    Examples:
      nonesuch-loadtest run portraits --concurrency 4
      nonesuch-loadtest run portraits --scenario server --rate-hz 20 --out results
    """
    from nonesuch_loadtest.run import run as measure

    with interruptible() as stop:
        result = drawn(measure(planned(model, given, stop)))
    show([result], as_json=as_json)
    save({"result": result}, out)
    end([result])


@main.command()
@click.argument("model")
@flags.request_flags
@flags.time_flags
@flags.objective_flag(required=True)
@click.option(
    "--begin-hz",
    type=click.FloatRange(0, min_open=True),
    help="A rate to begin near.  [default: what a closed run finds]",
)
@click.option("--within", type=click.FloatRange(0.001, 0.5), default=0.05, help="How exactly.")
@flags.server_flags
@flags.driver_flags
@flags.name_flag
@flags.out_flags
def search(
    *,
    model: str,
    begin_hz: float | None,
    within: float,
    out: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Find the highest rate of requests for MODEL that keeps an objective.

    Bisection between rates, each measured as `run --scenario server` does; a failed request
    counts as infinitely slow. The rate that is found is measured again with other arrivals.

    \b
    Examples:
      nonesuch-loadtest search portraits --objective 'p99<200ms'
      nonesuch-loadtest search portraits --objective 'p95<1s' --window-s 20 --json | jq .answer
    """
    from nonesuch_loadtest.search import search as find

    with interruptible() as stop:
        name = given["name"] or f"{model}, search"
        plan = planned(model, {**given, "name": name, "concurrency": _CALLERS}, stop)
        result = drawn(find(plan, begin_hz=begin_hz, within=within))
    show([result], as_json=as_json)
    save({"result": result}, out)
    if not result.answer["rate_hz"]:
        click.get_current_context().exit(1)


@main.command()
@click.argument("model")
@flags.repository_flag
@flags.server_flags
@click.option("--callers", type=click.IntRange(1), default=16, help="Requests under way at once.")
@flags.batch_flag
@click.option(
    "--window-s", type=Parsed(seconds), default=20.0, metavar="SECONDS", help="Of each in a round."
)
@click.option("--rounds", type=click.IntRange(1), default=3, help="How often the two take turns.")
@click.option("--out", type=flags.FOLDER, help="Folder for both results and report.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def ratio(  # noqa: PLR0913 (one parameter an option)
    *,
    model: str,
    repository: Path,
    callers: int,
    batch: int | None,
    window_s: float,
    rounds: int,
    out: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Tell how much of its bare engine's speed MODEL keeps, served as JPEG at saturation.

    \b
    Examples:
      nonesuch-loadtest ratio portraits
      nonesuch-loadtest ratio faces --repository build/bench --rounds 5 --json | jq .ratio
    """
    from nonesuch_loadtest.ratio import take_turns

    asked = {"window_s": window_s, "windows": rounds, "warmup_s": window_s / 3}
    words = {**given, **asked, "processes": 1, "force": False}
    with interruptible() as stop:
        alone = {**words, "repository": repository, "format": "raw", "name": f"{model}, bare"}
        served = {**words, "concurrency": callers, "batch": batch, "name": f"{model}, served"}
        found = drawn(take_turns(planned(model, alone, stop), planned(model, served, stop)))
    for line in [json.dumps(found.to_dict())] if as_json else _medians(found):
        click.echo(line)
    save({"bare": found.bare, "served": found.served}, out)


def _medians(found: "Ratio") -> list[str]:
    (card,) = found.served.target.models
    asked = found.served.scenario
    pictures = f" for {asked.requests[0].batch} pictures each" * (asked.requests[0].batch > 1)
    return [
        f"{card.name} {card.width}x{card.height}, {card.engine} {card.precision}, medians:",
        f"  bare engine, batch {found.batch}: {found.bare_hz:.2f} images/s",
        f"  served as JPEG, {asked.concurrency} callers{pictures}: {found.served_hz:.2f} images/s",
        f"  ratio: {found.ratio:.3f}, {found.failures} failed requests",
    ]


@main.command()
@click.argument("model")
@click.option(
    "--perf-analyzer",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="Where that program is; Triton's client SDK has it.",
)
@click.option(
    "--concurrencies",
    type=Parsed(flags.counts),
    default="1,4,16",
    metavar="LIST",
    help="Requests under way at once.",
)
@flags.batch_flag
@flags.time_flags
@flags.server_flags
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a concurrency.")
def crosscheck(
    *, model: str, perf_analyzer: Path, concurrencies: tuple[int, ...], as_json: bool, **given: Any
) -> None:
    """Measure MODEL with perf_analyzer as well, in turns on the same server, side by side.

    perf_analyzer asks for every output of a model, files and pixels; here both do.

    \b
    Examples:
      nonesuch-loadtest crosscheck portraits --perf-analyzer /opt/tritonclient/perf_analyzer
      nonesuch-loadtest crosscheck portraits --perf-analyzer ./perf_analyzer --window-s 20
    """
    from nonesuch_loadtest import record
    from nonesuch_loadtest.crosscheck import Opinion
    from nonesuch_loadtest.crosscheck import crosscheck as ask

    words = {**given, "concurrency": 1, "processes": 1, "force": False, "name": model}
    if not as_json:
        head = ("callers", "ours /s", "theirs", "p50 ms", "theirs", "p99 ms", "theirs", "differ")
        click.echo("".join(f"{word:>9}" for word in head))
    with interruptible() as stop:
        for found in ask(planned(model, words, stop), perf_analyzer, concurrencies):
            if isinstance(found, Opinion):
                told = json.dumps(record.finite(record.dump(found))) if as_json else _row(found)
                click.echo(told)


def _row(found: "Opinion") -> str:
    spans_s = (found.ours_p50_s, found.theirs_p50_s, found.ours_p99_s, found.theirs_p99_s)
    figures = (found.ours_hz, found.theirs_hz, *(1e3 * span_s for span_s in spans_s))
    row = f"{found.concurrency:>9}" + "".join(f"{figure:>9.1f}" for figure in figures)
    low, high = found.ratio.low - 1, found.ratio.high - 1
    known = "" if math.isnan(low) else f" ({low:+.1%} … {high:+.1%})"
    return f"{row}{found.ratio.value - 1:>+9.1%}{known}"


@main.command()
@click.argument("model")
@flags.repository_flag
@flags.url_flag
@click.option(
    "--window-s", type=Parsed(seconds), default=4.0, metavar="SECONDS", help="Of each measurement."
)
@click.option(
    "--out",
    type=flags.FOLDER,
    default="loadtest/results",
    help="Folder, in which one is made that is named by machine and date.",
)
def bench(*, model: str, repository: Path, url: str, window_s: float, out: Path) -> None:
    """Measure MODEL by every scenario and beside its bare engine, for one page with everything.

    \b
    Examples:
      nonesuch-loadtest bench portraits
      nonesuch-loadtest bench portraits --window-s 20 --out results
    """
    from nonesuch_loadtest.bench import Suite
    from nonesuch_loadtest.bench import bench as measure
    from nonesuch_loadtest.hardware import hardware, nickname

    folder = out / f"{nickname(hardware())}-{datetime.date.today().isoformat()}"
    with interruptible() as stop:
        suite = Suite(
            model=model,
            url=url,
            repository=repository,
            command=flags.command_line(),
            window_s=window_s,
            stop=stop,
        )
        found = drawn(measure(suite))
    save(found, folder)
    click.echo(folder / "report.html")
    end(found.values())


@main.command()
@click.argument("model")
@flags.repository_flag
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Of MODEL; needed for other engines and precisions.",
)
@click.option("--engines", type=Parsed(flags.words), metavar="LIST", help=_NOW)
@click.option("--precisions", type=Parsed(flags.words), metavar="LIST", help=_NOW)
@click.option("--max-batches", type=Parsed(flags.counts), metavar="LIST", help=_NOW)
@click.option("--instances", type=Parsed(flags.counts), metavar="LIST", help=_NOW)
@click.option(
    "--delays-us",
    type=Parsed(functools.partial(flags.counts, least=0)),
    metavar="LIST",
    help="Microseconds for which a request waits for others.  [default: as it is now]",
)
@click.option("--concurrency", type=click.IntRange(1), default=4, help="Of each measurement.")
@flags.request_flags
@flags.time_flags
@flags.objective_flag()
@click.option("--write", is_flag=True, help="Give the model in --repository the best, and say why.")
@flags.out_flags
def sweep(*, model: str, write: bool, out: Path | None, as_json: bool, **given: Any) -> None:
    """Try configurations of MODEL, every combination of the lists, each on a server of its own.

    The best makes most images per second, without failures and, where one is given, within the
    objective. What cannot be served on this machine is told and left out.

    \b
    Examples:
      nonesuch-loadtest sweep portraits --instances 1,2 --max-batches 1,4,8
      nonesuch-loadtest sweep portraits --checkpoint demo/portraits.safetensors \\
          --engines onnxruntime,openvino --objective 'p99<200ms' --write
    """
    from nonesuch_loadtest import sweep as sweeping

    tried = sweeping.Sweep(
        model=model,
        repository=given["repository"],
        checkpoint=given["checkpoint"],
        arguments=flags.again(given, ("concurrency", *flags.MEASURED)),
    )
    axes = sweeping.Axes(**{f.name: given[f.name] or () for f in fields(sweeping.Axes)})
    choices = axes.choices(sweeping.now(tried.repository, model))
    found = []
    for choice, said in sweeping.measure(tried, choices):
        click.echo(_told(choice, said), err=True)
        if not isinstance(said, str):
            found.append((choice, said))
    if not found:
        raise SetupError("none of these configurations can be served here")
    result = sweeping.joined(found)
    show([result], as_json=as_json)
    save({"result": result}, out)
    if not result.answer:
        click.get_current_context().exit(1)
    if write:
        best = sweeping.Choice(**result.answer)
        sweeping.configure(tried, best, tried.repository, sweeping.reason(result))


def _told(choice: "Choice", said: "Result | str") -> str:
    from nonesuch_loadtest.words import setting

    rate = said if isinstance(said, str) else f"{said.points[0].total.rate_hz:.1f} images/s"
    return f"{setting(asdict(choice))}: {rate}"


for command in (compare, report):
    main.add_command(command)


if __name__ == "__main__":
    main()
