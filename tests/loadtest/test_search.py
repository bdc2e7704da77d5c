"""The highest rate within an objective, and the best configuration."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.loadtest.conftest import done, plan

from nonesuch.errors import InvalidRequest
from nonesuch_loadtest import result, sweep
from nonesuch_loadtest.bare import Engine, read_card
from nonesuch_loadtest.cli import main
from nonesuch_loadtest.run import Plan
from nonesuch_loadtest.scenario import Objective, Scenario
from nonesuch_loadtest.search import search
from nonesuch_loadtest.sweep import Axes, Choice, Sweep
from nonesuch_server import Embedded

GOLDEN = Path(__file__).parent.parent / "golden"
NOW = Choice(engine="onnxruntime", precision="fp32", max_batch=16, instances=1, delay_us=0)


@pytest.mark.slow
@pytest.mark.triton
def test_a_search_ends_below_what_a_serial_server_can_do(timed: Embedded) -> None:
    scenario = Scenario(
        concurrency=4,
        warmup_s=1,
        window_s=5,
        windows=2,
        objective=Objective(percentile=90, limit_s=0.3),
    )

    found = done(search(plan(timed, scenario, "serial"), within=0.1))

    # At 20 requests a second it never catches up; at 12 (M/D/1) 1 of 50 waits so long.
    assert 12 < found.answer["rate_hz"] < 20
    rates = [point.setting["rate_hz"] for point in found.points]
    assert rates == sorted(rates) == list(found.scenario.rates_hz)


def test_a_search_without_an_objective_is_refused(repository: Path) -> None:
    spec = Engine.find(repository, "faces")
    asked = Plan(scenario=Scenario(concurrency=1), spec=spec, name="", command="")

    with pytest.raises(InvalidRequest, match="needs an objective, as p99<200ms"):
        next(search(asked))


def test_axes_combine_and_begin_with_what_is() -> None:
    axes = Axes(instances=(2, 1), max_batches=(4, 16))

    found = axes.choices(NOW)

    assert found[0] == NOW
    assert len(set(found)) == 4
    assert {choice.delay_us for choice in found} == {0}


def test_a_configuration_is_laid_beside_and_written_where_wanted(repository: Path) -> None:
    asked = Sweep(model="faces", repository=repository, checkpoint=None, arguments=())
    choice = replace(NOW, max_batch=4, instances=2, delay_us=500)

    with sweep.laid(asked, choice) as folder:
        assert sweep.now(folder, "faces") == choice
        assert read_card(folder, "faces").max_batch == 4

    assert sweep.now(repository, "faces") == NOW


def test_the_reason_stands_above_the_configuration_until_there_is_another(repository: Path) -> None:
    asked = Sweep(model="faces", repository=repository, checkpoint=None, arguments=())
    path = Path("faces_generator", "config.pbtxt")
    assert (repository / path).read_text(encoding="utf-8").startswith("# max_batch_size: ")

    with sweep.laid(asked, NOW) as folder:
        sweep.configure(asked, NOW, folder, "Measured:\none is best.")
        sweep.configure(asked, replace(NOW, delay_us=7), folder)
        text = (folder / path).read_text(encoding="utf-8")
        assert text.startswith('# Measured:\n# one is best.\nname: "faces_generator"\n')
        assert sweep.now(folder, "faces").delay_us == 7


def test_another_engine_is_built_of_the_models_own_checkpoint(repository: Path) -> None:
    asked = Sweep(model="ada", repository=repository, checkpoint=None, arguments=())
    choice = replace(NOW, engine="openvino")

    with (
        pytest.raises(InvalidRequest, match="give the --checkpoint of ada"),
        sweep.laid(asked, choice),
    ):
        pass
    own = replace(asked, checkpoint=GOLDEN / "sg2ada_uncond_32.pkl")
    with sweep.laid(own, choice) as folder:
        assert sweep.now(folder, "ada") == choice
        assert list((folder / "ada_generator" / "1").glob("model.xml"))
        config = (folder / "ada_generator" / "config.pbtxt").read_text(encoding="utf-8")
        assert "kind: KIND_CPU" in config  # which Triton's openvino backend must be told
        assert read_card(folder, "ada").modes == read_card(repository, "ada").modes


@pytest.mark.slow
@pytest.mark.triton
def test_a_sweep_measures_each_and_gives_the_model_the_best_and_why(
    repository: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    for part in repository.glob("ada*"):
        shutil.copytree(part, models / part.name)
    words = ["sweep", "ada", "--repository", str(models), "--instances", "1,2", "--write"]
    words += ["--window-s", "1", "--windows", "2", "--out", str(tmp_path)]

    ran = CliRunner().invoke(main, words)

    assert ran.exit_code == 0, ran.output
    found = result.read(tmp_path / "result.json")
    assert [point.setting["instances"] for point in found.points] == [1, 2]
    best = max(found.points, key=lambda point: point.total.rate_hz)
    assert found.answer == best.setting == asdict(sweep.now(models, "ada"))
    written = (models / "ada_generator" / "config.pbtxt").read_text(encoding="utf-8").splitlines()
    assert written[0].startswith("# Measured by nonesuch-loadtest sweep, ")
    assert f"{best.total.rate_hz:.1f} images/s" in written[2]
    assert written[2].endswith("(chosen)")
    assert written[3].startswith("# engine onnxruntime, precision fp32, max batch ")
