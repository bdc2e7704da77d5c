"""docs/commands.md: the help of every command, as the programs print it.

`python -m tests.commands > docs/commands.md` writes it anew; a test compares the two.
"""

import sys
from collections.abc import Iterator

import click
from click.testing import CliRunner

from nonesuch.cli import main as client
from nonesuch_export.cli import main as export
from nonesuch_loadtest.cli import main as loadtest
from nonesuch_server.cli import main as server

PROGRAMS: dict[str, click.Group] = {
    "nonesuch": client,
    "nonesuch-export": export,
    "nonesuch-server": server,
    "nonesuch-loadtest": loadtest,
}


def page() -> str:
    """The whole page in Markdown."""
    return "\n".join(["# The commands", "", "As `--help` prints them.", "", *_sections()])


def _sections() -> Iterator[str]:
    for program, group in PROGRAMS.items():
        for words in paths(group):
            yield from (f"## {' '.join([program, *words])}", "", "```")
            yield _help(program, group, words)
            yield from ("```", "")


def paths(group: click.Group) -> Iterator[list[str]]:
    """The words that lead to a group itself and to all its commands."""
    yield []
    for name, command in sorted(group.commands.items()):
        inner = paths(command) if isinstance(command, click.Group) else iter([[]])
        yield from ([name, *words] for words in inner)


def _help(program: str, group: click.Group, words: list[str]) -> str:
    run = CliRunner(env={"NONESUCH_URL": None, "COLUMNS": "100"})
    done = run.invoke(group, [*words, "--help"], prog_name=program, terminal_width=100)
    assert done.exit_code == 0, done.output
    return done.stdout.rstrip()


if __name__ == "__main__":
    sys.stdout.write(page())
