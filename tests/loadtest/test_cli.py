"""The command `nonesuch-loadtest`: what it refuses."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from nonesuch_loadtest.cli import main


@pytest.mark.parametrize("words", ["--callers 0", "--callers -1", "--rounds 0", "--rounds -3"])
def test_a_count_below_one_is_a_wrong_use(tmp_path: Path, words: str) -> None:
    engine = tmp_path / "model.onnx"
    engine.touch()

    result = CliRunner().invoke(main, ["compare", "faces", "--engine", str(engine), *words.split()])

    assert result.exit_code == 2
    assert "is not in the range x>=1" in result.stderr


@pytest.mark.parametrize("window_s", ["0", "-2", "nan", "inf", "long"])
def test_a_window_that_is_no_span_of_time_is_a_wrong_use(tmp_path: Path, window_s: str) -> None:
    engine = tmp_path / "model.onnx"
    engine.touch()
    words = ["compare", "faces", "--engine", str(engine), "--window-s", window_s]

    result = CliRunner().invoke(main, words)

    assert result.exit_code == 2
    assert f"{window_s} is no span of time, expected seconds above 0" in result.stderr
