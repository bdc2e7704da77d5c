"""The commands that read results: `compare` judges two, `report` makes a page of many."""

import json
from pathlib import Path

import click

from nonesuch.command import Parsed
from nonesuch.errors import InvalidRequest

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def share(text: str) -> float:
    """Read a share for `Parsed`, as "5%"; raises InvalidRequest for what is none."""
    try:
        value = float(text.removesuffix("%")) / 100
    except ValueError:
        value = -1.0
    if not text.endswith("%") or not 0 <= value < 1:
        raise InvalidRequest(f"{text} is no share, expected one from 0% to below 100%, as 5%")
    return value


@click.command()
@click.argument("a", type=_FILE, metavar="A")
@click.argument("b", type=_FILE, metavar="B")
@click.option(
    "--regression",
    type=Parsed(share),
    default="5%",
    metavar="SHARE",
    help="By how much a figure of B may be worse.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compare(*, a: Path, b: Path, regression: float, as_json: bool) -> None:
    """Judge result file B against A: ratios of their figures, with intervals of 95 %.

    Ends with 1 if a throughput or percentile of B is worse by more than --regression and the
    interval of the ratio leaves no doubt that it is worse at all, or if more requests failed.
    What is worse without such certainty is called unclear: measure longer.

    \b
    Examples:
      nonesuch-loadtest compare before/result.json after/result.json
      nonesuch-loadtest compare before.json after.json --regression 2% --json | jq .worse
    """
    from nonesuch_loadtest import regression as judging
    from nonesuch_loadtest import text
    from nonesuch_loadtest.result import read

    old, new = read(a), read(b)
    found = judging.judge(old, new, regression)
    for line in text.caveats(old, new):
        click.echo(line, err=True)
    if as_json:
        click.echo(json.dumps(found.to_dict()))
    else:
        for line in text.judgement(found):
            click.echo(line)
    if found.worse:
        click.get_current_context().exit(1)


@click.command()
@click.argument("results", type=_FILE, nargs=-1, required=True, metavar="RESULT...")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    help="The page; Markdown if it ends in .md.",
)
def report(*, results: tuple[Path, ...], out: Path) -> None:
    """Make one page of result files: tables and plots, with nothing from outside.

    \b
    Examples:
      nonesuch-loadtest report results/result.json
      nonesuch-loadtest report fp32.json fp16.json --out engines.html
    """
    from nonesuch_loadtest import page
    from nonesuch_loadtest.result import read

    page.save([read(path) for path in results], out)
    click.echo(out)
