"""Identity: what a TensorRT plan was built with and for, in a file beside it.

A plan runs on the TensorRT version and the type of GPU that built it. Where it is loaded on
others, TensorRT gives a number at best; this tells the two apart, and how to make them alike.
"""

import hashlib
import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from nonesuch.errors import ExportError, InvalidRequest

Hardware = Literal["none", "ampere_plus", "same_compute_capability"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How to build a plan. What the TensorRT at hand does not know, its build refuses."""

    precision: str = "fp32"
    batch: tuple[int, int, int] = (1, 8, 8)  # the least, the one to be fast at, the most
    level: int = 3  # 0 to 5: the more, the longer the search for fast kernels
    workspace_mib: int | None = None  # memory for kernels; None = all that the GPU has
    targets: tuple[str, ...] = ()  # such as SM86, instead of this machine's GPU (RTX only)
    hardware: Hardware = "none"  # other GPUs that may run it too
    version_compatible: bool = False  # later versions of TensorRT may run it too

    def __post_init__(self) -> None:
        least, preferred, most = self.batch
        if not 1 <= least <= preferred <= most:
            raise InvalidRequest(f"batch is {self.batch}, expected three rising sizes from 1 on")

    @property
    def options(self) -> list[str]:
        """As `nonesuch-export plan` takes them."""
        said = ["--precision", self.precision, "--batch", *map(str, self.batch)]
        said += ["--level", str(self.level)]
        if self.workspace_mib is not None:
            said += ["--workspace-mib", str(self.workspace_mib)]
        for target in self.targets:
            said += ["--target", target]
        if self.hardware != "none":
            said += ["--hardware", self.hardware]
        return [*said, "--version-compatible"] if self.version_compatible else said


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """What a plan belongs to."""

    library: str  # TensorRT's package and version
    gpu: str | None  # the name of the GPU that built it; None = it was built without one
    capability: str | None  # of that GPU, as 9.0
    onnx_sha256: str
    settings: Settings

    def write(self, plan: Path) -> None:
        text = json.dumps(asdict(self), indent=2) + "\n"
        _file(plan).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, plan: Path) -> Self:
        """The identity beside `plan`; ExportError where there is none."""
        try:
            values: dict[str, Any] = json.loads(_file(plan).read_text(encoding="utf-8"))
            given: dict[str, Any] = values.pop("settings")
            given |= {name: tuple(given[name]) for name in ("batch", "targets")}
            return cls(**values, settings=Settings(**given))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as exc:
            raise ExportError(
                f"{plan} has no readable {_file(plan).name} beside it, which says what it is for; "
                "build it anew with `nonesuch-export plan`"
            ) from exc

    def check(self, plan: Path, *, library: str, gpu: str | None, capability: str | None) -> None:
        """Raise ExportError where a plan does not belong here, or its graph has changed."""
        here = "no GPU" if gpu is None else f"{gpu} (compute capability {capability})"
        number = "" if capability is None else capability.replace(".", "")
        words = self._difference(library, here, number)
        if graph(plan).exists() and digest(graph(plan)) != self.onnx_sha256:
            words = f"was not built of {graph(plan).name}, which has changed since"
        if words:
            command = ["nonesuch-export", "plan", str(graph(plan)), "--out", str(plan)]
            command += self.settings.options
            raise ExportError(f"{plan} {words}: rebuild it with `{shlex.join(command)}`")

    def _difference(self, library: str, here: str, number: str) -> str | None:
        """What keeps a plan from running on a library and a GPU, as a clause."""
        made = self.settings
        if library != self.library and not made.version_compatible:
            return f"was built by {self.library}, and here is {library}"
        if made.targets and f"SM{number}" not in made.targets:
            return f"was built for {', '.join(made.targets)}, and here is {here}"
        there = f"{self.gpu} (compute capability {self.capability})"
        if not made.targets and made.hardware == "none" and here != there:
            return f"was built on {there}, and here is {here}"
        return None


def graph(plan: Path) -> Path:
    """Where the graph is kept that a plan was built of."""
    return plan.with_suffix(".onnx")


def digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _file(plan: Path) -> Path:
    return plan.with_suffix(".json")
