"""The command line against a real server: what it prints, writes and ends with."""

import json
import os
import pty
import re
import signal
from pathlib import Path

import grpc
import numpy as np
import pytest
from tests.client.peer import Faults, Peer, card, draw
from tests.client.shell import COMMAND, Run, python, start

from nonesuch.cli import main
from nonesuch.images import decode, grid


def test_generate_writes_a_file_for_each_seed(run: Run, peer: Peer) -> None:
    result = run("generate", "dots", "--seeds", "0-2,42", "--format", "png", "--url", peer.url)

    files = {path.name: decode(path.read_bytes()) for path in Path("out").iterdir()}
    assert result.exit_code == 0
    assert sorted(files) == [f"seed{seed:08d}.png" for seed in (0, 1, 2, 42)]
    assert (files["seed00000042.png"] == draw(42, card())).all()


def test_generate_ends_with_one_line_that_says_what_was_done(run: Run, peer: Peer) -> None:
    result = run("generate", "dots", "--seeds", "0-2", "--out", "here", "--url", peer.url)

    assert result.stdout == ""
    assert re.fullmatch(r"3 pictures in here, [\d.]+ images per second\n", result.stderr)


def test_a_grid_holds_all_pictures(run: Run, peer: Peer) -> None:
    words = ("--seeds", "0-4", "--format", "png", "--grid", "sheets/all.png", "--url", peer.url)

    result = run("generate", "dots", *words)

    expected = grid([draw(seed, card()) for seed in range(5)])
    assert (decode(Path("sheets/all.png").read_bytes()) == expected).all()
    assert "5 pictures in out, grid sheets/all.png" in result.stderr


def test_a_grid_of_grey_webp_is_grey(run: Run) -> None:
    words = ("--seeds", "0-4", "--format", "webp", "--grid", "all.png")
    with Peer(card(channels=1)) as peer:
        result = run("generate", "dots", *words, "--url", peer.url)

    assert result.exit_code == 0, result.stderr
    assert decode(Path("all.png").read_bytes()).shape == (12, 24, 1)


def test_a_grid_that_cannot_hold_the_pictures_is_refused_before_the_work(run: Run) -> None:
    words = ("--seeds", "0-4", "--format", "png", "--grid", "all.jpg")
    with Peer(card(channels=4)) as peer:
        result = run("generate", "dots", *words, "--url", peer.url)

    said = "Error: jpeg has no transparency, choose png or webp\n"
    assert (result.exit_code, result.stderr) == (2, said)
    assert peer.requests == []
    assert not Path("out").exists()


def test_json_prints_one_object_a_picture(run: Run, peer: Peer) -> None:
    result = run("generate", "dots", "--seeds", "7-8", "--json", "--url", peer.url)

    first, second = map(json.loads, result.stdout.splitlines())
    assert list(first) == ["seed", "path", "recipe"]
    assert (first["seed"], second["path"]) == (7, "out/seed00000008.jpg")
    assert first["recipe"]["model_hash"] == "5eed"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(("--truncation", "0.5"), {"psi": 0.5, "cutoff": -1}, id="psi"),
        pytest.param(("--truncation", "0.5:2"), {"psi": 0.5, "cutoff": 2}, id="cutoff"),
        pytest.param(
            ("--truncation", "0.5", "--modes"), {"psi": 0.5, "cutoff": -1, "modes": 1}, id="modes"
        ),
        pytest.param(("--noise", "none"), {"noise_scale": 0}, id="no noise"),
        pytest.param(("--noise-seed", "3"), {"noise_seed": 3}, id="other noise"),
        pytest.param(
            ("--mix-seed", "4", "--crossover", "1"),
            {"mix_seed": 4, "mix": [0, 1, 1, 1]},
            id="mix",
        ),
        pytest.param(
            ("--mix-seed", "4", "--mix-layers", "coarse"),
            {"mix_seed": 4, "mix_layers": "coarse"},
            id="mix by name",
        ),
        pytest.param(
            ("--mix-seed", "4", "--mix-shares", "0.5"),
            {"mix_seed": 4, "mix": 0.5},
            id="half-way to another",
        ),
        pytest.param(("--noise-layers", "2"), {"noise_layers": "2"}, id="noise layers"),
        pytest.param(("--noise-scale", "2"), {"noise_scale": 2}, id="noise scale"),
        pytest.param(
            ("--directions", "smile=-1"), {"directions": '{"smile": -1.0}'}, id="directions"
        ),
        pytest.param(("--class", "1"), {"class": 1}, id="class"),
        pytest.param(
            ("--translate", "1,2"), {"transform": [1, 0, -1, 0, 1, -2, 0, 0, 1]}, id="translate"
        ),
        pytest.param(("--rotate", "0"), {"transform": [1, 0, 0, 0, 1, 0, 0, 0, 1]}, id="rotate"),
        pytest.param(("--quality", "30"), {"quality": 30}, id="quality"),
        pytest.param(("--format", "webp"), {"format": "webp"}, id="format"),
    ],
)
def test_every_option_changes_the_recipe(
    run: Run, words: tuple[str, ...], expected: dict[str, object]
) -> None:
    labelled = card(c_dim=2, controls=("c", "transform", "modes", *card().controls))
    plain = {"model", "model_hash", "seed", "psi", "cutoff", "format", "quality"}
    with Peer(labelled) as peer:
        result = run("generate", "dots", "--seeds", "1", "--json", "--url", peer.url, *words)

    recipe = json.loads(result.stdout)["recipe"]
    assert recipe.items() >= expected.items()
    assert recipe.keys() == plain | expected.keys()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        pytest.param(("--seeds", "5-3"), 2, "write 3-5", id="seeds"),
        pytest.param((), 2, "give either --seeds or --codes", id="no seeds"),
        pytest.param(
            ("--seeds", "1", "--codes", "pyproject.toml"), 2, "does not exist", id="codes"
        ),
        pytest.param(("--seeds", "1", "--modes"), 2, "modes go with a truncation", id="modes"),
        pytest.param(("--seeds", "1", "--truncation", "11"), 2, "psi is 11.0", id="psi"),
        pytest.param(("--seeds", "1", "--truncation", "1:9"), 2, "cutoff is 9", id="cutoff"),
        pytest.param(("--seeds", "1", "--class", "1"), 2, "dots is unconditional", id="class"),
        pytest.param(("--seeds", "1", "--rotate", "9"), 2, "takes no transform", id="rotate"),
        pytest.param(("--seeds", "1", "--translate", "9"), 2, "expected X,Y", id="translate"),
        pytest.param(
            ("--seeds", "1", "--crossover", "1"), 2, "goes with one of mix layers", id="half a mix"
        ),
        pytest.param(
            ("--seeds", "1", "--format", "png", "--quality", "9"), 2, "loses nothing", id="quality"
        ),
        pytest.param(
            ("--seeds", "1", "--noise", "none", "--noise-seed", "1"),
            2,
            "noise none takes no noise seed",
            id="noise",
        ),
        pytest.param(("--seeds", "1", "--grid", "a.gif"), 2, "format of a.gif", id="grid"),
        pytest.param(("--seeds", "1", "--url", "http://h:1"), 2, "HOST:PORT", id="url"),
        pytest.param(("--seeds", "1", "--url", "h:99999"), 2, "is 99999, expected 1", id="port"),
        pytest.param(("--seeds", "1", "--timeout-s", "0"), 2, "timeout_s is 0", id="timeout"),
        pytest.param(("--seeds", "1", "--url", "127.0.0.1:1"), 3, "127.0.0.1:1: ", id="nobody"),
        pytest.param(("--seeds", "666"), 1, "out of paint", id="failed inside"),
        pytest.param(("--seeds", "667"), 2, "unlucky", id="refused by the server"),
        pytest.param(
            ("--seeds", "668", "--timeout-s", "0.3"), 3, "no answer within 0.3 s", id="too slow"
        ),
    ],
)
def test_what_cannot_be_done_ends_with_its_status_and_one_sentence(
    run: Run, words: tuple[str, ...], status: int, said: str
) -> None:
    faults = Faults(
        delay_s=lambda seed: 5.0 if seed == 668 else 0.0,
        refused={
            666: (grpc.StatusCode.INTERNAL, "out of paint"),
            667: (grpc.StatusCode.INVALID_ARGUMENT, "seed 667 is unlucky"),
        },
    )
    with Peer(faults=faults) as peer:
        result = run("generate", "dots", "--url", peer.url, *words)

    assert result.exit_code == status
    assert said in result.stderr.splitlines()[-1]
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert result.stdout == ""
    assert not Path("out").exists()


def test_a_model_that_is_not_there_ends_with_1_and_the_names(run: Run, peer: Peer) -> None:
    result = run("generate", "dolls", "--seeds", "1", "--url", peer.url)

    assert result.exit_code == 1
    assert result.stderr == f"Error: {peer.url} has no model 'dolls'; it has: dots\n"


def test_the_address_may_stand_in_the_environment(
    run: Run, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NONESUCH_URL", peer.url)

    assert run("generate", "dots", "--seeds", "1").exit_code == 0


def test_info_of_a_model_shows_its_card(run: Run, peer: Peer) -> None:
    result = run("info", "dots", "--url", peer.url)

    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["family"] == "stylegan2"
    assert lines["noise_resolutions"] == "4 8 8"
    assert lines["cutoff"] == lines["licence"] == "-"


def test_info_lists_the_models(run: Run) -> None:
    with Peer(card("dots"), card("digits", c_dim=10)) as peer:
        result = run("info", "--url", peer.url)
        as_json = run("info", "--url", peer.url, "--json")

    assert result.stdout == "digits: stylegan2, 8x6, 10 classes\ndots: stylegan2, 8x6\n"
    assert [json.loads(line)["name"] for line in as_json.stdout.splitlines()] == ["digits", "dots"]


def test_info_of_a_server_without_models_says_so(run: Run, peer: Peer) -> None:
    peer.cards.clear()

    result = run("info", "--url", peer.url)

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{peer.url} has no model that is ready\n"


def test_the_version_is_told(run: Run) -> None:
    assert run("--version").stdout.startswith("nonesuch, version ")


def test_every_command_has_help_with_examples(run: Run) -> None:
    for name in main.commands:
        text = run(name, "--help").stdout
        assert text.count(f"  nonesuch {name}") >= 2


FULL_DISK = """
import resource, sys
from nonesuch.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
main(sys.argv[1:])
"""


def test_a_full_disk_ends_with_1_and_leaves_nothing_half_written(
    peer: Peer, tmp_path: Path
) -> None:
    words = ("generate", "dots", "--seeds", "0-9", "--url", peer.url, "--out", str(tmp_path))

    run = python(FULL_DISK, *words)

    said = f"Error: cannot write {tmp_path}/seed00000000.jpg: File too large\n"
    assert (run.returncode, run.stderr) == (1, said)
    assert list(tmp_path.iterdir()) == []


def test_results_that_standard_output_refuses_end_with_1_in_a_sentence(
    peer: Peer, tmp_path: Path
) -> None:
    words = ("generate", "dots", "--seeds", "0-2", "--json", "--url", peer.url)

    with Path("/dev/full").open("w") as full:
        run = python(COMMAND, *words, "--out", str(tmp_path), stdout=full.fileno())

    said = "Error: cannot write to standard output: No space left on device\n"
    assert (run.returncode, run.stderr) == (1, said)


def test_a_reader_that_leaves_ends_the_command_without_a_word(peer: Peer) -> None:
    ours, theirs = os.pipe()
    os.close(ours)

    run = python(COMMAND, "info", "--url", peer.url, stdout=theirs)

    os.close(theirs)
    assert (run.returncode, run.stderr) == (1, "")


def test_the_module_runs_as_a_program() -> None:
    run = python("import runpy; runpy.run_module('nonesuch.cli', run_name='__main__')", "--version")

    assert run.stdout.startswith("nonesuch, version ")


def test_pictures_that_came_before_a_failure_are_kept_whole(run: Run) -> None:
    faults = Faults(
        delay_s=lambda seed: 0.3 if seed == 9 else 0.0,
        refused={9: (grpc.StatusCode.INTERNAL, "out of paint")},
    )
    with Peer(card(max_batch=1), faults=faults) as peer:
        result = run("generate", "dots", "--seeds", "0-9", "--format", "png", "--url", peer.url)

    assert result.exit_code == 1
    assert len(list(Path("out").iterdir())) == 9
    assert all(np.any(decode(path.read_bytes())) for path in Path("out").iterdir())


def test_progress_is_drawn_on_a_terminal_only(peer: Peer, tmp_path: Path) -> None:
    words = ("generate", "dots", "--seeds", "0-9", "--url", peer.url, "--out", str(tmp_path))
    ours, theirs = pty.openpty()

    run = python(COMMAND, *words, stderr=theirs)

    drawn = os.read(ours, 100_000).decode()
    os.close(ours)
    os.close(theirs)
    assert run.returncode == 0
    assert "10/10" in drawn
    assert drawn.splitlines()[-1].startswith(f"10 pictures in {tmp_path}")


def test_an_interrupt_ends_the_command_at_once() -> None:
    words = ("generate", "dots", "--seeds", "0-9", "--url")
    faults = Faults(delay_s=lambda _seed: 8.0)
    with Peer(faults=faults) as peer, start(COMMAND, *words, peer.url) as command:
        peer.busy(requests=4)
        command.send_signal(signal.SIGINT)
        status = command.wait(timeout=5)
        peer.settled()

    assert status == 1
    assert peer.cancelled == len(peer.requests)
