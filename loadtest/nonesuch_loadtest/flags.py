"""The options that the commands share, and what they come to: a scenario and a target."""

import functools
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nonesuch.command import Parsed, seconds
from nonesuch.errors import InvalidRequest
from nonesuch_loadtest.scenario import KINDS, Objective, Request, Scenario

if TYPE_CHECKING:  # the extra need not be there for a look at the help
    from nonesuch_loadtest.point import Observed
    from nonesuch_loadtest.target import Spec

C = TypeVar("C", bound=Callable[..., Any])
Given = Mapping[str, Any]  # options by name; None where one was left out

_NUMBER = r"\d+(?:\.\d+)?"
_OBJECTIVE = re.compile(rf"p(?P<percentile>{_NUMBER})<(?P<limit>{_NUMBER})(?P<unit>ms|s)")


def objective(text: str) -> Objective:
    """Read `p99<200ms`; raises InvalidRequest for what is none.

    >>> objective("p99.9<1.5s")
    Objective(percentile=99.9, limit_s=1.5)
    """
    if not (found := _OBJECTIVE.fullmatch(text.replace(" ", ""))):
        raise InvalidRequest(f"cannot read {text!r}, expected an objective as in 'p99<200ms'")
    limit_s = float(found["limit"]) / (1000 if found["unit"] == "ms" else 1)
    return Objective(percentile=float(found["percentile"]), limit_s=limit_s)


def numbers(text: str) -> tuple[float, ...]:
    """Read `10,20,40`; raises InvalidRequest for what is none.

    >>> numbers("0.5,2")
    (0.5, 2.0)
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InvalidRequest(f"cannot read {text!r}, expected numbers as in 10,20,40") from None


def counts(text: str, least: int = 1) -> tuple[int, ...]:
    """Read `1,4,16`; raises InvalidRequest for what is none.

    >>> counts("1,4,16")
    (1, 4, 16)
    """
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) >= least for part in parts):
        raise InvalidRequest(
            f"cannot read {text!r}, expected whole numbers from {least} on, as in 1,4,16"
        )
    return tuple(int(part) for part in parts)


def words(text: str) -> tuple[str, ...]:
    """Read `fp32,bf16`; raises InvalidRequest where one is empty.

    >>> words("fp32,bf16")
    ('fp32', 'bf16')
    """
    if not all(found := text.split(",")):
        raise InvalidRequest(f"cannot read {text!r}, expected words as in fp32,bf16")
    return tuple(found)


def _together(*options: Callable[[C], C]) -> Callable[[C], C]:
    """One decorator of several, which stand in the help in this order."""
    return lambda command: functools.reduce(lambda c, option: option(c), options[::-1], command)


_span = functools.partial(click.option, type=Parsed(seconds), metavar="SECONDS")
_path = click.Path(path_type=Path, exists=True, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False, writable=True)

batch_flag = click.option(
    "--batch", type=click.IntRange(1), help="Pictures in a request.  [default: 1]"
)
request_flags = _together(
    batch_flag,
    click.option(
        "--format",
        type=click.Choice(["jpeg", "png", "webp", "raw"]),
        help="Of the pictures.  [default: jpeg]",
    ),
    click.option("--quality", type=click.IntRange(1, 100), help="For jpeg and webp."),
    click.option("--psi", type=float, help="Truncation.  [default: the card's]"),
)
time_flags = _together(
    click.option(
        "--warmup-s",
        type=click.FloatRange(0),
        metavar="SECONDS",
        help="Sent before the measured time, kept apart; 0 for none.  [default: 2]",
    ),
    _span("--window-s", help="Length of each measured window.  [default: 10]"),
    click.option("--windows", type=click.IntRange(1), help="How many.  [default: 3]"),
    _span("--timeout-s", help="For each request.  [default: 60]"),
    click.option("--seed", type=click.IntRange(0), help="Of the schedule.  [default: 1]"),
)
kind_flags = _together(
    click.option(
        "--scenario", "kind", type=click.Choice(KINDS), help="See above.  [default: closed]"
    ),
    click.option(
        "--file",
        type=_path,
        help="A scenario in TOML, docs/loadtest.md; other options go before what it says.",
    ),
    click.option("--rate-hz", type=float, help="server: requests per second."),
    click.option("--concurrency", type=int, help="closed: requests under way at once."),
    click.option("--count", type=int, help="offline: requests in a burst; a window is a burst."),
    click.option(
        "--rates-hz", type=Parsed(numbers), metavar="LIST", help="ramp: as server at 10,20,40."
    ),
    click.option(
        "--concurrencies", type=Parsed(counts), metavar="LIST", help="ramp: as closed with 1,4,16."
    ),
    click.option("--log", type=_path, help="replay: JSON lines of requests, docs/loadtest.md."),
    click.option("--speed", type=float, help="replay: 2 = twice as fast.  [default: 1]"),
)
objective_flag = functools.partial(
    click.option,
    "--objective",
    type=Parsed(objective),
    metavar="pN<TIME",
    help="What is fast enough, as p99<200ms or p90<1.5s.",
)
url_flag = click.option(
    "--url",
    default="localhost:8001",
    envvar="NONESUCH_URL",
    show_envvar=True,
    metavar="HOST:PORT",
    help="The server's gRPC address.",
)
repository_flag = click.option(
    "--repository",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default="model_repository",
    help="Where MODEL and its engine are, on this machine.",
)
name_flag = click.option("--name", help="What a report calls it.  [default: model and scenario]")
out_flags = _together(
    click.option("--out", type=FOLDER, help="Folder for result and report."),
    click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object."),
)
server_flags = _together(
    url_flag,
    click.option(
        "--transport",
        type=click.Choice(["grpc", "grpc-shm", "http"]),
        default="grpc",
        help="grpc-shm: raw pixels through this machine's memory.",
    ),
    click.option(
        "--http-url",
        default="localhost:8000",
        envvar="NONESUCH_HTTP_URL",
        show_envvar=True,
        metavar="HOST:PORT",
        help="The server's HTTP address, for that transport.",
    ),
    click.option(
        "--style",
        type=click.Choice(["aio", "sync"]),
        default="aio",
        help="One event loop, or a thread for each open request.",
    ),
    click.option(
        "--server-pid",
        type=int,
        help="Whose CPU and memory to watch.  [default: who listens at --url, on this machine]",
    ),
)
driver_flags = _together(
    click.option("--processes", type=click.IntRange(1), default=1, help="Of the driver."),
    click.option(
        "--force", is_flag=True, help="Measure even where the driver's own ceiling is near."
    ),
)


def scenario(given: Given, model: str | None) -> Scenario:
    """What a command line asks for; raises InvalidRequest for what is no scenario.

    Options go before what `--file` says, and the model goes where no request names its own.
    """
    from nonesuch_loadtest import record

    found = given.get("file")
    raw: dict[str, Any] = read_toml(found) if found else {"kind": given.get("kind") or "closed"}
    for name in (field.name for field in fields(Scenario)):
        if given.get(name) is not None:
            raw[name] = record.dump(given[name])
    if "log" in raw:
        raw["log"] = str(raw["log"])
    if raw["kind"] == "closed":
        raw.setdefault("concurrency", 1)
    changed = {f.name: given[f.name] for f in fields(Request) if given.get(f.name) is not None}
    requests = [{**request, **changed} for request in raw.get("requests", [{}])]
    raw["requests"] = [{"model": model or "", **request} for request in requests]
    return _named(record.load(Scenario, raw), model)


def target(given: Given, scenario: Scenario) -> "tuple[Spec, Observed]":
    """Where to send the requests, and whom to look at meanwhile.

    Raises InvalidRequest where the target and the scenario do not fit together.
    """
    import psutil

    from nonesuch_loadtest import asking
    from nonesuch_loadtest.bare import Engine
    from nonesuch_loadtest.point import NOBODY, Observed
    from nonesuch_loadtest.served import Served

    models = list(dict.fromkeys(request.model for request in scenario.requests))
    if repository := given.get("repository"):
        if len(models) > 1:
            raise InvalidRequest(f"one engine runs one model, the scenario has {len(models)}")
        checkpoint = given.get("checkpoint")
        found = (
            Engine.eager(repository, models[0], checkpoint)
            if checkpoint
            else Engine.find(repository, models[0])
        )
        for request in scenario.requests:  # nobody else says what the model cannot do
            asking.ask(request, 0, {models[0]: found.card})
        return found, NOBODY
    if given.get("checkpoint"):
        raise InvalidRequest("a checkpoint alone has no card, give the --repository of its model")
    served = Served.find(
        given["url"],
        models,
        transport=given["transport"],
        style=given["style"],
        http_url=given["http_url"],
    )
    if (pid := given["server_pid"]) is not None and not psutil.pid_exists(pid):
        raise InvalidRequest(f"server_pid is {pid}, but no such process runs on this machine")
    return served, Observed.server(given["url"], models, pid)


def read_toml(path: Path) -> dict[str, Any]:
    """A scenario's file; raises InvalidRequest where it is no TOML."""
    try:
        return {"kind": "closed", **tomllib.loads(path.read_text(encoding="utf-8"))}
    except (OSError, ValueError) as exc:
        raise InvalidRequest(f"cannot read {path}: {exc}") from exc


def _named(scenario: Scenario, model: str | None) -> Scenario:
    """With the requests of its log, if it has one; every request must name a model."""
    from nonesuch_loadtest.schedule import logged

    if scenario.kind == "replay":
        scenario = replace(scenario, requests=logged(Path(scenario.log or ""), model or ""))
    if not all(request.model for request in scenario.requests):
        raise InvalidRequest("a request names no model; give MODEL")
    return scenario


def command_line() -> str:
    """What was typed, to be typed again."""
    return shlex.join(["nonesuch-loadtest", *sys.argv[1:]])


# What `sweep` hands on to `run`.
MEASURED = (
    "batch", "format", "quality", "psi", "warmup_s", "window_s", "windows", "timeout_s", "seed",
    "objective",
)  # fmt: skip


def again(given: Given, names: tuple[str, ...]) -> tuple[str, ...]:
    """Options as they would be typed, those of these names that were given."""
    found = [(name, given[name]) for name in names if given.get(name) is not None]
    return tuple(f"--{name.replace('_', '-')}={_typed(value)}" for name, value in found)


def _typed(value: Any) -> str:
    if isinstance(value, Objective):
        return f"p{value.percentile:g}<{value.limit_s:g}s"
    return str(value)
