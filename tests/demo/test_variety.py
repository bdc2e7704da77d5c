"""Balanced seeds and the audit, on the portraits that are shipped, by the real server."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from demo.attributes import INDEX
from demo.reader import load, read

from nonesuch import Client, Truncation
from nonesuch.balance import Balance, Draw
from nonesuch.cli import main
from nonesuch.images import decode
from nonesuch.latents import Seeds, parse_seeds
from nonesuch.options import RAW

pytestmark = pytest.mark.triton

PSI = Truncation(psi=0.7)
SKIN = Balance(direction="skin")


def ask(url: str, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--url", url])


def skin_thirds(url: str, seeds: Seeds) -> list[float]:
    """The shares of light, medium and dark skin that the attribute reader sees, in per cent."""
    reader = load()
    with Client(url) as client:
        pictures = list(client.generate("portraits", seeds, truncation=PSI, format=RAW))
    shown = torch.from_numpy(np.stack([picture.array() for picture in pictures]))
    img = shown.permute(0, 3, 1, 2) / 127.5 - 1
    skin = torch.cat([read(reader, part) for part in torch.split(img, 50)])[:, INDEX["skin"]]
    counts = torch.bincount(torch.bucketize(skin.contiguous(), torch.tensor([1 / 3, 2 / 3])))
    return [100 * count / len(seeds) for count in counts.tolist()]


def test_balance_brings_three_thirds_of_skin_tone(url: str) -> None:
    with Client(url) as client:
        draw = Draw(client, "portraits", [SKIN], count=600, truncation=PSI)
        seeds = Seeds.of(draw)

    assert draw.reached(SKIN) == pytest.approx([1 / 3] * 3, abs=1e-3)
    assert draw.natural(SKIN)[1] > 0.42  # the middle third, without balance
    assert draw.acceptance < 0.9
    assert skin_thirds(url, seeds) == pytest.approx([100 / 3] * 3, abs=3)


def test_the_command_prints_seeds_for_generate(url: str) -> None:
    result = ask(
        url, "sample", "portraits", "--balance", "glasses=1,1", "--balance", "skin",
        "--count", "12", "--truncation", "0.7",
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    seeds = parse_seeds(result.stdout.strip())
    assert len(set(seeds)) == 12
    assert "12 of " in result.stderr
    assert "balanced 50 / 50 %" in result.stderr
    with Client(url) as client:
        order = [direction.name for direction in client.info("portraits").directions]
        scores = 0.7 * client.scores("portraits", seeds)
    glasses, skin = scores[:, order.index("glasses")], scores[:, order.index("skin")]
    cells = 3 * (glasses > 0) + np.digitize(skin, [-(3**-0.5), 3**-0.5])
    assert np.bincount(cells).tolist() == [2] * 6


def test_what_the_portraits_never_show_ends_with_status_1(url: str) -> None:
    words = ("sample", "portraits", "--balance", "skin=0,0,0,0,0,0,0,1", "--truncation", "0.5")

    result = ask(url, *words, "--most", "300")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: the seeds 0-299 hold 0 of the 32 wanted in class 8 of")


def test_an_unknown_direction_is_refused_with_the_near_ones(url: str) -> None:
    result = ask(url, "sample", "portraits", "--balance", "skim")

    assert result.exit_code == 2
    assert "no direction 'skim': did you mean skin" in result.stderr


def test_the_audit_tells_and_draws_how_portraits_spread(url: str, tmp_path: Path) -> None:
    chart = tmp_path / "audit.png"
    words = ("audit", "portraits", "--seeds", "0-799", "--truncation", "0.5", "--out", str(chart))

    result = ask(url, *words, "--json")

    assert result.exit_code == 0, result.output
    spreads = {
        spread["direction"]: spread for spread in map(json.loads, result.stdout.split("\n")[:-1])
    }
    assert len(spreads) == len(INDEX)
    for spread in spreads.values():
        assert spread["pictures"] == 800
        assert spread["deviation"] == pytest.approx(0.5, abs=0.04)
        assert spread["mean"] == pytest.approx(0, abs=0.08)
    height, width, _ = decode(chart.read_bytes()).shape
    assert height > 15 * len(INDEX)
    assert width > 300


def test_the_audit_for_people_has_a_line_for_each_direction(url: str) -> None:
    result = ask(url, "audit", "portraits", "--seeds", "0-99")

    lines = result.stdout.splitlines()
    assert len(lines) == 1 + len(INDEX)
    assert lines[0].split() == ["direction", "mean", "dev.", "-3", "…", "3", "thirds"]
    assert all(line.endswith(" %") for line in lines[1:])


def test_a_chart_of_another_format_is_refused_before_the_work(url: str) -> None:
    result = ask(url, "audit", "portraits", "--out", "audit.jpg")

    assert result.exit_code == 2
    assert "charts are png files" in result.stderr
