"""The machine that a result is true of, by its parts and without its name."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from nonesuch_loadtest import gpu
from nonesuch_loadtest.result import Hardware

_PACKAGES = ("nonesuch", "grpcio", "tritonclient", "numpy", "onnxruntime", "openvino", "torch")


def hardware() -> Hardware:
    """What this process finds."""
    facts = _cpuinfo()
    known = facts.get("flags", facts.get("Features", "")).split()
    return Hardware(
        cpu=facts.get("model name", platform.processor() or platform.machine()),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        instructions=tuple(f for f in known if f.startswith(("avx", "amx", "asimd", "sve"))),
        gpus=gpu.names(),
        load=os.getloadavg()[0],
    )


def nickname(machine: Hardware) -> str:
    """A word for a folder's name: the kind of machine, which is nobody's secret.

    >>> nickname(Hardware(cpu="AMD EPYC 7B13", cores=2, memory_bytes=0, system=""))
    'amd-epyc-2'
    """
    chip = machine.gpus[0] if machine.gpus else machine.cpu
    words = "".join(c if c.isalnum() else " " for c in chip.lower().replace("(r)", "")).split()
    return "-".join([*words[:2], str(len(machine.gpus) or machine.cores)])


def versions() -> dict[str, str]:
    """Of Python and of the packages that are installed here."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _cpuinfo() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, _, value in pairs}
