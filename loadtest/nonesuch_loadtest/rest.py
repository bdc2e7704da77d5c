"""HTTP as a transport: KServe's protocol with its binary tensors, which blocks or is awaited."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from tritonclient.grpc import service_pb2

from nonesuch.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    NonesuchError,
    RemoteError,
    ServerUnreachable,
)
from nonesuch_loadtest import asking
from nonesuch_loadtest.asking import NULL_SEED, Asked, Cards
from nonesuch_loadtest.scenario import Request
from nonesuch_loadtest.target import Answer

LENGTH = "Inference-Header-Content-Length"  # of the JSON before the tensors
_BY_STATUS: dict[int, type[NonesuchError]] = {
    400: InvalidRequest,
    404: ModelNotFound,
    503: ServerUnreachable,
}
_ENDLESS = httpx.Limits(max_connections=None, max_keepalive_connections=None)


class Http:
    """Connections that are kept; as many as requests are under way."""

    def __init__(self, url: str, cards: Cards, *, aio: bool, null: bool = False) -> None:
        self.aio = aio
        self._url, self._cards, self._null = url, cards, null
        # Proxies of the environment are for the world outside, not for what is measured.
        made = httpx.AsyncClient if aio else httpx.Client
        self._client: Any = made(base_url=f"http://{url}", limits=_ENDLESS, trust_env=False)

    def prepare(self, request: Request, seed: int) -> Asked:
        return asking.ask(request, NULL_SEED if self._null else seed, self._cards)

    def send(self, asked: Asked, timeout_s: float) -> Any:
        head, body = encode(asked.message)
        model = asked.request.model
        posted = self._client.build_request(
            "POST",
            asking.null_path(asked.request) if self._null else f"/v2/models/{model}/infer",
            content=head + body,
            headers={LENGTH: str(len(head)), "Content-Type": "application/octet-stream"},
            timeout=timeout_s,
        )
        return self._awaited(posted, timeout_s) if self.aio else self._blocked(posted, timeout_s)

    def read(self, asked: Asked, answer: Any) -> Answer:
        if answer.status_code != httpx.codes.OK:
            kind = _BY_STATUS.get(answer.status_code, RemoteError)
            raise kind(f"{self._url}: {answer.text[:300]}")
        length = int(answer.headers.get(LENGTH, len(answer.content)))
        message = decode(answer.content[:length], answer.content[length:])
        return asking.read(asked, message, self._cards)

    def close(self) -> Any:
        return self._client.aclose() if self.aio else self._client.close()

    def _blocked(self, posted: Any, timeout_s: float) -> Any:
        with self._translated(timeout_s):
            return self._client.send(posted)

    async def _awaited(self, posted: Any, timeout_s: float) -> Any:
        with self._translated(timeout_s):
            return await self._client.send(posted)

    @contextmanager
    def _translated(self, timeout_s: float) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as exc:
            raise DeadlineExceeded(f"{self._url}: no answer within {timeout_s:g} s") from exc
        except httpx.TransportError as exc:
            raise ServerUnreachable(f"{self._url}: {exc}") from exc


def encode(message: Any) -> tuple[bytes, bytes]:
    """A gRPC request as the JSON and the tensors of an HTTP request."""
    inputs = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
            "parameters": {"binary_data_size": len(raw)},
        }
        for tensor, raw in zip(message.inputs, message.raw_input_contents, strict=True)
    ]
    wanted = [{"name": o.name, "parameters": {"binary_data": True}} for o in message.outputs]
    parameters = {name: value.uint64_param for name, value in message.parameters.items()}
    head = {"inputs": inputs, "outputs": wanted, "parameters": parameters}
    return json.dumps(head).encode(), b"".join(message.raw_input_contents)


def decode(head: bytes, body: bytes) -> Any:
    """The gRPC answer that the JSON and the tensors of an HTTP answer come to."""
    found = json.loads(head)
    answer = service_pb2.ModelInferResponse(model_name=found["model_name"])
    at = 0
    for output in found["outputs"]:
        size = output["parameters"]["binary_data_size"]
        answer.outputs.add(name=output["name"], datatype=output["datatype"], shape=output["shape"])
        answer.raw_output_contents.append(body[at : at + size])
        at += size
    return answer


def canned(answer: Any) -> bytes:
    """An answer as it came, for a null server to say again."""
    lines = (
        "HTTP/1.1 200 OK",
        f"{LENGTH}: {answer.headers[LENGTH]}",
        f"Content-Length: {len(answer.content)}",
    )
    content: bytes = answer.content
    return "\r\n".join([*lines, "", ""]).encode() + content
