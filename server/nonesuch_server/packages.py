"""What the interpreter of the served models holds, as pip's requirements.

`runtime.txt` pins what all models need. Models on a GPU need more, which is large and therefore
fetched for them alone; TensorRT in the very version that built their plans.
"""

import json
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from nonesuch.errors import SetupError
from nonesuch_server.preflight import Model

_BUILDER = re.compile(r"(tensorrt|tensorrt_rtx) (\d+(?:\.\w+)*)")  # as `model.json` has it
# These run with the drivers of CUDA 12 and later.
_CUDA = "cuda-bindings==12.9.10"
_JPEG = "nvidia-nvimgcodec-cu12[nvjpeg]==0.9.0.20"  # for the encoder beside them


def pinned() -> list[str]:
    """The requirements of all models, each with its version."""
    text = resources.files("nonesuch_server").joinpath("runtime.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def of(models: Iterable[Model]) -> tuple[str, ...]:
    """What these models need beyond the pinned ones, sorted.

    Raises SetupError where plans were built by different versions of TensorRT, or do not say by
    which.
    """
    needed: dict[str, str] = {}  # requirement → a model that has it
    for model in models:
        if model.on_gpu:
            needed[_JPEG] = model.name
        if model.backend == "tensorrt":
            needed |= dict.fromkeys((_CUDA, *_builders(model)), model.name)
        elif model.backend == "onnxruntime" and model.on_gpu:
            needed[_on_cuda()] = model.name
    builders = [requirement for requirement in needed if requirement.startswith("tensorrt")]
    if len(builders) > 1:
        first, second, *_ = builders
        raise SetupError(
            f"model '{needed[first]}' needs {first} and '{needed[second]}' {second}; build both "
            "with one version, or serve them from two repositories"
        )
    return tuple(sorted(needed))


def replaced(requirement: str, by: Iterable[str]) -> bool:
    """Whether one of `by` brings the module of a pinned requirement: ONNX Runtime for CUDA does."""
    name = requirement.split("==")[0]
    return any(other.startswith(f"{name}-gpu") for other in by)


def _on_cuda() -> str:
    (version,) = (line.split("==")[1] for line in pinned() if line.startswith("onnxruntime=="))
    return f"onnxruntime-gpu[cuda,cudnn]=={version}"


def _builders(model: Model) -> list[str]:
    """The packages that built a model's plans."""
    return [_builder(model.name, plan.with_suffix(".json")) for plan in model.files]


def _builder(name: str, identity: Path) -> str:
    """What a plan's identity, which lies beside it, says that it was built by."""
    try:
        library = str(json.loads(identity.read_text(encoding="utf-8"))["library"])
    except (OSError, ValueError, TypeError, KeyError) as exc:
        raise SetupError(
            f"model '{name}' has no readable {identity}, which says what built its plan; "
            "build the plan anew with `nonesuch-export plan`"
        ) from exc
    known = _BUILDER.fullmatch(library)
    if not known:
        raise SetupError(
            f"model '{name}': {identity} says that {library!r} built its plan, which is no "
            "TensorRT; build the plan anew with `nonesuch-export plan`"
        )
    return "==".join(known.groups())
