"""What a machine lacks to run the embedded server, and the mend."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nonesuch.errors import SetupError
from nonesuch_server.interpreter import find_interpreter
from nonesuch_server.listen import Listen, bind
from nonesuch_server.runtime import SIZE_BYTES, Runtime

_GLIBC = (2, 35)
_SHARED_MEMORY = Path("/dev/shm")
_SHARED_MEMORY_BYTES = 64 * 2**20
_MIB = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    ok: bool
    found: str
    mend: str  # what to do if it is not ok


def examine(cache: Path, python: Path | None, listen: Listen) -> Iterator[Check]:
    """Yield each check, changing nothing on the machine.

    `cache` is the folder of the runtimes, `python` the interpreter wanted, if any. What cannot
    be looked at because an earlier thing is missing is left out.
    """
    yield _system()
    yield _glibc()
    yield from _runtime(cache, python)
    yield _shared_memory()
    for flag, port in listen.ports():
        yield _port(listen.host, flag, port)


def _system() -> Check:
    found = f"{platform.system()} {platform.machine()}"
    mend = "use a machine or container with x86-64 Linux"
    return Check(name="system", ok=found == "Linux x86_64", found=found, mend=mend)


def _glibc() -> Check:
    try:
        found = os.confstr("CS_GNU_LIBC_VERSION") or "unknown"  # "glibc 2.36"
        version = tuple(int(part) for part in found.split()[-1].split("."))
    except (ValueError, OSError):  # another C library
        found, version = "no glibc", (0,)
    wanted = ".".join(map(str, _GLIBC))
    mend = f"use a system with glibc {wanted} or later, such as Debian 12 or Ubuntu 22.04"
    return Check(name="glibc", ok=version >= _GLIBC, found=found, mend=mend)


def _runtime(cache: Path, python: Path | None) -> Iterator[Check]:
    try:
        interpreter = find_interpreter(python)
    except SetupError as exc:
        found, _, mend = str(exc).rpartition("; ")
        yield Check(name="interpreter", ok=False, found=found, mend=mend)
        return
    found = f"{interpreter.path} is Python {interpreter.version}"
    yield Check(name="interpreter", ok=True, found=found, mend="")
    runtime = Runtime(cache, interpreter)
    state = "" if runtime.ready else "not prepared: "
    mend = "run `nonesuch-server prepare`"
    yield Check(name="runtime", ok=runtime.ready, found=f"{state}{runtime.folder}", mend=mend)
    if not runtime.ready:
        yield _disk(cache)
        return
    yield _numpy(runtime)
    yield _libraries(runtime)


def _disk(cache: Path) -> Check:
    folder = next(path for path in (cache, *cache.absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    found = f"{free // _MIB} MiB free in {folder}"
    mend = f"free {SIZE_BYTES // _MIB} MiB, or name another folder with --runtime"
    return Check(name="disk", ok=free >= SIZE_BYTES, found=found, mend=mend)


def _numpy(runtime: Runtime) -> Check:
    asked = subprocess.run(
        [runtime.python, "-I", "-c", "import numpy; print(numpy.__version__)"],
        capture_output=True,
        text=True,
        check=False,
    )
    version = asked.stdout.strip() or "missing"
    mend = f"delete {runtime.folder} and run `nonesuch-server prepare`"
    return Check(name="numpy", ok=version.startswith("1."), found=version, mend=mend)


def _libraries(runtime: Runtime) -> Check:
    missing = runtime.missing_libraries()
    found = f"missing: {', '.join(missing)}" if missing else "all found"
    mend = "install the packages that hold them, or name another interpreter with --python"
    return Check(name="libraries", ok=not missing, found=found, mend=mend)


def _shared_memory() -> Check:
    mend = "give it 64 MiB or more, for a container with `--shm-size=1g`"
    try:
        usage = shutil.disk_usage(_SHARED_MEMORY)
    except OSError as exc:
        found = f"{_SHARED_MEMORY}: {exc.strerror}"
        return Check(name="shared memory", ok=False, found=found, mend=mend)
    found = f"{usage.free // _MIB} of {usage.total // _MIB} MiB free in {_SHARED_MEMORY}"
    ok = usage.free >= _SHARED_MEMORY_BYTES
    return Check(name="shared memory", ok=ok, found=found, mend=mend)


def _port(host: str, flag: str, port: int) -> Check:
    name = f"port {port}"
    try:
        bind(host, flag, port).close()
    except SetupError as exc:
        found, _, mend = str(exc).partition("; ")
        return Check(name=name, ok=False, found=found, mend=mend)
    return Check(name=name, ok=True, found="free", mend="")
