"""The command `nonesuch-server`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from nonesuch.command import CommandGroup, Parsed, seconds
from nonesuch.errors import SetupError
from nonesuch_server import packages
from nonesuch_server.doctor import examine
from nonesuch_server.embedded import Embedded
from nonesuch_server.interpreter import find_interpreter
from nonesuch_server.listen import Listen
from nonesuch_server.preflight import check
from nonesuch_server.runtime import Runtime
from nonesuch_server.watch import Watch

_FETCHED_MB = 220  # by a runtime
_LOOK_S = 1.0  # between looks at the server's processes
_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)


def cache_folder() -> Path:
    """Return where prepared runtimes lie by default: `nonesuch` in the user's cache folder."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG rule: a path that is not absolute does not count.
    return (Path(named) if named.startswith("/") else Path.home() / ".cache") / "nonesuch"


def _runtime_options(command: Callable[..., Any]) -> Callable[..., Any]:
    folder = click.option(
        "--runtime",
        "cache",
        type=_FOLDER,
        default=cache_folder,
        show_default="~/.cache/nonesuch",
        help="Folder for prepared runtimes.",
    )
    python = click.option(
        "--python",
        type=_FILE,
        show_default="the running one, else python3.12 or python3.11",
        help="Interpreter of the served models.",
    )
    return folder(python(command))


def _listen_options(command: Callable[..., Any]) -> Callable[..., Any]:
    ports = (("metrics", 8002), ("http", 8000), ("grpc", 8001))
    for name, port in ports:
        command = click.option(
            f"--{name}-port", default=port, help=f"Port of {name}; 0 = any free one."
        )(command)
    return click.option("--host", default="127.0.0.1", help="IPv4 address to listen on.")(command)


@click.group(cls=CommandGroup)
def main() -> None:
    """Serve a model repository with a real Triton on this machine."""


@main.command()
@click.option("--repository", type=_FOLDER, default="model_repository", help="Models to serve.")
@_listen_options
@click.option("--ready-file", type=_FILE, help="JSON of addresses and pid, there while ready.")
@_runtime_options
@click.option(
    "--timeout-s",
    type=Parsed(seconds),
    default=60.0,
    metavar="SECONDS",
    help="Until every model must be ready.",
)
@click.option("--log", "log_file", type=_FILE, help="Keep Triton's log in this file.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
def run(  # noqa: PLR0913 - an argument for each option
    *,
    repository: Path,
    host: str,
    grpc_port: int,
    http_port: int,
    metrics_port: int,
    ready_file: Path | None,
    cache: Path,
    python: Path | None,
    timeout_s: float,
    log_file: Path | None,
    command: tuple[str, ...],
) -> None:
    """Serve until Ctrl-C or SIGTERM.

    The requests at hand are still finished. A model whose process dies is loaded again. With a
    COMMAND behind `--`, serve only while it runs; it finds the server's addresses in NONESUCH_URL
    (gRPC) and NONESUCH_HTTP_URL, and its exit status becomes ours.

    \b
    Examples:
      nonesuch-server run --repository model_repository
      nonesuch-server run --grpc-port 0 --http-port 0 --metrics-port 0 -- python client.py
    """
    listen = Listen(host=host, grpc_port=grpc_port, http_port=http_port, metrics_port=metrics_port)
    needed = packages.of(check(repository))  # before anything is fetched
    runtime = _prepared(cache, python, needed)
    _catch_signals()
    with Embedded(repository, runtime, listen, timeout_s=timeout_s, log_file=log_file) as server:
        _show(server, on_stderr=bool(command))
        # Before anyone is told: a process that dies unseen would never be missed.
        watch = Watch(server.pid, server.listen.grpc)
        with _ready(server, ready_file):
            status = _run_beside(command, server, watch) if command else _serve(server, watch)
    sys.exit(status)


@main.command()
@click.option(
    "--repository",
    type=_FOLDER,
    help="Models to serve; those on a GPU need more.  [default: any on a CPU]",
)
@_runtime_options
def prepare(repository: Path | None, cache: Path, python: Path | None) -> None:
    """Fetch what `run` needs, and print its folder.

    \b
    Examples:
      nonesuch-server prepare
      nonesuch-server prepare --runtime /opt/nonesuch --python /usr/bin/python3.12
    """
    needed = packages.of(check(repository)) if repository else ()
    click.echo(_prepared(cache, python, needed).folder)


@main.command()
@_listen_options
@_runtime_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per check.")
def doctor(  # noqa: PLR0913 - an argument for each option
    *,
    host: str,
    grpc_port: int,
    http_port: int,
    metrics_port: int,
    cache: Path,
    python: Path | None,
    as_json: bool,
) -> None:
    """Look for what `run` would lack here.

    Each line says what was found and, where it is not enough, the mend; then the exit is 1.

    \b
    Examples:
      nonesuch-server doctor
      nonesuch-server doctor --grpc-port 9001 --json
    """
    listen = Listen(host=host, grpc_port=grpc_port, http_port=http_port, metrics_port=metrics_port)
    lacking = False
    for found in examine(cache, python, listen):
        lacking |= not found.ok
        if as_json:
            click.echo(json.dumps(asdict(found)))
        else:
            mend = "" if found.ok else f"; {found.mend}"
            click.echo(f"{'ok  ' if found.ok else 'LACK'}  {found.name}: {found.found}{mend}")
    sys.exit(int(lacking))


def _prepared(cache: Path, python: Path | None, needed: tuple[str, ...]) -> Runtime:
    runtime = Runtime(cache.absolute(), find_interpreter(python), needed)
    if not runtime.ready:
        more = f", and {', '.join(needed)}" if needed else ""
        size = f"about {_FETCHED_MB} MB to fetch{more}"
        click.echo(f"Preparing {runtime.folder}, once ({size}).", err=True)
        runtime.prepare()
    return runtime


class _Signalled(KeyboardInterrupt):
    """Raised in the main thread by a signal that asks us to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def _raise(number: int, _frame: FrameType | None) -> NoReturn:
    raise _Signalled(number)


def _catch_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, _raise)


def _show(server: Embedded, *, on_stderr: bool) -> None:
    address = server.listen
    click.echo(
        f"grpc {address.grpc}  http {address.http}  metrics {address.metrics}", err=on_stderr
    )
    for model in server.models:
        click.echo(f"{model.name} {model.version}", err=on_stderr)


@contextmanager
def _ready(server: Embedded, path: Path | None) -> Iterator[None]:
    if path is None:
        yield
        return
    address = server.listen
    ready = {"grpc": address.grpc, "http": address.http, "metrics": address.metrics}
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(json.dumps(ready | {"pid": os.getpid()}), encoding="utf-8")
        aside.replace(path)
    except OSError as exc:
        raise SetupError(f"cannot write {path}: {exc.strerror}; name another file") from exc
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _serve(server: Embedded, watch: Watch) -> int:
    with suppress(_Signalled):
        while True:
            server.wait(_LOOK_S)
            _heal(watch)
    click.echo("Finishing the requests at hand; Ctrl-C again ends them.", err=True)
    return 0


def _heal(watch: Watch) -> None:
    for model in watch.fallen():
        click.echo(f"The process of model '{model}' is gone; loading the model again.", err=True)
        watch.heal(model)


def _run_beside(command: Sequence[str], server: Embedded, watch: Watch) -> int:
    addresses = {"NONESUCH_URL": server.listen.grpc, "NONESUCH_HTTP_URL": server.listen.http}
    try:
        process = subprocess.Popen(command, env={**os.environ, **addresses})
    except OSError as exc:
        raise SetupError(f"cannot run {command[0]}: {exc.strerror}; look at its path") from exc
    try:
        status = _await_command(process, server, watch)
    finally:
        process.kill()  # only where an exception broke off the wait; else it has ended
        process.wait()
    return 128 - status if status < 0 else status


def _await_command(process: "subprocess.Popen[bytes]", server: Embedded, watch: Watch) -> int:
    try:
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_S)
            server.wait(0)
            _heal(watch)
    except _Signalled as exc:
        if exc.number != signal.SIGINT:  # the terminal's Ctrl-C has reached the command as well
            process.send_signal(exc.number)
    return process.wait()


if __name__ == "__main__":
    main()
