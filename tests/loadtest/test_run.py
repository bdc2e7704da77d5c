"""The driver over every transport, and how a run ends."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.conftest import ServedGolden
from tests.loadtest.conftest import finish

from nonesuch_loadtest import result, triton
from nonesuch_loadtest.bare import Engine
from nonesuch_loadtest.cli import main
from nonesuch_loadtest.run import Plan, TooNear
from nonesuch_loadtest.scenario import Request, Scenario
from nonesuch_loadtest.served import Served, Style, Transport

SHORT = Scenario(kind="closed", concurrency=2, warmup_s=0.2, window_s=0.8, windows=2)


def over(served: ServedGolden, transport: Transport, style: Style, request: Request) -> Plan:
    spec = Served.find(
        served.url, ["faces"], transport=transport, style=style, http_url=served.http_url
    )
    scenario = replace(SHORT, requests=(request,))
    return Plan(scenario=scenario, spec=spec, name="faces", command="", ceiling_hz=1e4)


@pytest.mark.triton
@pytest.mark.parametrize(
    ("transport", "style"),
    [
        ("grpc", "sync"),
        ("grpc-shm", "aio"),
        ("grpc-shm", "sync"),
        ("http", "aio"),
        ("http", "sync"),
    ],
)
def test_pixels_come_over_every_transport(
    served: ServedGolden, transport: Transport, style: Style
) -> None:
    asked = over(served, transport, style, Request(model="faces", format="raw", batch=2))

    found = finish(asked)

    total = found.points[0].total
    assert total.failures == 0
    assert len(total.latency) > 1
    assert total.images == pytest.approx(2 * total.answered)
    assert total.bytes == pytest.approx(total.images * 64 * 64 * 3)


@pytest.mark.triton
def test_every_sort_of_a_mix_is_counted_apart(served: ServedGolden) -> None:
    sorts = (
        Request(share=1, model="faces", psi=0.5, noise="random", mix_layers="fine"),
        Request(share=1, model="classes", class_idx=3, batch=3, format="png", priority="bulk"),
    )
    plan = Plan(
        scenario=replace(SHORT, kind="offline", concurrency=None, count=24, requests=sorts),
        spec=Served.find(served.url, ["faces", "classes"]),
        name="mixed",
        command="",
        ceiling_hz=1e4,
    )

    (point,) = finish(plan).points

    one, three = point.by_request
    assert one.images + three.images == pytest.approx(point.total.images)
    assert one.images == pytest.approx(len(one.latency))
    assert three.images == pytest.approx(3 * len(three.latency))
    assert len(one.latency) + len(three.latency) == 48  # two bursts


def test_an_engine_here_makes_pictures_and_their_rate_is_told(
    repository: Path, tmp_path: Path
) -> None:
    scenario = replace(SHORT, requests=(Request(model="faces", batch=2),))
    spec = Engine.find(repository, "faces")

    found = finish(Plan(scenario=scenario, spec=spec, name="bare", command=""))

    assert found.target.kind == "engine"
    assert found.target.models[0].engine == "onnxruntime"
    assert found.points[0].total.rate_hz > 1
    assert found.ceiling_hz
    assert found.ceiling_hz > 5 * found.points[0].total.requests_hz
    result.write(found, tmp_path / "result.json")
    assert result.read(tmp_path / "result.json") == found


def test_a_rate_near_the_drivers_ceiling_is_refused(repository: Path) -> None:
    scenario = replace(SHORT, kind="server", concurrency=None, rate_hz=1e5)
    scenario = replace(scenario, requests=(Request(model="faces"),))
    plan = Plan(scenario=scenario, spec=Engine.find(repository, "faces"), name="", command="")

    with pytest.raises(TooNear, match="100000 requests/s were asked for, and this driver alone"):
        finish(plan)


def inferred(url: str) -> int:
    """How many pictures `faces` has made."""
    count: int = triton.statistics(url)["faces_generator"].inference_count
    return count


@pytest.mark.triton
def test_ctrl_c_ends_with_the_results_so_far(served: ServedGolden, tmp_path: Path) -> None:
    words = [
        "run",
        "faces",
        "--url",
        served.url,
        "--window-s",
        "60",
        "--warmup-s",
        "0.5",
        "--force",
    ]
    command = [sys.executable, "-m", "nonesuch_loadtest.cli", *words, "--out", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    asked = inferred(served.url)
    while inferred(served.url) < asked + 100:  # past the warm-up
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)

    _, said = process.communicate(timeout=30)

    assert process.returncode == 0, said
    (point,) = result.read(tmp_path / "result.json").points
    assert point.ended == "stopped by the user"
    assert point.total.answered > 0
    assert point.total.length_s < 60


@pytest.mark.triton
def test_the_command_prints_one_object_and_writes_it(served: ServedGolden, tmp_path: Path) -> None:
    words = ["run", "faces", "--url", served.url, "--window-s", "0.5", "--windows", "1", "--json"]

    done = CliRunner().invoke(main, [*words, "--force", "--out", str(tmp_path)])

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == json.loads((tmp_path / "result.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        pytest.param("run", 2, "names no model", id="no model"),
        pytest.param("run faces --rate-hz 5", 2, "closed takes concurrency", id="needs"),
        pytest.param("run faces --url 127.0.0.1:1", 3, "127.0.0.1:1", id="nobody there"),
        pytest.param("search faces", 2, "Missing option '--objective'", id="objective"),
        pytest.param("run faces --objective fast", 2, "as in 'p99<200ms'", id="objective's form"),
        pytest.param("run faces --checkpoint README.md", 2, "give the --repository", id="card"),
        pytest.param("run faces --objective p9.9.9<1s", 2, "as in 'p99<200ms'", id="number"),
        pytest.param("run faces --window-s nan", 2, "nan is no span of time", id="span"),
        pytest.param("run faces --warmup-s nan", 2, "warmup_s is nan", id="warm-up"),
        pytest.param("run faces --concurrency 0", 2, "concurrency is 0, expected at", id="none"),
        pytest.param("run faces --concurrencies inf", 2, "expected whole numbers", id="endless"),
        pytest.param("sweep faces --instances 0", 2, "from 1 on, as in 1,4,16", id="instances"),
        pytest.param("run faces --out README.md", 2, "'README.md' is a file", id="folder"),
        pytest.param("run faces --transport http --http-url x", 2, "expected HOST:PORT", id="url"),
    ],
)
def test_what_cannot_be_measured_is_refused(words: str, status: int, said: str) -> None:
    done = CliRunner().invoke(main, words.split())

    assert done.exit_code == status
    assert said in done.stderr
