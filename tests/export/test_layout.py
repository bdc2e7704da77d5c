"""What a checkpoint is checked against is what the networks are made of; it takes no torch."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests import families
from tests.export.test_network import VARIANTS, variant

from nonesuch_export.checkpoint import native
from nonesuch_export.network import FAMILIES, Configuration, freeze, layout, untrained

_LABELS: dict[str, Any] = {"c_dim": 3, "embed_width": 10, "label_concat": True}
_CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("progan", {}),
    ("progan", {"c_dim": 0}),
    ("progan", {"fade": 0.3}),
    ("progan", {"resolution": 4, "widths": (5,), "fused": ()}),
    ("stylegan1", {}),
    ("stylegan1", {"c_dim": 0, "use_noise": False, "has_w_avg": False}),
    ("stylegan1", {"use_styles": False, "const_input": False, "fade": 0.5}),
    ("stylegan1", {"mapping_widths": (), "z_dim": 5}),
    ("stylegan1", {"resolution": 4, "widths": (5,), "fused": (), "cutoff": 1}),
    ("stylegan2", {}),
    ("stylegan2", {"architecture": "orig", "fade": 0.4, **_LABELS}),
    ("stylegan3", {}),
    ("stylegan3", {"c_dim": 0, "embed_width": 0, "kernel_size": 1, "has_w_avg": False}),
]


def _assert_laid_out(family: str, config: Configuration) -> None:
    generator = untrained(family, config, seed=0)
    shapes = {name: tuple(value.shape) for name, value in generator.state_dict().items()}

    assert layout.tensors(family, config) == shapes
    assert config.num_ws == generator.num_ws == len(generator.ws_resolutions)
    assert config.noise_layers == len(generator.noise_const)
    assert config.recommended == generator.recommended


@pytest.mark.parametrize(("family", "change"), _CHANGES)
def test_the_layout_of_a_family_is_its_networks(family: str, change: dict[str, Any]) -> None:
    config = FAMILIES[family][0].from_json({**families.SMALL[family], **change})

    _assert_laid_out(family, config)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_layout_of_every_stylegan2_is_its_networks(name: str) -> None:
    _assert_laid_out("stylegan2", variant(name))


def test_every_family_has_a_layout() -> None:
    assert layout.CONFIGS.keys() == FAMILIES.keys()
    assert all(layout.CONFIGS[name] is config for name, (config, _) in FAMILIES.items())


_INSPECT = """
import sys
from pathlib import Path
from nonesuch_export.checkpoint import read
from nonesuch_export.summary import summarize
print(summarize(read(Path(sys.argv[1]))).family, *{"torch", "onnx"} & set(sys.modules))
"""


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_is_described_without_torch(family: str, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    config = FAMILIES[family][0].from_json(families.SMALL[family])
    native.write(freeze(untrained(family, config, seed=0), ""), path)

    said = subprocess.run(
        [sys.executable, "-c", _INSPECT, path],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip

    assert said.stdout.split() == [family]
