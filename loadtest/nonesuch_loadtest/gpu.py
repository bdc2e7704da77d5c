"""Power, clock, load and memory of NVIDIA GPUs, by NVML, where there are any."""

from dataclasses import dataclass
from typing import Any

_WATTS_PER_MILLIWATT = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Of all GPUs: sums, and means of clock and load."""

    watts: float
    mhz: float
    busy: float  # 0 … 1
    bytes: int


def _nvml() -> Any:
    """NVIDIA's binding, ready to be asked; None where there is neither it nor a driver."""
    try:
        import pynvml
    except ModuleNotFoundError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def names() -> tuple[str, ...]:
    """The GPUs of this machine."""
    nvml = _nvml()
    return tuple(nvml.nvmlDeviceGetName(h) for h in _handles(nvml)) if nvml else ()


class Gpus:
    """The GPUs of this machine, to be read again and again."""

    def __init__(self) -> None:
        self._nvml = _nvml()
        self._handles = _handles(self._nvml) if self._nvml else []

    def read(self) -> Reading | None:
        """None where there is no GPU."""
        nvml, handles = self._nvml, self._handles
        if not handles:
            return None
        loads = [nvml.nvmlDeviceGetUtilizationRates(h).gpu for h in handles]
        clocks = [nvml.nvmlDeviceGetClockInfo(h, nvml.NVML_CLOCK_SM) for h in handles]
        return Reading(
            watts=sum(nvml.nvmlDeviceGetPowerUsage(h) for h in handles) * _WATTS_PER_MILLIWATT,
            mhz=sum(clocks) / len(handles),
            busy=sum(loads) / len(handles) / 100,
            bytes=sum(nvml.nvmlDeviceGetMemoryInfo(h).used for h in handles),
        )


def _handles(nvml: Any) -> list[Any]:
    return [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
