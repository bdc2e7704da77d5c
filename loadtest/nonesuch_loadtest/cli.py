"""The command `nonesuch-loadtest`."""

import json
from pathlib import Path

import click

from nonesuch.command import CommandGroup, Parsed, seconds


@click.group(cls=CommandGroup, extra="loadtest")
@click.version_option(package_name="nonesuch", message="%(version)s")
def main() -> None:
    """Measure generators: images per second, served and bare."""


@main.command()
@click.argument("model")
@click.option(
    "--engine",
    "engine_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The engine file of the same model, to be run in this process.",
)
@click.option(
    "--url",
    default="localhost:8001",
    envvar="NONESUCH_URL",
    show_envvar=True,
    metavar="HOST:PORT",
    help="The server's gRPC address.",
)
@click.option("--callers", type=click.IntRange(1), default=16, help="Requests under way at once.")
@click.option(
    "--window-s",
    type=Parsed(seconds),
    default=20.0,
    metavar="SECONDS",
    help="Length of each measurement.",
)
@click.option("--rounds", type=click.IntRange(1), default=3, help="How often the two take turns.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compare(  # noqa: PLR0913 (one parameter an option)
    *,
    model: str,
    engine_file: Path,
    url: str,
    callers: int,
    window_s: float,
    rounds: int,
    as_json: bool,
) -> None:
    """Compare MODEL, served as JPEG at saturation, with its bare engine on this machine.

    \b
    Examples:
      nonesuch-loadtest compare faces --engine model_repository/faces_generator/1/model.onnx
      nonesuch-loadtest compare faces --engine model.onnx --rounds 5 --json | jq .ratio
    """
    from nonesuch import Format
    from nonesuch_loadtest.compare import compare as take_turns
    from nonesuch_loadtest.target import Bare, Served

    bare = Bare(engine_file)
    with Served(url, model, Format(name="jpeg")) as served:
        for result in take_turns(bare, served, callers=callers, window_s=window_s, rounds=rounds):
            latest = result.rounds[-1]
            click.echo(
                f"bare {latest.bare_hz:.2f}, served {latest.served_hz:.2f} images/s, "
                f"ratio {latest.ratio:.3f}, {latest.failures} failed",
                err=True,
            )
    if as_json:
        click.echo(json.dumps(result.to_dict()))
        return
    size = f"{served.card.width}x{served.card.height}"
    click.echo(f"{model} {size}, {served.card.engine} {served.card.precision}, medians:")
    click.echo(f"  bare engine, batch {result.batch}: {result.bare_hz:.2f} images/s")
    click.echo(f"  served as JPEG, {callers} callers: {result.served_hz:.2f} images/s")
    click.echo(f"  ratio: {result.ratio:.3f}")


if __name__ == "__main__":
    main()
