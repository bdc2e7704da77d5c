"""Preparing the runtime in an empty folder, interrupted, by two processes, and without network."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nonesuch.errors import SetupError
from nonesuch_server import Runtime, find_interpreter
from nonesuch_server.runtime import unpack

pytestmark = pytest.mark.triton
_PREPARE = [
    *(sys.executable, "-c", "from nonesuch_server.cli import main; main()"),
    *("prepare", "--runtime"),
]


@pytest.fixture(scope="module")
def prepared(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Runtime, list[tuple[int, str, str]]]:
    """A runtime that was interrupted once, then prepared by two processes at the same time."""
    cache = tmp_path_factory.mktemp("cache")
    runtime = Runtime(cache, find_interpreter())
    interrupted = _start(cache)
    while not list(cache.glob(".triton-*/venv")):
        time.sleep(0.01)
    interrupted.kill()
    interrupted.communicate()
    assert not runtime.ready
    both = [_start(cache), _start(cache)]
    said = [process.communicate(timeout=120) for process in both]
    return runtime, [(p.returncode, *s) for p, s in zip(both, said, strict=True)]


def _start(cache: Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        [*_PREPARE, str(cache)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_prepare_one_runtime_and_say_no_more_than_where(
    prepared: tuple[Runtime, list[tuple[int, str, str]]],
) -> None:
    runtime, ended = prepared

    said = f"Preparing {runtime.folder}, once (about 220 MB to fetch).\n"
    assert ended == [(0, f"{runtime.folder}\n", said)] * 2
    assert runtime.ready
    assert [path for path in runtime.cache.iterdir() if path.is_dir()] == [runtime.folder]


def test_the_environment_works_where_it_was_moved_to(
    prepared: tuple[Runtime, list[tuple[int, str, str]]],
) -> None:
    runtime, _ = prepared
    code = "import numpy, onnxruntime, PIL, sys; print(numpy.__version__, sys.prefix)"

    said = subprocess.check_output([runtime.python, "-I", "-c", code], text=True)

    assert said == f"1.26.4 {runtime.folder}/venv\n"
    assert runtime.missing_libraries() == []


def test_another_interpreter_or_another_folder_is_another_runtime(tmp_path: Path) -> None:
    interpreter = find_interpreter()
    here = Runtime(tmp_path, interpreter)
    newer = type(interpreter)(path=interpreter.path, version="3.12.99", library=interpreter.library)

    assert Runtime(tmp_path, newer).folder.name != here.folder.name
    assert Runtime(tmp_path / "other", interpreter).folder.name == here.folder.name


def test_pip_without_an_index_is_told_in_its_words_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": "", "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    runtime = Runtime(tmp_path, find_interpreter())

    with pytest.raises(SetupError, match=r"No matching distribution found for numpy==1\.26\.4"):
        runtime.prepare()

    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_wheel_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "nvidia_pytriton.whl"
    wheel.write_bytes(b"something else")

    with pytest.raises(SetupError, match=r"has SHA-256 [0-9a-f]{64}, expected 21f063ff"):
        unpack(wheel, tmp_path / "wheel")

    assert not (tmp_path / "wheel").exists()


def _as_script(folder: Path, answer: str) -> Path:
    script = folder / "python"
    script.write_text(f"#!/bin/sh\necho '{answer}'\n", encoding="utf-8")
    script.chmod(0o755)
    return script


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(
            '["3.13.1", "/usr/lib", true]', "is Python 3.13.1, expected 3.11 or", id="3.13"
        ),
        pytest.param('["3.12.1", "", true]', "has no shared libpython3.12", id="static"),
        pytest.param('["3.12.1", "/usr/lib", false]', "lacks the module venv", id="no venv"),
        pytest.param("pyenv: no such version", "does not run", id="shim"),
    ],
)
def test_an_interpreter_that_does_not_fit_is_refused(
    tmp_path: Path, answer: str, said: str
) -> None:
    with pytest.raises(SetupError, match=said):
        find_interpreter(_as_script(tmp_path, answer))


def test_a_cache_folder_that_cannot_be_made_is_named(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SetupError, match=r"cannot prepare the server in .*: Not a directory"):
        Runtime(tmp_path / "file/cache", find_interpreter()).prepare()
