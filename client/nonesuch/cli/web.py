"""`nonesuch web`: the page, the studio and the HTTP API."""

import importlib
import os
import socket
from contextlib import suppress
from typing import Any

import click

from nonesuch.cli.options import timeout_option, url_option
from nonesuch.command import Parsed
from nonesuch.controls import parse_number
from nonesuch.errors import InvalidRequest, SetupError
from nonesuch.options import Connection

_GRACE_S = 3  # for what is under way, when it ends


def rate(text: str) -> float:
    """Read a rate for `Parsed`; raises InvalidRequest for what is none."""
    if not 1 <= (rate_hz := parse_number(text)) <= 1e6:
        raise InvalidRequest(f"the rate is {text}, expected 1 to 1000000 pictures a second")
    return rate_hz


@click.command()
@url_option
@timeout_option
@click.option("--model", metavar="NAME", show_default="the first", help="To be shown first.")
@click.option("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0 = any.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, help="0 = any free one.")
@click.option(
    "--in-flight",
    type=click.IntRange(1, 1024),
    default=4,
    help="Requests that the server behind gets at once; others wait here.",
)
@click.option(
    "--client-rate",
    type=Parsed(rate),
    default=60.0,
    metavar="RATE",
    help="Pictures a second that each client may have drawn.",
)
def web(  # noqa: PLR0913 (one parameter an option)
    *,
    url: str,
    timeout_s: float,
    model: str | None,
    host: str,
    port: int,
    in_flight: int,
    client_rate: float,
) -> None:
    """Serve a page that shows faces, a studio with every control, and an HTTP API.

    Runs until Ctrl-C or SIGTERM; docs/web.md describes them.

    \b
    Examples:
      nonesuch web
      nonesuch web --url gpu.example:8001 --model portraits --host 0.0.0.0 --port 80
    """
    app, uvicorn = _needed("nonesuch.web.app"), _needed("uvicorn")
    to = Connection(url=url, timeout_s=timeout_s, in_flight=in_flight)
    service = app.Service(to=to, model=model, rate_hz=client_rate)
    config = uvicorn.Config(
        app.application(service),
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=_GRACE_S,
    )
    with _listening(host, port) as listener:
        click.echo(f"http://{_shown(host)}:{listener.getsockname()[1]}/")
        with suppress(KeyboardInterrupt):  # it has ended well, and hands Ctrl-C on
            uvicorn.Server(config).run(sockets=[listener])


def _needed(module: str) -> Any:
    """A module of the extra, loaded here: the other commands do without it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("nonesuch"):
            raise
        raise SetupError(f"{exc.name} is not installed; pip install 'nonesuch[web]'") from exc


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as exc:
        said = os.strerror(exc.errno) if exc.errno else str(exc)
        raise SetupError(
            f"cannot listen on {host}:{port}: {said}; choose another --port or --host"
        ) from exc


def _shown(host: str) -> str:
    return "localhost" if host in {"0.0.0.0", "127.0.0.1", ""} else host
