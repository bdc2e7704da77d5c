"""A server without work: it answers at once, so that a run against it measures the driver.

It is a process of its own on this machine and says what the real server said once.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

import grpc
import grpc.aio

from nonesuch.errors import SetupError
from nonesuch_loadtest import spawn

_STARTING_S = 60.0


class _Canned(grpc.GenericRpcHandler):  # type: ignore[misc]  # gRPC ships no types
    """Answers by the path of a call alone."""

    def __init__(self, answers: Mapping[str, bytes]) -> None:
        self._handlers = {path: _handler(answer) for path, answer in answers.items()}

    def service(self, call: Any) -> Any:
        return self._handlers.get(call.method)


def _handler(answer: bytes) -> Any:
    async def respond(_request: bytes, _context: Any) -> bytes:
        return answer

    return grpc.unary_unary_rpc_method_handler(respond)


@contextmanager
def server(answers: Mapping[str, bytes], *, http: bool) -> Iterator[str]:
    """HOST:PORT of a running null server; it answers by path, a message or a whole HTTP answer."""
    process, ours = spawn.start(_serve, dict(answers), http)
    try:
        if not ours.poll(_STARTING_S):
            raise SetupError(f"the null server was not ready within {_STARTING_S:g} s")
        yield f"127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


def _serve(pipe: Connection, answers: Mapping[str, bytes], http: bool) -> None:
    asyncio.run(_http(pipe, answers) if http else _grpc(pipe, answers))


async def _grpc(pipe: Connection, answers: Mapping[str, bytes]) -> None:
    made = grpc.aio.server(options=(("grpc.max_send_message_length", -1),))
    made.add_generic_rpc_handlers((_Canned(answers),))
    port = made.add_insecure_port("127.0.0.1:0")
    await made.start()
    pipe.send(port)
    await made.wait_for_termination()


async def _http(pipe: Connection, answers: Mapping[str, bytes]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                path = head.split(" ", 2)[1]
                length = next(
                    int(line.partition(":")[2])
                    for line in head.lower().splitlines()
                    if line.startswith("content-length:")
                )
                await reader.readexactly(length)
                writer.write(answers[path])
                await writer.drain()

    made = await asyncio.start_server(serve, "127.0.0.1", 0)
    pipe.send(made.sockets[0].getsockname()[1])
    await made.serve_forever()
