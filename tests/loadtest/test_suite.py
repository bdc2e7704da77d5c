"""Everything that a page about a model shows: the shipped portraits by every scenario."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from click.testing import CliRunner
from tests.loadtest.conftest import ANYWHERE, done

from nonesuch_loadtest import result
from nonesuch_loadtest.bench import Suite, bench
from nonesuch_loadtest.cli import main
from nonesuch_loadtest.progress import Progress
from nonesuch_loadtest.run import Stopped
from nonesuch_server import Embedded, Runtime

SHIPPED = Path(__file__).parents[2] / "model_repository"
RUNS = ("bare", "served", "closed", "single-stream", "server", "offline")

pytestmark = [pytest.mark.triton, pytest.mark.slow]


@pytest.fixture(scope="module")
def portraits(runtime: Runtime) -> Iterator[Embedded]:
    with Embedded(SHIPPED, runtime, ANYWHERE, timeout_s=300) as server:
        yield server


def test_bench_measures_every_scenario_for_one_page(portraits: Embedded, tmp_path: Path) -> None:
    words = ["bench", "portraits", "--url", portraits.listen.grpc, "--repository", str(SHIPPED)]

    ended = CliRunner().invoke(main, [*words, "--window-s", "0.7", "--out", str(tmp_path)])

    assert ended.exit_code == 0, ended.output
    (folder,) = tmp_path.iterdir()
    assert {path.name for path in folder.iterdir()} == {
        *(f"{name}.json" for name in RUNS),
        "report.html",
        "report.md",
    }
    found = {name: result.read(folder / f"{name}.json") for name in RUNS}
    assert [run.ended for run in found.values()] == [""] * len(RUNS)
    assert len(found["closed"].points) > 2
    assert all(point.total.images for run in found.values() for point in run.points)
    (split,) = found["single-stream"].points[0].splits
    drawn_s = sum(step.infer_s for step in split.steps if step.role == "generator")
    assert 0.5 * split.server_s < drawn_s < split.server_s  # though Triton counts hardly any of it


def test_bench_that_is_stopped_keeps_what_was_whole(portraits: Embedded) -> None:
    suite = Suite(
        model="portraits", url=portraits.listen.grpc, repository=SHIPPED, command="", window_s=0.7
    )
    early, late = Event(), Event()
    early.set()

    def stop(seen: Progress) -> None:
        if seen.setting.get("concurrency") == 2:
            late.set()

    with pytest.raises(Stopped, match="before both had had their first turn"):
        done(bench(replace(suite, stop=early)))
    found = done(bench(replace(suite, stop=late)), stop)

    assert list(found) == ["bare", "served", "closed"]
    assert found["closed"].ended == "stopped by the user"
