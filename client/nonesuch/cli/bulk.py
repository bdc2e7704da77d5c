"""`nonesuch bulk`: a set of pictures on disk, whole whatever happens."""

import time
from pathlib import Path

import click

from nonesuch.balance import Balance, Draw
from nonesuch.bulk.manifest import KINDS, Kind, Row
from nonesuch.bulk.plan import LAYOUTS, PRESETS, SHARD, Layout, Plan, Preset
from nonesuch.bulk.report import told
from nonesuch.bulk.run import PATIENCE_S, Bulk
from nonesuch.bulk.vary import Vary
from nonesuch.cli.options import encoded, mixed, pictured, seeds_option, several
from nonesuch.cli.output import watched
from nonesuch.client import Client
from nonesuch.command import Parsed, seconds
from nonesuch.latents import Seeds
from nonesuch.options import Format, FormatName, Sample, Settings


@click.command()
@click.argument("name")
@seeds_option(required=False, help="Each once.")
@click.option(
    "--balance",
    "balances",
    type=Parsed(Balance.parse),
    multiple=True,
    metavar="DIRECTION[=SHARE,…]",
    help="Instead of seeds: find them, as `nonesuch sample` does; repeatable.",
)
@click.option("--count", default=1000, metavar="N", help="Seeds that are found so.")
@click.option(
    "--out", type=click.Path(path_type=Path), default="set", metavar="DIR", help="For the set."
)
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    default="shards",
    help="Tars as WebDataset reads them, or a file for each picture.",
)
@click.option(
    "--shard-size", type=int, default=SHARD, metavar="N", help="Pictures that are kept together."
)
@click.option(
    "--manifest", "kind", type=click.Choice(KINDS), default="jsonl", help="Parquet needs pyarrow."
)
@pictured
@mixed
@click.option(
    "--vary",
    "ranges",
    type=Parsed(Vary.parse),
    multiple=True,
    metavar="NAME=LOW..HIGH",
    help="Draw a setting for each seed: psi, noise_scale, noise_seed, class or a direction; "
    "repeatable.",
)
@encoded("jpeg, with a preset png")
@click.option(
    "--batch",
    type=int,
    metavar="N",
    show_default="on CPUs 1 beside others, up to 4 alone; else all that a run takes",
    help="Pictures in a request.",
)
@click.option(
    "--preset",
    type=click.Choice(PRESETS),
    help="texture: a normal map and mips beside each; character: a crop, and grids of them.",
)
@click.option("--contact", is_flag=True, help="Contact sheets, and index.html to leaf through.")
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the set in DIR, and refuse to begin one.",
)
@click.option("--dedupe", is_flag=True, help="Leave out what looks like an earlier picture.")
@click.option(
    "--patience-s",
    type=Parsed(seconds),
    default=PATIENCE_S,
    metavar="SECONDS",
    help="To wait while no server answers.",
)
@click.option(
    "--ray", metavar="ADDRESS", help="Make the shards on the nodes of a Ray cluster; auto: on this."
)
@several
def bulk(  # noqa: PLR0913 (one parameter an option)
    urls: tuple[str, ...],
    timeout_s: float,
    name: str,
    seeds: Seeds | None,
    balances: tuple[Balance, ...],
    count: int,
    out: Path,
    layout: Layout,
    shard_size: int,
    kind: Kind,
    settings: Settings,
    ranges: tuple[Vary, ...],
    format_name: FormatName | None,
    quality: int | None,
    batch: int | None,
    preset: Preset | None,
    contact: bool,
    resume: bool,
    dedupe: bool,
    patience_s: float,
    ray: str | None,
) -> None:
    """Make a set of pictures of model NAME in DIR, one for each seed.

    The same command goes on where it ended, for whatever reason, and ends with the same files; with
    --resume it does that alone.
    Requests of others come first. With several --url the servers share the work.

    \b
    Examples:
      nonesuch bulk portraits --seeds 0-9999 --out crowd --vary psi=0.5..0.9
      nonesuch bulk bricks --seeds 0-999 --preset texture --layout files --out bricks
      nonesuch bulk portraits --balance skin --count 600 --contact --out people
    """
    if (seeds is None) == (not balances):
        raise click.UsageError("give either --seeds or --balance, and not both")
    plan = Plan(
        model=name,
        seeds=seeds or _drawn(urls[0], name, balances, count, settings),
        like=Sample(seed=0, **settings),
        ranges=ranges,
        format=Format(name=format_name or ("png" if preset else "jpeg"), quality=quality),
        layout=layout,
        shard_size=shard_size,
        batch=batch,
        preset=preset,
        contact=contact,
        dedupe=dedupe,
        balances=balances,
    )
    start_s = time.monotonic()
    with Bulk(
        plan,
        out,
        urls,
        timeout_s=timeout_s,
        patience_s=patience_s,
        kind=kind,
        ray=ray,
        resume=resume,
    ) as making:
        made = _work_off(making, start_s)
    if making.report is not None:
        click.echo(told(making.report), err=True)
    for url, pictures in making.shares.items() if len(urls) > 1 else ():
        click.echo(f"{url}: {pictures} pictures", err=True)
    rate_hz = made / (time.monotonic() - start_s)
    click.echo(
        f"{len(making)} seeds in {out}, {made} made now, {rate_hz:.1f} pictures per second",
        err=True,
    )
    if making.missing:
        click.echo(f"Error: {making.missing} are missing; the same command tries again", err=True)
        raise SystemExit(1)


def _drawn(
    url: str, name: str, balances: tuple[Balance, ...], count: int, settings: Settings
) -> Seeds:
    """Seeds in the shares that are asked for."""
    with Client(url) as client:
        draw = Draw(
            client,
            name,
            balances,
            count=count,
            truncation=settings.get("truncation"),
            class_idx=settings.get("class_idx"),
        )
        return Seeds.of(sorted(draw))


def _work_off(making: Bulk, start_s: float) -> int:
    """Make what is not there; returns how many pictures that were."""
    made = 0

    def shown(_: Row | None) -> str:
        rate_hz = made / (time.monotonic() - start_s)
        return f"{rate_hz:.1f}/s, {making.missing} missing"

    for row in watched(making, len(making), there=making.there, shown=shown):
        made += _told(row)
    return made


def _told(row: Row) -> bool:
    """Name a seed without a picture; returns whether there is one."""
    if row.missing:
        click.echo(f"seed {row.seed}: {row.error}", err=True)
    return not row.missing
