"""What the package is to those who import it."""

import tomllib
from pathlib import Path
from types import ModuleType

from tests.client.shell import python

import nonesuch


def test_all_names_what_is_public() -> None:
    public = [
        name
        for name, value in vars(nonesuch).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    ]

    assert nonesuch.__all__ == sorted(public)
    assert len(public) <= 12


def test_the_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))

    assert nonesuch.__version__ == project["project"]["version"]


def test_the_client_loads_nothing_heavy_and_none_of_the_other_packages() -> None:
    run = python("import sys, nonesuch.cli; print(*sys.modules)")

    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert "nonesuch" in loaded
    assert not {name for name in loaded if name.startswith("nonesuch_")}
    assert not loaded & {"torch", "onnx", "onnxruntime", "scipy", "starlette"}
