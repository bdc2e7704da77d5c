"""Pixels through memory that the server on this machine shares: regions, lent to requests."""

import secrets
import threading
from contextlib import suppress
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from nonesuch import protocol
from nonesuch.contract import IMAGE, RECIPE
from nonesuch.errors import InvalidRequest, translated
from nonesuch_loadtest.asking import Asked, Cards
from nonesuch_loadtest.scenario import Request

_TIMEOUT_S = 10.0


class Regions:
    """Regions of shared memory that the server writes pixels into; safe between threads."""

    def __init__(self, url: str, cards: Cards, *, null: bool = False) -> None:
        """A null server need not be told of them, it writes nothing."""
        self._url, self._cards, self._null = url, cards, null
        self._channel = grpc.insecure_channel(url, options=protocol.CHANNEL)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._lock = threading.Lock()
        self._all: list[SharedMemory] = []
        self._free: dict[int, list[SharedMemory]] = {}  # by their bytes

    def size_bytes(self, request: Request) -> int:
        """Of a request's pictures; raises InvalidRequest for files, whose size nobody knows."""
        if request.format != "raw":
            raise InvalidRequest(
                f"grpc-shm carries raw pixels alone, the scenario asks for {request.format}; "
                "give --format raw"
            )
        card = self._cards[request.model]
        return request.batch * card.height * card.width * card.channels

    def lend(self, asked: Asked) -> SharedMemory:
        """Let the answer's pixels go into a region, which is `back`'s to be used again."""
        size = self.size_bytes(asked.request)
        with self._lock:
            free = self._free.setdefault(size, [])
            region = free.pop() if free else self._make(size)
        del asked.message.outputs[:]
        asked.message.outputs.add(name=RECIPE.name)
        image = asked.message.outputs.add(name=IMAGE.name)
        image.parameters["shared_memory_region"].string_param = region.name
        image.parameters["shared_memory_byte_size"].int64_param = size
        return region

    def back(self, region: SharedMemory, request: Request) -> None:
        """Take a region back when its answer was read, or will not come."""
        with self._lock:
            self._free[self.size_bytes(request)].append(region)

    def close(self) -> None:
        """Give everything back to the system; the server may be gone already."""
        question = service_pb2.SystemSharedMemoryUnregisterRequest
        for region in self._all:
            with suppress(grpc.RpcError):
                self._stub.SystemSharedMemoryUnregister(question(name=region.name), timeout=1)
            region.close()
            region.unlink()
        self._channel.close()

    def _make(self, size: int) -> SharedMemory:
        region = SharedMemory(f"nonesuch-{secrets.token_hex(6)}", create=True, size=size)
        self._all.append(region)
        question: Any = service_pb2.SystemSharedMemoryRegisterRequest(
            name=region.name, key=f"/{region.name}", byte_size=size
        )
        if self._null:
            return region
        with translated(self._url, _TIMEOUT_S):
            self._stub.SystemSharedMemoryRegister(question, timeout=_TIMEOUT_S)
        return region
