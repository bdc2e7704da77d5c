"""Damaged files of every format are refused or read well: no crash, no code, no endless work.

The fast test tries the same few hundred files each time; the slow one thousands, others each time.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import GOLDEN
from tests.export import forge_rosinality, forge_tensorflow
from tests.export.forge import module, pickled, resaved, shaped
from tests.export.mutation import damaged, telling
from tests.export.test_network import SMALL
from tests.export.test_stylegan2tf import SMALL as TENSORFLOW

from nonesuch_export import network
from nonesuch_export.checkpoint import native

PLAIN = replace(SMALL, z_dim=20, mapping_widths=(20, 20), conv_clamp=None)
FORGED = (
    "protocol-2.pkl", "tensorflow-2.pkl", "training.pt", "legacy.pt", "resaved.pt",
    "native.safetensors",
)  # fmt: skip
NAMES = (*sorted(p.name for p in GOLDEN.iterdir() if p.suffix in {".pkl", ".pt"}), *FORGED)
MOST_BYTES = 2**30
QUICK, SLOW = 210 // len(NAMES) + 1, 16000 // len(NAMES) + 1  # files of each name


class Trials:
    """The other side of `tests.export.trial`."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process = process
        self._path = folder / "damaged"
        self.answer()  # it is ready

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the process for trials has ended"
        return json.loads(line)  # type: ignore[no-any-return]

    def __call__(self, blob: bytes) -> dict[str, Any]:
        assert self._process.stdin
        self._path.write_bytes(blob)
        self._process.stdin.write(f"{self._path}\n")
        self._process.stdin.flush()
        return self.answer()


@dataclass(frozen=True)
class Sound:
    """A file that reads well, and where in it damage tells."""

    path: Path

    @cached_property
    def blob(self) -> bytes:
        return self.path.read_bytes()

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        return telling(self.blob)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sound]:
    """A sound file of each name: the golden ones, and some in formats that they lack."""
    folder = tmp_path_factory.mktemp("sound")
    plain, other = shaped(PLAIN), shaped(PLAIN, seed=1)
    saved = forge_rosinality.saved
    (folder / "protocol-2.pkl").write_bytes(pickled(plain, protocol=2))
    ada = forge_tensorflow.stylegan2(**TENSORFLOW, synthesis_func=forge_tensorflow.ADA)
    (folder / "tensorflow-2.pkl").write_bytes(forge_tensorflow.pickled(ada, protocol=2))
    (folder / "resaved.pt").write_bytes(resaved({"G_ema": module(plain)}))
    (folder / "training.pt").write_bytes(saved(forge_rosinality.training(plain, other)))
    (folder / "legacy.pt").write_bytes(saved(forge_rosinality.converted(plain), legacy=True))
    native.write(network.freeze(plain, ""), folder / "native.safetensors")
    return {name: Sound((folder if name in FORGED else GOLDEN) / name) for name in NAMES}


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def trials(sound: dict[str, Sound], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "tests.export.trial",
        *(str(s.path) for s in sound.values()),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment()
    ) as process:
        yield Trials(process, tmp_path_factory.mktemp("damaged"))


@pytest.mark.parametrize("name", NAMES)
def test_sound_files_pass_the_trial(trials: Trials, sound: dict[str, Sound], name: str) -> None:
    assert trials(sound[name].blob)["end"] == "read"


_BAD_READERS = """
import json, os
from pathlib import Path
from tests.export import trial

def endless(_):
    while True: pass

readers = [
    lambda _: os.system("true"), lambda path: path.write_text("x"), lambda _: eval("1"),
    lambda _: os.abort(), endless, lambda _: bytearray(2**31), lambda _: {}[0],
]
for reader in readers:
    trial.read = reader
    print(json.dumps(trial.trial(Path("none"))))
"""


def test_a_trial_notices_what_a_reader_must_not_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BAD_READERS],
        capture_output=True, text=True, env=_environment(), cwd=tmp_path, check=True,
    )  # fmt: skip

    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert [end["end"] for end in ends] == ["did", "did", "did", "died", "died", "raised", "raised"]
    said = ("os.system", "open", "compile", "SIGABRT", "SIGPROF", "MemoryError", "KeyError")
    assert all(word in end["said"] for word, end in zip(said, ends, strict=True))


def _try(trials: Trials, sound: dict[str, Sound], name: str, data: st.DataObject) -> None:
    file, others = sound[name], [other.blob for other in sound.values()]

    found = trials(data.draw(damaged(file.blob, file.spans, others)))

    assert found["end"] in {"read", "refused"}, found["end"] + " " + found["said"]
    assert found["peak_bytes"] < MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=QUICK, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_damaged_files_are_refused_or_read(
    trials: Trials, sound: dict[str, Sound], name: str, data: st.DataObject
) -> None:
    _try(trials, sound, name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=SLOW, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_thousands_of_damaged_files_are_refused_or_read(
    trials: Trials, sound: dict[str, Sound], name: str, data: st.DataObject
) -> None:
    _try(trials, sound, name, data)
