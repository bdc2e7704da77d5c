"""The load that a run puts on this machine: the server's processes, the driver's, and the GPU."""

import time
from collections.abc import Iterable
from typing import Any

import psutil

from nonesuch_loadtest.gpu import Gpus
from nonesuch_loadtest.result import Resource

_HERE = {"localhost", "127.0.0.1", "[::1]", "0.0.0.0"}
_MOST = 600  # readings kept; then every second one goes


def listener(url: str) -> int | None:
    """The process on this machine that listens at HOST:PORT; None for another machine's."""
    host, _, port = url.rpartition(":")
    if host not in _HERE:
        return None
    try:
        for found in psutil.net_connections("tcp"):
            place: Any = found.laddr  # an empty tuple where there is none
            if found.status == psutil.CONN_LISTEN and place and place.port == int(port):
                return found.pid
    except psutil.AccessDenied:  # another user's, on some systems
        pass
    return None


class Resources:
    """Readings since it was made, in bounded memory."""

    def __init__(self, server: int | None, drivers: Iterable[int]) -> None:
        """Watch a server by its process id, with all that it started, and the drivers."""
        self._server = server
        self._drivers = list(drivers)
        self._gpus = Gpus()
        self._at = time.monotonic()
        self._busy_s = {"server": self._spent(self._tree()), "driver": self._spent(self._drivers)}
        self._every, self._asked = 1, 0
        self.readings: list[Resource] = []

    def read(self, at_s: float) -> None:
        """Take one reading and note it for `at_s`."""
        self._asked += 1
        if self._asked % self._every:
            return
        server, now = self._tree(), time.monotonic()
        spent = {"server": self._spent(server), "driver": self._spent(self._drivers)}
        cores = {k: (spent[k] - self._busy_s[k]) / (now - self._at) for k in spent}
        self._at, self._busy_s = now, spent
        gpu = self._gpus.read()
        self.readings.append(
            Resource(
                at_s=at_s,
                server_cores=max(0.0, cores["server"]) if server else None,
                server_bytes=_memory(server) if server else None,
                driver_cores=max(0.0, cores["driver"]),
                driver_bytes=_memory(self._drivers),
                gpu_watts=gpu.watts if gpu else None,
                gpu_mhz=gpu.mhz if gpu else None,
                gpu_busy=gpu.busy if gpu else None,
                gpu_bytes=gpu.bytes if gpu else None,
            )
        )
        if len(self.readings) > _MOST:
            del self.readings[::2]
            self._every *= 2

    def _tree(self) -> list[int]:
        if self._server is None:
            return []
        try:
            root = psutil.Process(self._server)
            return [root.pid, *(child.pid for child in root.children(recursive=True))]
        except psutil.NoSuchProcess:
            return []

    def _spent(self, pids: Iterable[int]) -> float:
        """Seconds of CPU time so far."""
        total = 0.0
        for pid in pids:
            try:
                times = psutil.Process(pid).cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return total


def _memory(pids: Iterable[int]) -> int:
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
