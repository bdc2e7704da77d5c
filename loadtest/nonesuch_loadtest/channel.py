"""gRPC as a transport, which blocks or is awaited."""

from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2

from nonesuch import protocol
from nonesuch.errors import translated
from nonesuch_loadtest import asking
from nonesuch_loadtest.asking import NULL_SEED, Asked, Cards
from nonesuch_loadtest.scenario import Request
from nonesuch_loadtest.target import Answer

_INFER = "/inference.GRPCInferenceService/ModelInfer"


class Grpc:
    """A channel of its own, made when the first request is sent."""

    def __init__(
        self, url: str, cards: Cards, *, aio: bool, null: bool = False, everything: bool = False
    ) -> None:
        """Talk to a server, or to the one of `null.py`, which answers NULL_SEED alone.

        `everything` asks for every output, whatever the request's format.
        """
        self.aio, self._everything = aio, everything
        self._url, self._cards, self._null = url, cards, null
        self._channel: Any = None  # gRPC's two kinds share no class

    def prepare(self, request: Request, seed: int) -> Asked:
        seed = NULL_SEED if self._null else seed
        return asking.ask(request, seed, self._cards, everything=self._everything)

    def send(self, asked: Asked, timeout_s: float) -> Any:
        if self._channel is None:
            make = grpc.aio.insecure_channel if self.aio else grpc.insecure_channel
            self._channel = make(self._url, options=protocol.CHANNEL)
        call = self._channel.unary_unary(
            asking.null_path(asked.request) if self._null else _INFER,
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )
        wait = self._awaited if self.aio else self._blocked
        return wait(call, asked, timeout_s)

    def read(self, asked: Asked, answer: Any) -> Answer:
        return asking.read(asked, answer, self._cards)

    def close(self) -> Any:
        return self._aclose() if self.aio else self._channel and self._channel.close()

    def _blocked(self, call: Any, asked: Asked, timeout_s: float) -> Any:
        with translated(self._url, timeout_s):
            return call(asked.message, timeout=timeout_s)

    async def _awaited(self, call: Any, asked: Asked, timeout_s: float) -> Any:
        with translated(self._url, timeout_s):
            return await call(asked.message, timeout=timeout_s)

    async def _aclose(self) -> None:
        if self._channel:
            await self._channel.close()
