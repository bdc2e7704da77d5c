"""The Python interpreter that the embedded server's models run on."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nonesuch.errors import SetupError

# The server links to the interpreter's library, one build for each minor version; numpy 1 and the
# pinned onnxruntime are both made for these two only.
VERSIONS = ("3.11", "3.12")
MEND = "install Python 3.12 with its shared library, or name an interpreter with --python"

_PROBE = """
import json, os, platform, sys, sysconfig
get = sysconfig.get_config_var
library = get("INSTSONAME") or ""
folders = [get("LIBDIR") or "", os.path.join(sys.base_prefix, "lib")]
found = [f for f in folders if library.endswith(".so.1.0") and os.path.isfile(os.path.join(f, library))]
try:
    import ensurepip, venv
    has_venv = True
except ImportError:
    has_venv = False
print(json.dumps([platform.python_version(), found[0] if found else "", has_venv]))
"""  # noqa: E501


@dataclass(frozen=True, kw_only=True, slots=True)
class Interpreter:
    """A Python that the embedded server can run its models on."""

    path: Path
    version: str  # "3.11.7"
    library: Path  # folder of its libpython

    @property
    def minor(self) -> str:
        """The version that the server's parts go by, such as `3.11`."""
        return ".".join(self.version.split(".")[:2])


def find_interpreter(wanted: Path | None = None) -> Interpreter:
    """Take the interpreter at `wanted`, else the running one if it fits, else one on PATH.

    Runs each candidate to ask it. Raises SetupError that says of each why it does not fit.
    """
    refused = []
    for path in [wanted] if wanted else _candidates():
        try:
            return _asked(path)
        except SetupError as exc:
            refused.append(str(exc))
    raise SetupError(f"no interpreter for the served models: {', '.join(refused)}; {MEND}")


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    for version in reversed(VERSIONS):
        if found := shutil.which(f"python{version}"):
            yield Path(found)


def _asked(path: Path) -> Interpreter:
    try:
        answer = subprocess.run(
            [path, "-I", "-c", _PROBE], capture_output=True, text=True, check=True, timeout=30
        )
        version, library, has_venv = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as exc:
        raise SetupError(f"{path} does not run") from exc
    found = Interpreter(path=path, version=version, library=Path(library))
    if found.minor not in VERSIONS:
        raise SetupError(f"{path} is Python {version}, expected {' or '.join(VERSIONS)}")
    if not library:
        raise SetupError(f"{path} has no shared libpython{found.minor}")
    if not has_venv:
        raise SetupError(f"{path} lacks the module venv or ensurepip")
    return found
