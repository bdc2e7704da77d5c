"""`nonesuch-export` as people and scripts use it."""

import json
import os
import pickle
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.commands import paths
from tests.conftest import GOLDEN, Golden
from tests.export import forge
from tests.export.test_network import SMALL
from tests.export.test_unpickle import Calls

from nonesuch_export import network
from nonesuch_export.checkpoint import native
from nonesuch_export.cli import main


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


def test_inspect_says_what_the_file_is(golden: Golden) -> None:
    done = run("inspect", golden.path, "--json")

    facts = json.loads(done.stdout)
    assert done.exit_code == 0
    assert facts["family"] == "stylegan2"
    assert facts["resolution"] == golden["img_psi1_const"].shape[-1]
    assert facts["num_ws"] == facts["noise_layers"] + 1 == golden["ws_psi07"].shape[1]
    assert facts["unusual"] == []
    assert len(facts["sha256"]) == len(facts["model_hash"]) == 64


def test_inspect_for_people_names_what_is_unusual(tmp_path: Path) -> None:
    path = tmp_path / "deep.pkl"
    config: dict[str, Any] = {"architecture": "resnet", "use_noise": False}
    path.write_bytes(forge.pickled(forge.shaped(replace(SMALL, **config))))

    done = run("inspect", path)

    assert "architecture is resnet, usually skip" in done.stdout
    assert "the layers have no noise" in done.stdout


def test_words_of_a_file_show_as_escapes(tmp_path: Path) -> None:
    path = tmp_path / "attack.safetensors"
    made = network.freeze(forge.shaped(SMALL), "", about="\x1b]0;owned\x07\x9b2J", licence="a\nb")
    native.write(made, path)

    done = run("inspect", path)

    assert r"\x1b]0;owned\x07\x9b2J" in done.stdout
    assert r"a\nb" in done.stdout
    assert done.stdout.replace("\n", "").isprintable()


def test_convert_writes_a_file_that_inspects_the_same(golden: Golden, tmp_path: Path) -> None:
    out = tmp_path / "faces.safetensors"

    assert run("convert", golden.path, out).exit_code == 0

    one, two = (json.loads(run("inspect", p, "--json").stdout) for p in (golden.path, out))
    assert {k: one[k] for k in one if k not in {"file", "format", "sha256"}} == {
        k: two[k] for k in two if k not in {"file", "format", "sha256"}
    }


def test_build_prints_the_models_and_json_the_card(tmp_path: Path) -> None:
    done = run(
        "build", GOLDEN / "sg2_cond_32.pkl", "--name", "c", "--repository", tmp_path, "--json"
    )

    built = json.loads(done.stdout)
    assert done.exit_code == 0
    assert built["c_dim"] == 10
    assert built["parity"]["passed"]
    assert sorted(built["models"]) == sorted(str(p) for p in tmp_path.iterdir())


def test_parity_prints_a_table_and_a_verdict(golden: Golden) -> None:
    done = run("parity", golden.path, "--seeds", "0-4")

    assert done.exit_code == 0
    assert "psi 0.7" in done.stdout
    assert "onnxruntime fp32: within tolerance" in done.stdout


def test_parity_with_another_models_engine_is_a_no(tmp_path: Path) -> None:
    run("build", GOLDEN / "sg2_uncond_64.pkl", "--name", "x", "--repository", tmp_path)
    engine = tmp_path / "x_generator" / "1" / "model.onnx"
    other = tmp_path / "other.safetensors"
    run("convert", GOLDEN / "sg2_uncond_64.pkl", other)
    other.write_bytes(_nudged(other.read_bytes()))

    done = run("parity", other, "--engine-file", engine, "--json")

    assert done.exit_code == 1
    assert json.loads(done.stdout)["passed"] is False


def _nudged(blob: bytes) -> bytes:
    """The same safetensors file with some weights halved (an exponent bit less)."""
    body = bytearray(blob)
    for place in range(len(body) // 2 | 3, len(body) - 4, 4000):
        body[place] ^= 0x01
    return bytes(body)


def _without(name: str) -> bytes:
    generator = forge.shaped(SMALL)
    module = forge.module(generator)
    synthesis = module.meta["state"]["_modules"]["synthesis"].meta["state"]
    block = synthesis["_modules"]["b8"].meta["state"]
    del block["_modules"]["conv0"].meta["state"]["_parameters"][name]
    return forge.pickled(generator, G_ema=module)


_BAD: dict[str, tuple[bytes, str]] = {
    "no pickle": (b"hello, I am a text file\n", "neither a pickle nor a safetensors file"),
    "truncated": (forge.pickled(forge.shaped(SMALL))[:5000], "damaged or cut short"),
    "os.system": (pickle.dumps(Calls(os.system, "true")), f"names {os.system.__module__}.system"),
    "unknown class": (pickle.dumps({"G_ema": Fraction(1, 3)}), "names fractions.Fraction"),
    "missing bias": (_without("bias"), "tensor synthesis.b8.conv0.bias is missing"),
    "missing weight": (_without("weight"), "tensor synthesis.b8.conv0.weight is missing"),
}


@pytest.mark.parametrize("command", ["inspect", "convert", "build", "parity"])
@pytest.mark.parametrize("kind", _BAD)
def test_a_bad_file_is_one_sentence_exit_1_and_nothing_written(
    command: str, kind: str, tmp_path: Path
) -> None:
    blob, message = _BAD[kind]
    file = tmp_path / "bad.pkl"
    file.write_bytes(blob)
    more: dict[str, list[object]] = {
        "convert": [tmp_path / "out"],
        "build": ["--name", "x", "--repository", tmp_path],
    }

    done = run(command, file, *more.get(command, []))

    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert "bad.pkl" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["bad.pkl"]


def test_an_engine_of_another_shape_is_refused(tmp_path: Path) -> None:
    run("build", GOLDEN / "sg2_cond_32.pkl", "--name", "c", "--repository", tmp_path)

    for model in ("c_generator", "c_mapping"):
        engine = tmp_path / model / "1" / "model.onnx"
        done = run("parity", GOLDEN / "sg2_uncond_64.pkl", "--engine-file", engine)
        assert done.exit_code == 1
        assert done.stderr.startswith("Error: ")
        assert len(done.stderr.splitlines()) == 1


def test_a_build_that_is_ended_leaves_nothing(tmp_path: Path) -> None:
    code = "from nonesuch_export.cli import main; main()"
    words = ["build", str(GOLDEN / "sg2_uncond_64.pkl"), "--name", "x"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words, "--repository", str(tmp_path)],
        env={"PYTHONPATH": ":".join(p for p in sys.path if p)},
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not list(tmp_path.glob(".build-*")):
        time.sleep(0.05)
    time.sleep(1)

    process.terminate()

    assert process.wait(30) == 143
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["--resolution", "100"],
        ["--channel-base", "1"],
        ["--channel-max", "0"],
        ["--classes", "-1"],
        ["--seed", "99999999999999999999"],
    ],
)
def test_random_weights_of_no_possible_size_are_misuse(words: list[str], tmp_path: Path) -> None:
    assert run("random", tmp_path / "r.safetensors", *words).exit_code == 2
    assert not list(tmp_path.iterdir())


def test_misuse_exits_2() -> None:
    assert run("build", GOLDEN / "sg2_cond_32.pkl").exit_code == 2
    assert run("build", GOLDEN / "sg2_cond_32.pkl", "--name", "a/b").exit_code == 2
    assert run("parity", GOLDEN / "sg2_cond_32.pkl", "--seeds", "7-1").exit_code == 2


def test_random_weights_have_the_size_that_was_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "r.safetensors"

    done = run("random", out, "--resolution", 32, "--channel-max", 16, "--classes", 3)

    facts = json.loads(run("inspect", out, "--json").stdout)
    assert done.exit_code == 0
    assert (facts["resolution"], facts["c_dim"], facts["w_dim"]) == (32, 3, 512)


@pytest.mark.parametrize("command", [" ".join(words) for words in paths(main) if words])
def test_every_command_has_help_with_two_examples(command: str) -> None:
    text = run(*command.split(), "--help").stdout

    assert text.count(f"nonesuch-export {command} ") >= 2
