"""ONNX Runtime on a GPU, and what is said where there is none."""

from pathlib import Path

import pytest
from tests.conftest import GOLDEN

from nonesuch.errors import ExportError
from nonesuch_export import graph, network
from nonesuch_export.checkpoint import read
from nonesuch_export.engine import onnxruntime_cuda
from nonesuch_export.parity import compare

STEM = "sg2ada_uncond_32"


def test_without_cuda_nothing_is_built_or_loaded(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="install onnxruntime-gpu in the place of onnxruntime"):
        onnxruntime_cuda.available()
    with pytest.raises(ExportError, match="this ONNX Runtime has no CUDA"):
        onnxruntime_cuda.Engine(tmp_path / "model.onnx", precision="fp32")


@pytest.mark.gpu
@pytest.mark.parametrize("precision", onnxruntime_cuda.PRECISIONS)
def test_the_gpu_draws_what_torch_draws(precision: str, tmp_path: Path) -> None:
    generator = network.build(read(GOLDEN / f"{STEM}.pkl"))
    graph.export(generator, tmp_path / "graph.onnx")
    plan = tmp_path / onnxruntime_cuda.FILE
    onnxruntime_cuda.compile(tmp_path / "graph.onnx", plan, precision=precision, max_batch=4)

    report = compare(generator, plan, "onnxruntime-cuda", precision)

    assert report.passed, report.table()
