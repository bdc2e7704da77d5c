"""What another load generator says is put beside what we say."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.loadtest.conftest import SERIAL_S

from nonesuch_loadtest.cli import main
from nonesuch_server import Embedded

# What perf_analyzer leaves behind, of a server that makes 40 pictures a second.
_TABLE = "Concurrency,Inferences/Second,p50 latency,p99 latency\\n2,40.0,100000,105000\\n"

pytestmark = pytest.mark.triton


def program(folder: Path, text: str) -> Path:
    path = folder / "perf_analyzer"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def asked(server: Embedded, path: Path) -> list[str]:
    words = ["crosscheck", "serial", "--url", server.listen.grpc, "--perf-analyzer", str(path)]
    words += ["--concurrencies", "2", "--batch", "2", "--windows", "1", "--window-s", "1.5"]
    return [*words, "--json"]


def test_both_opinions_stand_side_by_side(timed: Embedded, tmp_path: Path) -> None:
    told = tmp_path / "words"
    path = program(
        tmp_path,
        f'echo "$@" > {told}\nwhile [ "$1" != -f ]; do shift; done\nprintf \'{_TABLE}\' > "$2"',
    )

    done = CliRunner().invoke(main, [*asked(timed, path), "--warmup-s", "0.3"])

    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["concurrency"], found["theirs_hz"], found["theirs_p99_s"]) == (2, 20.0, 0.105)
    assert found["ours_hz"] == pytest.approx(1 / SERIAL_S, rel=0.15)
    assert found["ours_p50_s"] >= SERIAL_S
    assert f"-m serial -u {timed.listen.grpc} -i grpc" in told.read_text(encoding="utf-8")


def test_a_program_that_fails_is_told_in_its_own_words(timed: Embedded, tmp_path: Path) -> None:
    path = program(tmp_path, "echo 'error: no such model' >&2; exit 99")

    done = CliRunner().invoke(main, [*asked(timed, path), "--warmup-s", "0"])

    assert done.exit_code == 3
    assert "perf_analyzer ended with 99: error: no such model" in done.stderr
