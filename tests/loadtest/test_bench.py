"""What `make bench-engines` measures is what it says."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from tests.export.forge import shaped

import bench_engines
import bench_winograd
from grouped import Grouped
from nonesuch_export import graph, network
from nonesuch_export.network.config import Config

AUTHORS = {"classes": 0, "channel_base": None, "channel_max": 512}


def test_grouped_convolutions_draw_the_same_pictures() -> None:
    config = Config(resolution=32, widths=(16, 8, 8, 4), mapping_widths=(16, 24), w_dim=24)
    generator = shaped(config)
    z = torch.randn(3, config.z_dim)
    pipeline = graph.Pipeline(generator)
    given = graph.neutral(generator, z)

    drawn = Grouped(network.freeze(generator, "made").arrays, 32)(z)

    expected = pipeline(*(given[name] for name in pipeline.names))
    assert (drawn.int() - expected.int()).abs().max() <= 1
    assert expected.float().std() > 10


@pytest.mark.parametrize(("resolution", "gmac"), [(256, 14.9), (1024, 74.3)])
def test_multiply_adds_are_those_of_the_paper(resolution: int, gmac: float) -> None:
    config = Config.sized(resolution=resolution, **AUTHORS)  # type: ignore[arg-type]

    assert bench_engines.multiply_adds(config) / 1e9 == pytest.approx(gmac, abs=0.1)


@pytest.mark.parametrize("form", list(bench_winograd.FORMS)[1:])
def test_winograds_forms_are_the_convolution(form: str) -> None:
    x = torch.randn(2, 8, 16, 16)
    direct, other = (bench_winograd.Layer(8, name) for name in ("direct", form))
    other.load_state_dict(direct.state_dict())

    torch.testing.assert_close(other.convolve(x), direct.convolve(x), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_all_contestants_take_their_turns(tmp_path: Path) -> None:
    words = ["--resolution", "16", "--batch", "2", "--rounds", "2", "--window-s", "0.1"]
    places = ["--folder", str(tmp_path / "plans"), "--out", str(tmp_path / "figures.json")]

    done = CliRunner().invoke(bench_engines.main, [*words, *places])

    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "figures.png") as chart:
        assert chart.width > 500
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    results = figures["results"]
    assert results[0]["ratio"] == 1
    assert {"onnxruntime", "openvino"} < {result["contestant"] for result in results}
    assert all(result["rate_hz"] > 0 and 0 < result["share"] < 1.5 for result in results)
    assert all(0 <= result["elsewhere"] <= 1 for result in results)
    assert set(figures["versions"]) == set(bench_engines.PACKAGES)
    assert figures["hardware"]["cores"] >= 1
