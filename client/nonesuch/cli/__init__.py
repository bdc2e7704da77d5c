"""The command `nonesuch`: ask a server for pictures, from a shell. One command a module."""

import click

from nonesuch import __version__
from nonesuch.cli.audit import audit
from nonesuch.cli.bulk import bulk
from nonesuch.cli.dial import dial
from nonesuch.cli.generate import generate
from nonesuch.cli.info import info
from nonesuch.cli.mix import mix
from nonesuch.cli.morph import morph
from nonesuch.cli.sample import sample
from nonesuch.cli.sign import sign
from nonesuch.cli.verify import verify
from nonesuch.cli.w import w
from nonesuch.cli.web import web
from nonesuch.command import CommandGroup


@click.group(cls=CommandGroup)
@click.version_option(__version__, prog_name="nonesuch")
def main() -> None:
    """Pictures of things that do not exist, from a nonesuch server.

    Exit status: 0 done, 1 failed or no such model, 2 used wrongly, 3 the server cannot be reached
    or was too slow.
    """


for command in (audit, bulk, dial, generate, info, mix, morph, sample, sign, verify, w, web):
    main.add_command(command)
