"""What the package is to those who import it."""

import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from tests.client.shell import python

import nonesuch


def test_all_names_what_is_public() -> None:
    for name in nonesuch.__all__:
        assert getattr(nonesuch, name)  # comes on first use
    public = [
        name
        for name, value in vars(nonesuch).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    ]

    assert nonesuch.__all__ == sorted(public)
    assert len(public) <= 16


def test_the_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))

    assert nonesuch.__version__ == project["project"]["version"]


def test_an_error_is_there_without_grpc() -> None:
    run = python("import sys; from nonesuch import NonesuchError; print(*sys.modules)")

    assert not {name.partition(".")[0] for name in run.stdout.split()} & {"grpc", "PIL", "numpy"}


def test_a_name_that_is_not_there_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="module 'nonesuch' has no attribute 'Pictures'"):
        _ = nonesuch.Pictures  # type: ignore[attr-defined]


def test_the_client_loads_nothing_heavy_and_none_of_the_other_packages() -> None:
    run = python("import sys, nonesuch.cli; print(*sys.modules)")

    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert "nonesuch" in loaded
    assert not {name for name in loaded if name.startswith("nonesuch_")}
    assert not loaded & {"torch", "onnx", "onnxruntime", "scipy"}
    assert not loaded & {"starlette", "uvicorn", "av", "c2pa", "pyarrow", "ray"}  # of its extras
