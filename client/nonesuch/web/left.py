"""Clients that leave: what is done for them ends as soon as their connection does."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

STATUS = 499  # nobody reads it but the metrics; the number is nginx's


async def while_there(request: Request, work: Coroutine[Any, Any, Response]) -> Response:
    """Await an answer, or cancel the work when the client disconnects.

    The request's body must have been read, if it has one. An answer that comes together with the
    news that its client has left is not sent.
    """
    task = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return gone() if leaving.done() else task.result()
    finally:
        for each in (task, leaving):
            each.cancel()
        await asyncio.gather(task, leaving, return_exceptions=True)


def gone(*_: object) -> Response:
    """The answer that nobody is there to read."""
    return Response(status_code=STATUS)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
