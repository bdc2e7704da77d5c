"""`nonesuch sample`: seeds in asked proportions."""

import json

import click

from nonesuch import balance
from nonesuch.balance import Balance, Draw
from nonesuch.cli.options import class_option, connected, truncation_option
from nonesuch.cli.output import watched
from nonesuch.client import Client
from nonesuch.command import Parsed
from nonesuch.latents import Seeds
from nonesuch.options import Truncation
from nonesuch.variety import percent


@click.command()
@click.argument("name")
@click.option(
    "--balance",
    "balances",
    type=Parsed(Balance.parse),
    multiple=True,
    required=True,
    metavar="DIRECTION[=SHARE,…]",
    help="From the lowest scores to the highest, by default in equal thirds; repeatable.",
)
@click.option("--count", default=32, metavar="N", help="Seeds that are wanted.")
@click.option("--from", "first", default=0, metavar="SEED", help="The first that is looked at.")
@click.option(
    "--most",
    type=click.IntRange(min=1),
    metavar="N",
    show_default=f"{balance.MOST} for each that is wanted",
    help="Seeds to look at before giving up.",
)
@truncation_option
@class_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@connected
def sample(  # noqa: PLR0913 (one parameter an option)
    client: Client,
    name: str,
    balances: tuple[Balance, ...],
    count: int,
    first: int,
    most: int | None,
    truncation: Truncation | None,
    class_idx: int | None,
    as_json: bool,
) -> None:
    """Find seeds of model NAME such that they follow asked shares along a direction.

    The classes along a direction have equal width; an even spread of the attribute would fill
    them equally. Standard output is a list of seeds, as `nonesuch generate --seeds` reads it.

    \b
    Examples:
      nonesuch sample portraits --balance skin --count 600
      nonesuch sample portraits --balance glasses=1,1 --balance smile --truncation 0.7
    """
    draw = Draw(
        client,
        name,
        balances,
        count=count,
        first=first,
        most=most,
        truncation=truncation,
        class_idx=class_idx,
    )
    seeds = Seeds.of(watched(draw, count))
    shares = {b.direction: (draw.natural(b), draw.reached(b)) for b in balances}
    if as_json:
        found = {"seeds": list(seeds), "looked_at": draw.looked_at, "acceptance": draw.acceptance}
        told = {name: {"natural": a, "balanced": b} for name, (a, b) in shares.items()}
        click.echo(json.dumps(found | {"shares": told}))
        return
    click.echo(str(seeds))
    click.echo(f"{count} of {draw.looked_at} seeds kept ({draw.acceptance:.0%})", err=True)
    for direction, (natural, reached) in shares.items():
        click.echo(f"{direction}: {percent(natural)}, balanced {percent(reached)}", err=True)
