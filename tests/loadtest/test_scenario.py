"""What a scenario may be, and what is drawn from it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nonesuch.errors import InvalidRequest
from nonesuch_loadtest import flags, record, schedule
from nonesuch_loadtest.point import edges_ns
from nonesuch_loadtest.scenario import Objective, Request, Scenario

TOML = """
kind = "server"
rate_hz = 20
windows = 2
objective = {percentile = 95, limit_s = 0.5}

[[requests]]
share = 3
[[requests]]
model = "cars"
format = "png"
batch = 4
priority = "bulk"
directions = {smile = 1.5}
"""


def test_a_file_says_what_is_sent_and_options_go_before_it(tmp_path: Path) -> None:
    file = tmp_path / "mixed.toml"
    file.write_text(TOML, encoding="utf-8")

    scenario = flags.scenario({"file": file, "rate_hz": 30.0, "warmup_s": None}, "faces")

    bulk = Request(model="cars", format="png", batch=4, priority="bulk", directions={"smile": 1.5})
    assert scenario == Scenario(
        kind="server",
        rate_hz=30,
        windows=2,
        objective=Objective(percentile=95, limit_s=0.5),
        requests=(Request(share=3, model="faces"), bulk),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("kind = ", "cannot read", id="no TOML"),
        pytest.param("knid = 1", "unknown knid, there are: kind", id="unknown field"),
        pytest.param("kind = 'fast'", "kind is 'fast', expected one of", id="unknown kind"),
        pytest.param("kind = 'server'", "server takes rate_hz, got none", id="no rate"),
        pytest.param("rate_hz = 2\nconcurrency = 1", "closed takes concurrency, got", id="both"),
        pytest.param("windows = 1.5", "windows is 1.5, expected a whole number", id="type"),
        pytest.param("windows = 0", "windows is 0, expected at least 1", id="range"),
        pytest.param("warmup_s = -1", "warmup_s is -1, expected seconds from 0", id="warm-up"),
        pytest.param("window_s = inf", "window_s is inf, expected above 0", id="endless"),
        pytest.param("requests = []", "requests is empty", id="nothing"),
        pytest.param("[[requests]]\nbatch = 'x'", r"requests\[0\].batch is 'x'", id="inner"),
        pytest.param("[objective]", "objective: missing limit_s", id="missing"),
        pytest.param("kind='ramp'\nrates_hz=[1, 'a']", r"rates_hz\[1\] is 'a'", id="list"),
    ],
)
def test_a_file_that_is_no_scenario_is_refused_by_its_place(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(InvalidRequest, match=said):
        flags.scenario({"file": file}, "faces")


def test_a_request_without_a_model_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="names no model; give MODEL"):
        flags.scenario({"kind": "closed"}, None)


def test_a_scenario_survives_its_record() -> None:
    scenario = Scenario(kind="ramp", rates_hz=(1.0, 2.5), requests=(Request(psi=0.7),))

    assert record.load(Scenario, json.loads(json.dumps(record.dump(scenario)))) == scenario


@given(st.floats(1, 500), st.floats(0.5, 20), st.integers(0, 2**32))
def test_arrivals_are_sorted_and_lie_within_the_run(
    rate_hz: float, span_s: float, seed: int
) -> None:
    times = schedule.poisson(rate_hz, span_s, seed)

    assert (np.diff(times) >= 0).all()
    assert ((times >= 0) & (times < span_s * 1e9)).all()


def test_arrivals_are_a_poisson_process() -> None:
    gaps = np.diff(schedule.poisson(200, 100, seed=3)) / 1e9

    assert gaps.mean() == pytest.approx(1 / 200, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)  # as of an exponential distribution


def test_the_seed_draws_everything_again() -> None:
    mixed = (Request(model="a", share=3), Request(model="b", share=1))
    scenario = Scenario(kind="server", rate_hz=100, window_s=20, requests=mixed)

    one, again = schedule.arrivals(scenario), schedule.arrivals(scenario)
    other = schedule.arrivals(replace(scenario, seed=2))

    assert list(one.part(0, 1)) == list(again.part(0, 1)) != list(other.part(0, 1))
    assert (one.kind == 1).mean() == pytest.approx(0.25, abs=0.03)


def test_processes_part_the_arrivals_among_them() -> None:
    arrivals = schedule.arrivals(Scenario(kind="server", rate_hz=50))

    parts = [list(arrivals.part(worker, 3)) for worker in range(3)]

    together = sorted((job for part in parts for job in part), key=lambda job: job.due_ns or 0)
    assert together == list(arrivals.part(0, 1))


def test_a_log_is_replayed_at_its_own_times(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    bulk = {"model": "cars", "priority": "bulk"}
    lines = [{"at_s": 12, "seed": 3, "request": bulk}, {"at_s": 10}, {"at_s": 14, "seed": 9}]
    log.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")

    given = {"kind": "replay", "log": log, "speed": 2.0, "warmup_s": 0.5, "windows": 3}
    scenario = flags.scenario(given, "faces")

    assert [request.model for request in scenario.requests] == ["faces", "cars"]
    jobs = list(schedule.arrivals(scenario).part(0, 1))
    assert [(job.due_ns, job.kind, job.seed) for job in jobs] == [
        (0, 0, 0),
        (10**9, 1, 3),
        (2 * 10**9, 0, 9),
    ]
    assert edges_ns(scenario) == (5 * 10**8, 10**9, 15 * 10**8, 2 * 10**9 + 1)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("{", "line 2: Expecting", id="no JSON"),
        pytest.param('{"at_s": -1}', "line 2: expected at_s from 0 on", id="time"),
        pytest.param('{"seed": 1}', "line 2: entry: missing at_s", id="missing"),
        pytest.param('{"at_s": 1, "model": "a"}', "line 2: unknown model", id="unknown"),
    ],
)
def test_a_line_that_is_no_request_is_refused_by_its_number(
    tmp_path: Path, line: str, said: str
) -> None:
    log = tmp_path / "requests.jsonl"
    log.write_text(f'{{"at_s": 1}}\n{line}\n', encoding="utf-8")

    with pytest.raises(InvalidRequest, match=said):
        schedule.recorded(log)
