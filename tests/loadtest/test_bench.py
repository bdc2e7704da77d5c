"""What `make bench-engines` measures is what it says."""

import json
import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from tests.export.forge import shaped

import bench_engines
import bench_folding
import bench_onnxruntime
import bench_winograd
import contestants
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


def test_grouped_convolutions_in_half_precision_draw_nearly_the_same() -> None:
    config = Config(resolution=64, widths=(16, 8, 8, 4, 4), mapping_widths=(16, 24), w_dim=24)
    arrays = network.freeze(shaped(config), "made").arrays
    z = torch.randn(3, config.z_dim)

    whole, half = (Grouped(arrays, 64, half=half)(z).float() for half in (False, True))

    error = (whole - half).square().mean()
    assert 0 < error <= 255**2 / 10**4  # 40 dB


def test_what_must_move_is_read_and_written_once() -> None:
    config = Config(resolution=8, widths=(5, 3), mapping_widths=(7,), w_dim=7)

    # 4x4: 5 in, 5 out, colours of 5. 8x8: 5 of 4x4 in, 3 out, 3 in, 3 out, colours of 3.
    maps = (5 + 5 + 5 + 3) * 16 + 5 * 16 + (3 + 3 + 3 + 3 + 3) * 64
    weights = 5 * 5 * 9 + 5 * 3 + 5 * 3 * 9 + 3 * 3 * 9 + 3 * 3
    assert contestants.moved(config, 1, "fp32") == 4 * (maps + weights)
    assert contestants.moved(config, 8, "fp16") == 2 * (maps + weights / 8)


def test_a_gpu_that_is_not_there_is_told() -> None:
    done = CliRunner().invoke(bench_engines.main, ["--device", "cuda"])
    other = ["--device", "cuda", "--family", "stylegan3-t"]

    assert "torch finds no NVIDIA GPU here" in done.output
    assert done.exit_code == CliRunner().invoke(bench_engines.main, other).exit_code == 2


@pytest.mark.parametrize(("resolution", "gmac"), [(256, 14.9), (1024, 74.3)])
def test_multiply_adds_are_those_of_the_paper(resolution: int, gmac: float) -> None:
    config = Config.sized(resolution=resolution, **AUTHORS)  # type: ignore[arg-type]

    assert contestants.multiply_adds(config) / 1e9 == pytest.approx(gmac, abs=0.1)


def test_winograds_forms_are_the_convolution() -> None:
    x = torch.randn(2, 8, 16, 16)
    direct, *others = bench_winograd.layers(8, 16).values()

    assert len(others) == 4
    for other in others:
        torch.testing.assert_close(other.convolve(x), direct.convolve(x), atol=1e-4, rtol=0)


def test_each_way_to_run_onnx_runtime_is_measured(tmp_path: Path) -> None:
    graph.export(
        shaped(Config(resolution=8, widths=(4, 4), mapping_widths=(8,), w_dim=8)),
        plan := tmp_path / "model.onnx",
    )

    done = CliRunner().invoke(bench_onnxruntime.main, [str(plan), "--batch", "3", "--rounds", "1"])

    assert done.exit_code == 0, done.output
    lines = [line.split(" img/s  ") for line in done.stdout.splitlines()]
    assert [name for _, name in lines] == list(bench_onnxruntime.WAYS)
    assert all(float(rate_hz) > 0 for rate_hz, _ in lines)


def test_a_folded_graph_has_fewer_nodes() -> None:
    done = CliRunner().invoke(bench_folding.main, ["--resolution", "8"])

    assert done.exit_code == 0, done.output
    counts = [int(n) for n in re.findall(r"(?:traced|folded): (\d+) nodes", done.stdout)]
    assert counts[0] > 2 * counts[1] > 0
    assert len(re.findall(r"(ONNX Runtime|OpenVINO): \d+ nodes, [\d.]+ ms", done.stdout)) == 4


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
    assert all(result["copied"] > 0 for result in results)
    assert {"torch", "onnxruntime", "openvino"} < set(figures["versions"])
    assert figures["hardware"]["cores"] >= 1
