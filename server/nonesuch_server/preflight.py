"""What can be known of a model repository before a server loads it.

The embedded server waits for ever on a version folder without its file, and says only in its log
what is wrong with a configuration; so both are looked at first.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from nonesuch.errors import SetupError
from nonesuch_server import gpu

ENSEMBLE = "ensemble"
# backend → what a version holds; a shim of ours serves all but the first
FILES = {
    "python": "model.py",
    "onnxruntime": "model.onnx",
    "openvino": "model.xml",
    "tensorrt": "model.plan",
}
_PLATFORMS = {  # older word for backend
    "onnxruntime_onnx": "onnxruntime",
    "tensorrt_plan": "tensorrt",
    ENSEMBLE: ENSEMBLE,
}


@dataclass(frozen=True, slots=True)
class Model:
    """A folder of the repository, with its configuration."""

    name: str
    backend: str
    folder: Path
    config: Any  # a ModelConfig message; protobuf ships no types

    @property
    def on_gpu(self) -> bool:
        """Whether it runs on an NVIDIA GPU alone."""
        kinds = {group.kind for group in self.config.instance_group}
        return self.backend == "tensorrt" or model_config_pb2.ModelInstanceGroup.KIND_GPU in kinds

    @property
    def files(self) -> list[Path]:
        """What its versions run, one for each."""
        name = self.config.default_model_filename or FILES[self.backend]
        return [path / name for path in sorted(self.folder.iterdir()) if _is_version(path)]


def check(repository: Path) -> list[Model]:
    """Return the models of a repository, sorted by name.

    Raises SetupError for a folder that is missing or holds no model, and for a model that the
    embedded server could not load.
    """
    if not repository.is_dir():
        raise SetupError(f"there is no folder {repository}; name another with --repository")
    folders = sorted(
        path for path in repository.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    if not folders:
        raise SetupError(
            f"{repository} holds no model; write one there with `nonesuch-export build`"
        )
    models = [_read(folder) for folder in folders]
    names = {model.name for model in models}
    for model in models:
        _check_files(model)
        _check_steps(model, names)
        _check_gpu(model)
    return models


def _read(folder: Path) -> Model:
    config = model_config_pb2.ModelConfig()
    path = folder / "config.pbtxt"
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), config)
    except OSError as exc:
        raise SetupError(
            f"model '{folder.name}' has no readable config.pbtxt ({exc.strerror}); write the "
            "model again, or move the folder out of the repository"
        ) from exc
    except (text_format.ParseError, UnicodeDecodeError) as exc:
        raise SetupError(
            f"model '{folder.name}': {path} is wrong at {str(exc).rstrip('.')}; mend it there"
        ) from exc
    if config.name not in {"", folder.name}:
        raise SetupError(
            f"model '{folder.name}': config.pbtxt names it '{config.name}'; both must be the same"
        )
    backend = config.backend or _PLATFORMS.get(config.platform, config.platform)
    return Model(folder.name, backend, folder, config)


def _check_files(model: Model) -> None:
    if model.backend != ENSEMBLE and model.backend not in FILES:
        raise SetupError(
            f"model '{model.name}' needs the backend '{model.backend}', the embedded server has "
            f"{', '.join(sorted(FILES))}; serve it with Triton's container"
        )
    if not any(map(_is_version, model.folder.iterdir())):
        raise SetupError(
            f"model '{model.name}' has no version in {model.folder}; expected a folder "
            f"{model.folder / '1'}"
        )
    if model.backend == ENSEMBLE:
        return
    weights = [path.with_suffix(".bin") for path in model.files if path.suffix == ".xml"]
    for path in (*model.files, *weights):
        if not path.is_file():
            raise SetupError(f"model '{model.name}' lacks {path}; write the model again")


def _check_steps(model: Model, names: set[str]) -> None:
    for step in model.config.ensemble_scheduling.step:
        if step.model_name not in names:
            raise SetupError(
                f"ensemble '{model.name}' has a step '{step.model_name}', which is not in the "
                f"repository; there are {', '.join(sorted(names))}"
            )


def _check_gpu(model: Model) -> None:
    if model.on_gpu and not gpu.count():
        raise SetupError(
            f"model '{model.name}' runs on an NVIDIA GPU, and this machine has none that its "
            "driver (libcuda.so.1) shows; build the model with --engine openvino or onnxruntime"
        )


def _is_version(path: Path) -> bool:
    return path.is_dir() and path.name.isdigit()
