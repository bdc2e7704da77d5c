"""`nonesuch` as tests run it, and programs in an interpreter of their own.

That has this checkout's client and nothing more.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

import nonesuch

Run = Callable[..., Result]  # of `nonesuch`, in this process

# A runner in the background hands on that Ctrl-C is ignored; a terminal does not.
COMMAND = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from nonesuch.cli import main; main()"
)

_PATH = str(Path(nonesuch.__file__).parents[1])


def start(
    code: str, *words: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
) -> "subprocess.Popen[str]":
    """Start a program; warnings are errors there as well, and its output is buffered."""
    return subprocess.Popen(
        [sys.executable, "-B", "-W", "error", "-c", code, *words],
        env={**os.environ, "PYTHONPATH": _PATH, "PYTHONUNBUFFERED": ""},
        stdout=stdout,
        stderr=stderr,
        text=True,
    )


def python(
    code: str, *words: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end, at most a minute."""
    with start(code, *words, stdout=stdout, stderr=stderr) as program:
        out, err = program.communicate(timeout=60)
    return subprocess.CompletedProcess(words, program.returncode, out, err)
