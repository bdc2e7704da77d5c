"""Models whose speed is known, behind a real server, shared by the tests of nonesuch_loadtest."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from nonesuch.card import Card
from nonesuch_loadtest.point import Observed
from nonesuch_loadtest.progress import Progress
from nonesuch_loadtest.result import Result
from nonesuch_loadtest.run import Plan, run
from nonesuch_loadtest.scenario import Request, Scenario
from nonesuch_loadtest.served import Served
from nonesuch_server import Embedded, Listen, Runtime

R = TypeVar("R")

ANYWHERE = Listen(grpc_port=0, http_port=0, metrics_port=0)
CEILING_HZ = 1000.0  # of the driver, as far as these tests are concerned
BASE_S = 1.0  # of all while nothing else holds them; long, so that a busy machine adds little
QUICK = 0.2  # of that takes `quick`
SERIAL_S = 0.05  # of `serial`

# Answers come from threads, so that any number of requests sleep at once.
_MODEL = """
import json, threading, time
import numpy as np
import triton_python_backend_utils as pb_utils

def sleeper(seed):
    return SCALE * (1.0 + (seed % 100) / 99)

def staller(seed):
    phase = time.time() % PERIOD
    return 1.0 + max(0.0, STALL - phase)

def serial(seed):
    return SERVICE

class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            seeds = pb_utils.get_input_tensor_by_name(request, "seed").as_numpy()[:, 0].tolist()
            work = (seeds, request.get_response_sender())
            if SERIAL:
                self.answer(*work)
            else:
                threading.Thread(target=self.answer, args=work, daemon=True).start()

    def answer(self, seeds, sender):
        came = time.time()
        time.sleep(max(WAIT(seed) for seed in seeds))
        with open(LOG, "a", encoding="utf-8") as log:
            print(seeds[0], came, time.time(), file=log)
        recipes = [json.dumps({"seed": seed}).encode() for seed in seeds]
        found = [
            pb_utils.Tensor("encoded", np.array([[b"x" * 1000]] * len(seeds), np.object_)),
            pb_utils.Tensor("recipe", np.array([[recipe] for recipe in recipes], np.object_)),
        ]
        flags = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
        sender.send(pb_utils.InferenceResponse(found), flags=flags)
"""
_TENSORS = """
max_batch_size: 8
input [
  { name: "seed" data_type: TYPE_INT64 dims: [ 1 ] },
  { name: "format" data_type: TYPE_STRING dims: [ 1 ] }
]
output [
  { name: "encoded" data_type: TYPE_STRING dims: [ 1 ] },
  { name: "recipe" data_type: TYPE_STRING dims: [ 1 ] }
]
"""
_MAPS = "".join(
    f'{way}_map {{ key: "{name}" value: "{name}" }}\n'
    for way, name in (
        ("input", "seed"),
        ("input", "format"),
        ("output", "encoded"),
        ("output", "recipe"),
    )
)


def log_of(repository: Path, name: str) -> Path:
    """Where a timed model notes each answer: its seed, and when it was begun and left (Unix)."""
    return repository.parent / f"{name}.log"


def write_timed(
    repository: Path, name: str, wait: str, constants: str = "", *, serial: bool = False
) -> None:
    """A served model that answers after a time, `wait` of the text above, without any picture.

    A serial one has one request after the other.
    """
    log = log_of(repository, name)
    log.touch()
    constants += f"SERIAL, LOG = {serial}, {str(log)!r}\n"
    step = repository / f"{name}_generator"
    (step / "1").mkdir(parents=True)
    (step / "1" / "model.py").write_text(f"{constants}{_MODEL}\nWAIT = {wait}\n", encoding="utf-8")
    config = f'name: "{step.name}"\nbackend: "python"\n{_TENSORS}'
    (step / "config.pbtxt").write_text(config, encoding="utf-8")
    (repository / name / "1").mkdir(parents=True)
    card = _card(name).to_json().replace("\\", "\\\\").replace('"', '\\"')
    (repository / name / "config.pbtxt").write_text(
        f'name: "{name}"\nplatform: "ensemble"\n{_TENSORS}'
        f'ensemble_scheduling {{ step {{ model_name: "{step.name}" model_version: -1 {_MAPS} '
        "} }\n"
        f'parameters {{ key: "card" value {{ string_value: "{card}" }} }}\n',
        encoding="utf-8",
    )


def _card(name: str) -> Card:
    return Card(
        name=name,
        family="stylegan2",
        height=32,
        width=32,
        channels=3,
        z_dim=8,
        w_dim=8,
        c_dim=0,
        num_ws=8,
        ws_resolutions=(4, 8, 8, 16, 16, 32, 32, 32),
        noise_resolutions=(4, 8, 8, 16, 16, 32, 32),
        controls=("z", "psi"),
        max_batch=8,
        model_hash="0" * 64,
        source_sha256="0" * 64,
        engine="python",
        precision="fp32",
    )


@pytest.fixture(scope="session")
def timed_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`sleeper` and `quick`, `staller` (0.8 s in each 2 s), `slow_staller` (2 s in each 10 s).

    And `serial`, SERIAL_S for one request after the other; `light`, 0.01 s.
    """
    folder = tmp_path_factory.mktemp("timed") / "model_repository"
    write_timed(folder, "sleeper", "sleeper", "SCALE = 1.0\n")
    write_timed(folder, "quick", "sleeper", f"SCALE = {QUICK}\n")
    write_timed(folder, "staller", "staller", "PERIOD, STALL = 2.0, 0.8\n")
    write_timed(folder, "serial", "serial", f"SERVICE = {SERIAL_S}\n", serial=True)
    write_timed(folder, "light", "serial", "SERVICE = 0.01\n", serial=True)
    write_timed(folder, "slow_staller", "staller", "PERIOD, STALL = 10.0, 2.0\n")
    return folder


@pytest.fixture(scope="session")
def timed(timed_repository: Path, runtime: Runtime) -> Iterator[Embedded]:
    """A server of models whose speed is known."""
    with Embedded(timed_repository, runtime, ANYWHERE, timeout_s=300) as server:
        yield server


def plan(server: Embedded, scenario: Scenario, model: str) -> Plan:
    """A run of one model, by a driver whose ceiling is not measured once more."""
    scenario = replace(scenario, requests=(Request(model=model),))
    return Plan(
        scenario=scenario,
        spec=Served.find(server.listen.grpc, [model], http_url=server.listen.http),
        name=f"{model}, {scenario.kind}",
        command="nonesuch-loadtest run",
        observed=Observed.server(server.listen.grpc, [model], server.pid),
        ceiling_hz=CEILING_HZ,
    )


def done(going: Generator[Progress, None, R], on: Callable[[Progress], None] = lambda _: None) -> R:
    """What a measurement returns; `on` sees its progress."""
    while True:
        try:
            on(next(going))
        except StopIteration as stop:
            result: R = stop.value
            return result


def finish(plan: Plan, on: Callable[[Progress], None] = lambda _: None) -> Result:
    """The result of a run; `on` sees its progress."""
    return done(run(plan), on)


def slept_s(seed: int) -> float:
    """How long `sleeper` takes; `quick` takes `QUICK` of it."""
    return BASE_S + (seed % 100) / 99


def quantile(values: Sequence[float], percent: float) -> float:
    """The value at which, or below, `percent` of the values lie."""
    ordered = sorted(values)
    return ordered[max(0, -int(-percent * len(ordered) // 100) - 1)]
