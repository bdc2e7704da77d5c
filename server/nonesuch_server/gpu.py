"""The NVIDIA GPUs of this machine, as their driver shows them to programs."""

import ctypes


def count() -> int:
    """How many there are; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    found = ctypes.c_int()
    failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(found))
    return 0 if failed else found.value
