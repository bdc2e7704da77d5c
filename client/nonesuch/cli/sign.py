"""`nonesuch sign`: signatures for files that were made here."""

import time
from pathlib import Path

import click

from nonesuch import embedding, provenance, signature
from nonesuch.errors import ProvenanceError
from nonesuch.files import save
from nonesuch.signature import Signer

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.argument("files", type=_FILE, nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--cert",
    type=_FILE,
    required=True,
    metavar="PEM",
    help="The signer's certificate, and those above it up to a trusted one.",
)
@click.option(
    "--key", type=_FILE, required=True, metavar="PEM", help="Its private key, without passphrase."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    show_default="in place",
    help="For the signed files.",
)
def sign(files: tuple[Path, ...], cert: Path, key: Path, out: Path | None) -> None:
    """Sign each FILE that nonesuch wrote, by C2PA: jpeg, png, webp, gif or mp4.

    The signature says that a generator made the picture, and breaks when anything of the file is
    changed. Files that do not say so themselves are refused.

    \b
    Examples:
      nonesuch sign out/seed00000003.jpg --cert chain.pem --key key.pem
      nonesuch sign out/*.png --cert chain.pem --key key.pem --out signed
    """
    signer = Signer(embedding.load(cert), embedding.load(key))
    spent_s = 0.0
    for path in files:
        content = _ours(path)
        start_s = time.monotonic()
        signed = signer.sign(content)
        spent_s += time.monotonic() - start_s
        save(path if out is None else out / path.name, signed)
    what = "1 file" if len(files) == 1 else f"{len(files)} files"
    click.echo(f"{what} signed, {spent_s / len(files) * 1000:.1f} ms each", err=True)


def _ours(path: Path) -> bytes:
    """The file's bytes; raises ProvenanceError where a signature would say what is not so."""
    content = embedding.load(path)
    try:
        packet = embedding.find(content)
        mark = provenance.parse(packet) if packet else provenance.Mark()
    except ProvenanceError as exc:
        raise ProvenanceError(f"cannot sign {path}: {exc}") from exc
    if not (mark.synthetic and mark.recipes):
        raise ProvenanceError(f"cannot sign {path}: it does not say that nonesuch generated it")
    if signature.check(content).state != "none":
        raise ProvenanceError(f"cannot sign {path}: it has a signature")
    return content
