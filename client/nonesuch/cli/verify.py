"""`nonesuch verify`: whether files are pictures by nonesuch, as they were made."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from nonesuch import embedding
from nonesuch.cli.options import connected
from nonesuch.client import Client
from nonesuch.errors import ProvenanceError, printable
from nonesuch.provenance import Mark
from nonesuch.signature import Signature
from nonesuch.verification import Again, Finding, examine

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_LONG, _HASH = 40, 12  # characters of a setting and of a hash that are shown


@click.command()
@click.argument("files", type=_FILE, nargs=-1, required=True, metavar="FILE...")
@click.option("--remake", is_flag=True, help="Have each picture made again, and compare.")
@click.option(
    "--trust",
    type=_FILE,
    metavar="PEM",
    show_default="any signature will do that is whole",
    help="Certificates to one of which a signature must go back.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per file.")
@connected
def verify(
    client: Client, files: tuple[Path, ...], remake: bool, trust: Path | None, as_json: bool
) -> None:
    """Tell of each FILE whether it is a picture by nonesuch, as it was made.

    It must say so in its XMP packet, and a signature must be whole if there is one. A mark can be
    copied to any picture: with --remake a server makes the picture of the recipe again. Lossless
    files must have the same pixels, but for one level of 255 in at most 0.1 % of the values; others
    may differ as encoders do, by 32 dB (PSNR) in the worst square of 16 by 16 pixels. Exit status 1
    if one file is none of ours.

    \b
    Examples:
      nonesuch verify out/*.jpg
      nonesuch verify out/seed00000003.png --remake --url localhost:8001
      nonesuch verify signed.jpg --trust root.pem --json | jq .signature.state
    """
    anchors = embedding.load(trust).decode("utf-8", "replace") if trust is not None else None
    again = _again(client) if remake else None
    accepted = True
    for path in files:
        finding = _examined(path, anchors, again)
        accepted = accepted and finding.ours
        click.echo(_object(path, finding) if as_json else "\n".join(_lines(path, finding)))
    if not accepted:
        raise SystemExit(1)


def _again(client: Client) -> Again:
    def again(recipe: Mapping[str, Any]) -> bytes:
        return client.remake(recipe).encoded or b""

    return again


def _examined(path: Path, anchors: str | None, again: Again | None) -> Finding:
    try:
        content = embedding.load(path)
    except ProvenanceError as exc:
        return Finding(problem=str(exc))
    return examine(content, anchors=anchors, again=again)


def _object(path: Path, finding: Finding) -> str:
    return json.dumps({"path": str(path), "ours": finding.ours, **asdict(finding)})


def _lines(path: Path, finding: Finding) -> Iterator[str]:
    yes = "yes" if finding.backed else "yes by its own words, neither signed nor made again"
    yield printable(f"{path}: {yes if finding.ours else f'no, {finding.problem}'}")
    if finding.mark is not None:
        source = (finding.mark.source_type or "not said").rpartition("/")[2]
        yield printable(f"  source     {source}, by {finding.mark.tool or 'it is not said what'}")
        yield printable(f"  recipe     {_told(finding.mark)}")
    if finding.signature is not None:
        yield printable(f"  signature  {_worth(finding.signature)}")
    if finding.remade is not None:
        what = "the same" if finding.remade.same else "not the same"
        yield f"  remade     {what}: {finding.remade.how}"


def _told(mark: Mark) -> str:
    if len(mark.recipes) == 1:
        return ", ".join(
            f"{name} {_short(value, _HASH if name.endswith('_hash') else _LONG)}"
            for name, value in mark.recipes[0].items()
        )
    models = ", ".join(sorted({_short(recipe.get("model")) for recipe in mark.recipes}))
    return f"of {len(mark.recipes)} pictures by {models}" if mark.recipes else "none"


def _short(value: Any, most: int = _LONG) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= most else f"{text[:most]}…"


def _worth(signed: Signature) -> str:
    said = {
        "none": "none",
        "unchecked": f"not checked, {signed.why}",
        "elsewhere": f"not in the file: {signed.why}",
        "trusted": f"valid, of a trusted signer: {signed.signer}",
        "untrusted": f"valid, of a signer not known to be trusted: {signed.signer}",
        "broken": f"broken: {signed.why}",
    }[signed.state]
    return f"{said} ({signed.generator})" if signed.generator else said
