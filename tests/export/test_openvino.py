"""OpenVINO draws every family's pictures, in fp32 and in bf16."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from google.protobuf import text_format
from numpy.typing import NDArray
from tests.conftest import GOLDEN, has_bf16
from tests.export.test_precision import STEMS, exported
from tritonclient.grpc import model_config_pb2 as pb

from nonesuch.card import Card
from nonesuch.errors import ExportError
from nonesuch_export import network, parity
from nonesuch_export.checkpoint import read
from nonesuch_export.cli import ENGINES, PRECISIONS, main
from nonesuch_export.engine import ENGINES as MODULES
from nonesuch_export.engine import openvino

SMALLEST = "progan-32-unfused"
needs_bf16 = pytest.mark.skipif(not has_bf16(), reason="this CPU has no bf16")


def compiled(stem: str, precision: str, graphs: Path, folder: Path) -> Path:
    """The plan of a golden checkpoint; it uses up a copy of the graph."""
    graph, plan = folder / "graph.onnx", folder / openvino.FILE
    shutil.copyfile(exported(stem, graphs), graph)
    openvino.compile(graph, plan, precision=precision, max_batch=4)
    return plan


def _compare(stem: str, plan: Path, precision: str) -> parity.Report:
    generator = network.build(read(GOLDEN / f"{stem}.pkl"))
    return parity.compare(generator, plan, "openvino", precision, range(4))


@pytest.mark.parametrize("stem", STEMS)
def test_golden_pictures_in_fp32(stem: str, graphs: Path, tmp_path: Path) -> None:
    report = _compare(stem, compiled(stem, "fp32", graphs, tmp_path), "fp32")

    assert report.passed, report.table()
    assert report.max_level <= 1


@needs_bf16
@pytest.mark.parametrize("stem", STEMS)
def test_golden_pictures_in_bf16(stem: str, graphs: Path, tmp_path: Path) -> None:
    report = _compare(stem, compiled(stem, "bf16", graphs, tmp_path), "bf16")

    assert report.passed, report.table()
    assert report.max_level > 1  # or nothing was rounded


def _feeds(count: int) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(0)
    generator = network.build(read(GOLDEN / f"{SMALLEST}.pkl"))
    return {"z": rng.standard_normal((count, generator.config.z_dim), np.float32)}


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_pictures_are_the_same_alone_and_together_in_their_order(
    threads: int, graphs: Path, tmp_path: Path
) -> None:
    plan = compiled(SMALLEST, "fp32", graphs, tmp_path)
    engine = openvino.Engine(plan, precision="fp32", threads=threads)
    feeds = _feeds(5)

    together = engine.run(feeds)

    alone = [engine.run({"z": feeds["z"][i : i + 1]}) for i in range(5)]
    assert together.shape == (5, 32, 32, 3)
    assert np.abs(together.astype(int) - np.concatenate(alone)).max() <= 1


def test_the_weights_lie_beside_the_plan_and_are_smaller_in_bf16(
    graphs: Path, tmp_path: Path
) -> None:
    sizes = {}
    for precision in openvino.PRECISIONS:
        (tmp_path / precision).mkdir()
        plan = compiled(SMALLEST, precision, graphs, tmp_path / precision)
        sizes[precision] = plan.with_suffix(".bin").stat().st_size

    assert sizes["bf16"] < 0.6 * sizes["fp32"]


@needs_bf16
def test_a_cpu_that_does_not_compute_in_bf16_is_refused(graphs: Path, tmp_path: Path) -> None:
    plan = compiled(SMALLEST, "bf16", graphs, tmp_path)
    code = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from nonesuch_export.engine.openvino import Engine\n"
        "Engine(Path(sys.argv[1]), precision='bf16').run({'z': np.zeros((1, 64), np.float32)})"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(plan)],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path), "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert "this machine computes in f32, not bf16; use --precision fp32" in done.stderr


@needs_bf16
def test_a_plan_in_another_precision_is_refused(graphs: Path, tmp_path: Path) -> None:
    engine = openvino.Engine(compiled(SMALLEST, "fp32", graphs, tmp_path), precision="bf16")

    with pytest.raises(ExportError, match="f32, not bf16"):
        engine.run(_feeds(1))


@pytest.mark.parametrize("text", ["", "no plan"])
def test_a_file_that_is_no_plan_is_refused_in_a_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_text(text, encoding="utf-8")

    with pytest.raises(ExportError, match=r"OpenVINO refuses model.xml: \S") as refused:
        openvino.Engine(tmp_path / "model.xml", precision="fp32")

    assert "\n" not in str(refused.value)
    assert "Exception from" not in str(refused.value)


def test_a_graph_that_it_cannot_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_bytes(b"no graph")

    with pytest.raises(ExportError, match="OpenVINO refuses the graph: "):
        openvino.compile(
            tmp_path / "graph.onnx", tmp_path / "model.xml", precision="fp32", max_batch=1
        )


def test_feeds_that_do_not_fit_are_refused(graphs: Path, tmp_path: Path) -> None:
    engine = openvino.Engine(compiled(SMALLEST, "fp32", graphs, tmp_path), precision="fp32")

    with pytest.raises(ExportError, match="takes z, which this model lacks"):
        engine.run({})
    with pytest.raises(ExportError, match="OpenVINO cannot run this: "):
        engine.run({"z": np.zeros((2, 3), np.float32)})


def test_without_openvino_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    words = [str(GOLDEN / "sg2_cond_32.pkl"), "--engine", "openvino"]

    for command in (["build", "--name", "x", "--repository", str(tmp_path)], ["parity"]):
        done = CliRunner().invoke(main, [command[0], *words, *command[1:]])
        assert done.exit_code == 1
        assert "pip install 'nonesuch[openvino]'" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_precision_that_the_engine_lacks_is_misuse(tmp_path: Path) -> None:
    file, words = str(GOLDEN / "sg2_cond_32.pkl"), ["--engine", "openvino", "--precision", "fp16"]

    for command in (["build", "--name", "x", "--repository", str(tmp_path)], ["parity"]):
        done = CliRunner().invoke(main, [command[0], file, *words, *command[1:]])
        assert done.exit_code == 2
        assert "openvino has no fp16, expected fp32 or bf16" in done.stderr


def test_the_command_line_offers_what_there_is() -> None:
    assert tuple(MODULES) == ENGINES
    assert {p for module in MODULES.values() for p in module.PRECISIONS} == set(PRECISIONS)
    assert all(module.PRECISIONS[0] == PRECISIONS[0] == "fp32" for module in MODULES.values())


def _config(folder: Path) -> pb.ModelConfig:
    text = (folder / "config.pbtxt").read_text(encoding="utf-8")
    config: pb.ModelConfig = text_format.Parse(text, pb.ModelConfig())
    return config


def test_a_built_model_names_engine_backend_and_files(repository: Path) -> None:
    card = Card.from_json((repository / "vino/1/card.json").read_text(encoding="utf-8"))

    assert (card.engine, card.precision) == ("openvino", "fp32")
    for part in ("generator", "mapping"):
        folder = repository / f"vino_{part}"
        config = _config(folder)
        assert config.backend == "openvino"
        assert [group.kind for group in config.instance_group] == [pb.ModelInstanceGroup.KIND_CPU]
        assert config.parameters["ENABLE_BATCH_PADDING"].string_value == "YES"
        assert "HINT_BF16" not in config.parameters
        assert sorted(p.name for p in (folder / "1").iterdir()) == ["model.bin", "model.xml"]


def test_what_runs_one_picture_at_a_time_pads_no_batch(repository: Path) -> None:
    config = _config(repository / "vino_generator")
    config.ClearField("parameters")
    config.max_batch_size = 1

    openvino.configure(config, precision="fp32")

    assert not config.parameters


@needs_bf16
def test_bf16_is_of_the_generator_alone(repository: Path) -> None:
    card = Card.from_json((repository / "half/1/card.json").read_text(encoding="utf-8"))
    plain = Card.from_json((repository / "stylegan2/1/card.json").read_text(encoding="utf-8"))

    assert card.parity["psnr"] >= 40
    assert card == replace(
        plain, name="half", engine="openvino", precision="bf16", parity=card.parity
    )
    assert _config(repository / "half_generator").parameters["HINT_BF16"].string_value == "YES"
    assert "HINT_BF16" not in _config(repository / "half_mapping").parameters
