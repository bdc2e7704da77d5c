"""`nonesuch audit`: how varied a model's pictures are, direction by direction."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from nonesuch import chart, variety
from nonesuch.cli.options import class_option, connected, truncation_option
from nonesuch.client import Client
from nonesuch.command import Parsed
from nonesuch.errors import InvalidRequest
from nonesuch.files import save
from nonesuch.images import format_of
from nonesuch.latents import Seeds, parse_seeds
from nonesuch.options import Truncation
from nonesuch.variety import Spread

_BLOCKS = " ▁▂▃▄▅▆▇█"


def chart_path(text: str) -> Path:
    """Read the name of the chart's file; raises InvalidRequest if it is no .png."""
    if format_of(Path(text)) != "png":
        raise InvalidRequest(f"charts are png files, and {text} is none by its name")
    return Path(text)


@click.command()
@click.argument("name")
@click.option(
    "--seeds", type=Parsed(parse_seeds), default="0-999", metavar="LIST", help="That are judged."
)
@truncation_option
@class_option
@click.option(
    "--out", type=Parsed(chart_path), metavar="FILE.png", help="Draw the spreads here as well."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per direction.")
@connected
def audit(  # noqa: PLR0913 (one parameter an option)
    client: Client,
    name: str,
    seeds: Seeds,
    truncation: Truncation | None,
    class_idx: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Show how the pictures of model NAME spread along each of its directions.

    In standard deviations over its untruncated pictures, with the shares of the lower, middle and
    upper third of an even spread. Scores are told from w; the pictures are not drawn.

    \b
    Examples:
      nonesuch audit portraits --truncation 0.7
      nonesuch audit portraits --seeds 0-4999 --out audit.png --json | jq .deviation
    """
    card = client.info(name)
    kept = variety.remaining(card, truncation)
    scores = client.scores(name, seeds, class_idx=class_idx) * kept
    spreads = list(variety.spreads(card, scores))
    if out is not None:
        used = truncation or Truncation(psi=card.psi, cutoff=card.cutoff)
        title = f"{name}, seeds {seeds}, psi {used.psi:g}"
        about = {"model": name, "model_hash": card.model_hash, "audit": str(seeds), "psi": used.psi}
        save(out, chart.png(spreads, title, about))
    if as_json:
        for spread in spreads:
            click.echo(json.dumps(asdict(spread)))
        return
    click.echo(_table(spreads))


def _table(spreads: Sequence[Spread]) -> str:
    width = max(len(spread.direction) for spread in spreads)
    bars = variety.BARS
    lines = [f"{'direction':<{width}}  {'mean':>5} {'dev.':>5}  {'-3 … 3':<{bars}}  thirds"]
    for one in spreads:
        highest = max(one.histogram)
        blocks = "".join(_BLOCKS[round(8 * share / highest)] for share in one.histogram)
        figures = f"{one.mean:>5.2f} {one.deviation:>5.2f}"
        lines.append(
            f"{one.direction:<{width}}  {figures}  {blocks}  {variety.percent(one.thirds)}"
        )
    return "\n".join(lines)
