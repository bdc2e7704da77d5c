"""TensorRT builds every family's graph, here by TensorRT for RTX, which needs no GPU for it."""

import hashlib
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper
from tests.conftest import GOLDEN
from tests.export.test_precision import STEMS, exported
from tritonclient.grpc import model_config_pb2 as pb

from nonesuch.errors import ExportError, InvalidRequest
from nonesuch_export import network
from nonesuch_export.checkpoint import read
from nonesuch_export.cli import main
from nonesuch_export.engine import tensorrt
from nonesuch_export.identity import Identity, Settings
from nonesuch_export.parity import compare

pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")

SMALLEST = ("progan-32-unfused", "stylegan1-32-fused", "sg2ada_uncond_32")  # of each family
AHEAD = Settings(targets=("SM86",))  # without a GPU


def _all_families() -> list[object]:
    slow = [pytest.param(stem, marks=pytest.mark.slow) for stem in STEMS if stem not in SMALLEST]
    return [*SMALLEST, *slow]


@pytest.mark.parametrize("precision", tensorrt.PRECISIONS)
@pytest.mark.parametrize("batch", [(1, 4, 8), (2, 2, 2)], ids=["dynamic", "static"])
@pytest.mark.parametrize("stem", _all_families())
def test_golden_graphs_become_plans(
    stem: str, batch: tuple[int, int, int], precision: str, graphs: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "model.plan"

    tensorrt.build(exported(stem, graphs), plan, replace(AHEAD, precision=precision, batch=batch))

    assert plan.stat().st_size > 100_000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "model.plan"]


@pytest.mark.parametrize("precision", tensorrt.PRECISIONS)
@pytest.mark.parametrize("batch", [(1, 4, 8), (2, 2, 2)], ids=["dynamic", "static"])
def test_a_small_stylegan3_becomes_a_plan(
    batch: tuple[int, int, int], precision: str, repository: Path, tmp_path: Path
) -> None:
    graph, plan = repository / "stylegan3_generator/1/model.onnx", tmp_path / "model.plan"

    tensorrt.build(graph, plan, replace(AHEAD, precision=precision, batch=batch))

    assert plan.stat().st_size > 100_000


def test_the_command_builds_for_other_gpus_and_says_for_which(graphs: Path, tmp_path: Path) -> None:
    graph = exported(SMALLEST[0], graphs)
    out = tmp_path / "progan.plan"
    words = ["plan", str(graph), "--out", str(out), "--precision", "fp16", "--batch", "1", "2", "4"]

    done = CliRunner().invoke(main, [*words, "--target", "SM86", "--target", "SM89"])

    assert done.exit_code == 0, done.output
    assert done.stdout == f"{out}\n"
    made = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert made["library"].startswith("tensorrt_rtx ")
    assert made["gpu"] is None
    settings = {"precision": "fp16", "batch": [1, 2, 4], "targets": ["SM86", "SM89"]}
    assert made["settings"].items() >= settings.items()


def test_progress_is_told_by_phase(graphs: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    graph = exported(SMALLEST[0], graphs)

    tensorrt.build(graph, tmp_path / "w.plan", AHEAD, progress=lambda *step: told.append(step))

    assert any(done == steps for _, done, steps in told)
    assert all(phase and 0 <= done <= steps for phase, done, steps in told)


def _graph(path: Path, nodes: list[onnx.NodeProto], output: int) -> Path:
    """A graph that no network here makes, from x to y."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 4])
    y = helper.make_tensor_value_info("y", output, None)
    graph = helper.make_graph(nodes, "g", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


UINT8_INSIDE = [
    helper.make_node("Cast", ["x"], ["u"], to=TensorProto.UINT8),
    helper.make_node("Identity", ["u"], ["y"]),
]
UNKNOWN = [helper.make_node("Det", ["x"], ["y"])]


@pytest.mark.parametrize(
    ("nodes", "output", "reason"),
    [
        pytest.param(UINT8_INSIDE, TensorProto.UINT8, "(?i)uint8", id="uint8 inside"),
        pytest.param(UNKNOWN, TensorProto.FLOAT, "Det", id="unknown operation"),
    ],
)
def test_a_graph_that_tensorrt_refuses_ends_in_its_reason(
    nodes: list[onnx.NodeProto], output: int, reason: str, tmp_path: Path
) -> None:
    graph = _graph(tmp_path / "bad.onnx", nodes, output)

    with pytest.raises(ExportError, match=r"TensorRT refuses bad\.onnx: ") as refused:
        tensorrt.build(graph, tmp_path / "model.plan", AHEAD)

    assert re.search(reason, str(refused.value).partition(": ")[2])
    assert [p.name for p in tmp_path.iterdir()] == ["bad.onnx"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"targets": ("SM99",)}, "SM99 is not among its ComputeCapability: .*SM86"),
        ({"targets": ("SM75",)}, "Turing"),
        ({"version_compatible": True}, "lean"),
        ({"targets": ()}, "no NVIDIA GPU"),
    ],
)
def test_what_this_tensorrt_cannot_do_is_refused(
    change: dict[str, Any], reason: str, graphs: Path, tmp_path: Path
) -> None:
    graph = exported(SMALLEST[0], graphs)

    with pytest.raises(ExportError, match=reason):
        tensorrt.build(graph, tmp_path / "model.plan", replace(AHEAD, **change))


def test_tensorrt_for_rtx_has_no_timing_cache(graphs: Path, tmp_path: Path) -> None:
    graph = exported(SMALLEST[0], graphs)

    with pytest.raises(ExportError, match="has no timing cache"):
        tensorrt.build(graph, tmp_path / "w.plan", AHEAD, timing_cache=tmp_path / "timing")
    assert not (tmp_path / "timing").exists()


def test_a_plan_that_cannot_be_written_is_refused(graphs: Path, tmp_path: Path) -> None:
    graph = exported(SMALLEST[0], graphs)

    with pytest.raises(ExportError, match=r"nowhere/w\.plan cannot be written: No such file"):
        tensorrt.build(graph, tmp_path / "nowhere" / "w.plan", AHEAD)


def test_a_batch_that_falls_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"batch is \(4, 2, 8\)"):
        Settings(batch=(4, 2, 8))


def test_plans_of_rtx_are_not_for_triton() -> None:
    with pytest.raises(ExportError, match="Triton does not serve the plans of tensorrt_rtx"):
        tensorrt.available()


def test_triton_is_told_the_backend_and_the_file() -> None:
    config = pb.ModelConfig(name="faces_generator")

    tensorrt.configure(config, precision="fp16")

    assert (config.platform, config.backend) == ("tensorrt_plan", "tensorrt")
    assert config.default_model_filename == "model.plan"


HERE: dict[str, Any] = {"library": "tensorrt 11.4.0", "gpu": "NVIDIA H200", "capability": "9.0"}


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan's place, with its graph and identity, as built on the machine HERE."""
    path = tmp_path / "model.plan"
    path.with_suffix(".onnx").write_bytes(b"graph")
    settings = Settings(precision="fp16", batch=(1, 4, 8), workspace_mib=64)
    digest = hashlib.sha256(b"graph").hexdigest()
    Identity(**HERE, onnx_sha256=digest, settings=settings).write(path)
    return path


def test_a_plan_runs_where_it_was_built(plan: Path) -> None:
    Identity.read(plan).check(plan, **HERE)


@pytest.mark.parametrize(
    ("here", "words"),
    [
        ({"library": "tensorrt 10.9.0"}, "was built by tensorrt 11.4.0, and here is tensorrt 10.9"),
        (
            {"gpu": "NVIDIA L4", "capability": "8.9"},
            r"was built on NVIDIA H200 \(.*9\.0\), and here is NVIDIA L4 \(.*8\.9\)",
        ),
        ({"gpu": None, "capability": None}, "and here is no GPU"),
    ],
    ids=["version", "GPU", "no GPU"],
)
def test_a_plan_of_another_machine_names_the_difference_and_the_mend(
    here: dict[str, Any], words: str, plan: Path
) -> None:
    with pytest.raises(ExportError, match=words) as refused:
        Identity.read(plan).check(plan, **{**HERE, **here})

    command = str(refused.value).split("`")[1]
    program, verb, *rest = shlex.split(command)
    assert (program, verb) == ("nonesuch-export", "plan")
    given = main.commands[verb].make_context(verb, rest).params
    assert given["graph"] == plan.with_suffix(".onnx")
    assert given["out"] == plan
    assert (given["precision"], given["batch"]) == ("fp16", (1, 4, 8))
    assert given["workspace_mib"] == 64


def test_a_plan_of_another_graph_is_refused(plan: Path) -> None:
    plan.with_suffix(".onnx").write_bytes(b"another graph")

    with pytest.raises(ExportError, match=r"was not built of model\.onnx, which has changed"):
        Identity.read(plan).check(plan, **HERE)


def test_compatible_plans_run_elsewhere_too(plan: Path) -> None:
    made = Identity.read(plan)
    wide = replace(made.settings, hardware="ampere_plus", version_compatible=True)
    ahead = replace(made.settings, targets=("SM86", "SM90"))

    others = {"gpu": "NVIDIA L4", "capability": "8.9"}
    replace(made, settings=wide).check(plan, **{**HERE, **others, "library": "tensorrt 11.5.0"})
    replace(made, settings=ahead).check(plan, **HERE)
    with pytest.raises(ExportError, match=r"was built for SM86, SM90, and here is NVIDIA L4"):
        replace(made, settings=ahead).check(plan, **{**HERE, **others})


@pytest.mark.parametrize("text", ["", "[]", '{"settings": {}}', '{"settings": 3}'])
def test_a_plan_without_an_identity_is_refused(text: str, plan: Path) -> None:
    plan.with_suffix(".json").write_text(text, encoding="utf-8")

    with pytest.raises(ExportError, match=r"has no readable model\.json beside it"):
        tensorrt.Engine(plan, precision="fp16")


def test_a_plan_needs_a_gpu(plan: Path) -> None:
    with pytest.raises(ExportError, match="no NVIDIA GPU"):
        tensorrt.Engine(plan, precision="fp16")
    with pytest.raises(ExportError, match="is in fp16, not in fp32"):
        tensorrt.Engine(plan, precision="fp32")


@pytest.mark.gpu
@pytest.mark.parametrize("precision", tensorrt.PRECISIONS)
def test_a_plan_draws_what_torch_draws(precision: str, graphs: Path, tmp_path: Path) -> None:
    stem, out = "sg2ada_uncond_32", tmp_path / "model.plan"
    tensorrt.build(exported(stem, graphs), out, Settings(precision=precision))

    report = compare(network.build(read(GOLDEN / f"{stem}.pkl")), out, "tensorrt", precision)

    assert report.passed, report.table()
