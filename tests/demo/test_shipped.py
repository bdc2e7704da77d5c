"""What is shipped ready to serve is what the exporter makes of the checkpoint, and it serves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from demo import show
from google.protobuf import text_format
from onnx import numpy_helper
from PIL import Image
from tritonclient.grpc import model_config_pb2 as pb

from nonesuch import Client
from nonesuch_export import directions
from nonesuch_export.checkpoint import read
from nonesuch_export.repository import PARTS, Plan, build

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "model_repository"
CHECKPOINT = ROOT / "demo" / "portraits.safetensors"
MODES = 1024
DIALS = ROOT / "demo" / "directions.safetensors"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    build(
        read(CHECKPOINT),
        Plan(name="portraits", repository=folder, directions=(DIALS,), modes=MODES),
    )
    return folder


def _without_parity(card: str) -> dict[str, Any]:
    """A card but for what was measured: other processors round other values."""
    return {name: value for name, value in json.loads(card).items() if name != "parity"}


def test_the_models_are_those_that_a_build_writes(built: Path) -> None:
    files = [  # a server leaves compiled Python there
        {str(p.relative_to(f)) for p in f.rglob("*.*") if p.is_file() and p.suffix != ".pyc"}
        for f in (SHIPPED, built)
    ]
    assert files[0] == files[1]
    for part in ("sampler", "encoder"):
        name = f"portraits_{part}/1/model.py"
        assert (SHIPPED / name).read_bytes() == (built / name).read_bytes()


@pytest.mark.parametrize("part", PARTS)
def test_the_configurations_are_those_that_a_build_writes(built: Path, part: str) -> None:
    configs = []
    for folder in (SHIPPED, built):
        text = (folder / f"portraits{part}" / "config.pbtxt").read_text(encoding="utf-8")
        config: pb.ModelConfig = text_format.Parse(text, pb.ModelConfig())
        card = None
        if "card" in config.parameters:
            card = _without_parity(config.parameters.pop("card").string_value)
        configs.append((config, card))
    assert configs[0] == configs[1]


@pytest.mark.parametrize("part", ["generator", "mapping"])
def test_the_graphs_are_those_that_a_build_writes(built: Path, part: str) -> None:
    one, two = (
        onnx.load(folder / f"portraits_{part}" / "1" / "model.onnx") for folder in (SHIPPED, built)
    )

    assert [node.op_type for node in one.graph.node] == [node.op_type for node in two.graph.node]
    for stored, made in zip(one.graph.initializer, two.graph.initializer, strict=True):
        a, b = numpy_helper.to_array(stored), numpy_helper.to_array(made)
        if ".modes." in stored.name:
            # Rounding may put a sample into another cluster, which moves two of the centres.
            assert np.linalg.norm(a - b) < 0.1 * np.linalg.norm(a)
        else:
            # Folded sums differ in the last bits between processors.
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_dials_belong_to_the_checkpoint() -> None:
    found = directions.read(DIALS)

    assert found.model_hash == read(CHECKPOINT).digest()
    for direction in found.named:
        assert next(iter(direction.effect)) == direction.name


@pytest.mark.triton
def test_the_sheets_show_what_the_server_can_do(url: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(show.main, ["portraits", "--url", url, "--out", str(tmp_path)])

    assert done.exit_code == 0, done.output
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    with Client(url) as client:
        width = client.info("portraits").width
    for name in ("grid", "truncation", "mixing", "noise", "dials"):
        with Image.open(tmp_path / f"{name}.png") as sheet:
            sheet.load()
            assert sheet.width >= 4 * width
            assert "trainedAlgorithmicMedia" in sheet.info["XML:com.adobe.xmp"]
        assert f'<img src="{name}.png" alt="' in page


def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = CliRunner().invoke(show.main, ["--url", "127.0.0.1:9", "--out", str(tmp_path)])

    assert done.exit_code == 3
    assert "127.0.0.1:9" in done.output
    assert not any(tmp_path.iterdir())
