"""`compare` judges a run against another, and ends with 1 for what is surely worse."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tests.loadtest.forge import Made, result

from nonesuch_loadtest.cli import main
from nonesuch_loadtest.result import write


def compared(tmp_path: Path, a: Made, b: Made, *words: str, **given: Any) -> Result:
    """What the command says of two runs; `given` are fields of B's scenario."""
    for name, made in (("a", a), ("b", b)):
        fields = given if name == "b" else {}
        write(result(made, name=name, **fields), tmp_path / f"{name}.json")
    places = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    return CliRunner().invoke(main, ["compare", *places, *words])


def figures(done: Result) -> dict[str, dict[str, Any]]:
    return {change["figure"]: change for change in json.loads(done.stdout)["changes"]}


def test_the_same_run_is_not_worse(tmp_path: Path) -> None:
    done = compared(tmp_path, Made(seed=1), Made(seed=2), "--json")

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["worse"] == 0
    assert {change["verdict"] for change in figures(done).values()} <= {"same", "unclear"}


def test_a_slower_run_is_a_regression(tmp_path: Path) -> None:
    old, new = Made(seed=1), Made(seed=2, median_s=0.060)

    done = compared(tmp_path, old, new, "--regression", "5%", "--json")

    assert done.exit_code == 1
    p50 = figures(done)["p50"]
    assert p50["verdict"] == "worse"
    a, b = (np.median(np.concatenate(made.latencies())) for made in (old, new))
    assert p50["ratio"]["value"] == pytest.approx(b / a, rel=5e-3)
    assert p50["ratio"]["low"] < 1.2 < p50["ratio"]["high"]


def test_a_regression_within_the_limit_passes(tmp_path: Path) -> None:
    old, new = Made(seed=1), Made(seed=2, median_s=0.060)

    done = compared(tmp_path, old, new, "--regression", "60%")

    assert done.exit_code == 0, done.output
    assert "0 figures are worse by more than 60.0 %" in done.stdout


def test_a_faster_run_is_better(tmp_path: Path) -> None:
    done = compared(tmp_path, Made(seed=1), Made(seed=2, median_s=0.035), "--json")

    assert done.exit_code == 0, done.output
    assert figures(done)["p50"]["verdict"] == "better"


def test_a_few_noisy_samples_prove_nothing(tmp_path: Path) -> None:
    few: dict[str, Any] = {"rate_hz": 2.0, "windows": 2, "sigma": 1.0}

    done = compared(tmp_path, Made(seed=1, **few), Made(seed=2, median_s=0.06, **few), "--json")

    assert done.exit_code == 0, done.output
    told = figures(done)
    assert told["p50"]["verdict"] == "unclear"
    assert "p99" not in told


def test_more_failures_are_a_regression(tmp_path: Path) -> None:
    done = compared(tmp_path, Made(seed=1), Made(seed=1, failed=0.03), "--json")

    assert done.exit_code == 1
    failed = figures(done)["failed"]
    assert failed["verdict"] == "worse"
    raw = np.concatenate(Made(seed=1, failed=0.03).latencies())
    assert failed["ratio"]["value"] == pytest.approx(np.isinf(raw).mean())
    assert "requests failed" in done.stderr


def test_a_percentile_that_is_never_answered_is_a_regression(tmp_path: Path) -> None:
    done = compared(tmp_path, Made(seed=1), Made(seed=1, failed=0.03), "--json")

    p99 = figures(done)["p99"]
    assert p99["verdict"] == "worse"
    assert p99["b"]["value"] is None  # JSON knows no infinity
    assert math.isfinite(p99["a"]["value"])


def test_steps_are_compared_one_by_one(tmp_path: Path) -> None:
    rates = (10.0, 20.0)
    for name, slow in (("a", 1.0), ("b", 1.5)):
        made = [
            Made(rate_hz=r, median_s=0.05 * (slow if r == 20 else 1), setting={"rate_hz": r})
            for r in rates
        ]
        write(result(*made, name=name, rates_hz=rates), tmp_path / f"{name}.json")

    words = [str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--json"]
    done = CliRunner().invoke(main, ["compare", *words])

    assert done.exit_code == 1
    worse = [c for c in json.loads(done.stdout)["changes"] if c["verdict"] == "worse"]
    assert {change["setting"] for change in worse} == {"20 requests/s"}


def test_unlike_scenarios_are_refused(tmp_path: Path) -> None:
    done = compared(tmp_path, Made(), Made(rate_hz=50))

    assert done.exit_code == 2
    assert "rate_hz is 40.0 in a and 50.0 in b: no comparison" in done.stderr


@pytest.mark.parametrize("words", ["5", "-1%", "100%", "nan%", "five%"])
def test_a_regression_that_is_no_share_is_a_wrong_use(tmp_path: Path, words: str) -> None:
    done = compared(tmp_path, Made(windows=1), Made(windows=1), "--regression", words)

    assert done.exit_code == 2
    assert f"{words} is no share" in done.stderr
