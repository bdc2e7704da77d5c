"""Frames to the bytes of a film: they are drawn in the event loop and written in a thread."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

from nonesuch.images import Picture, Pixels
from nonesuch.video import Video, write


async def record(
    pictures: AsyncGenerator[Picture, None],
    first: Picture,
    kind: str,
    fps: float,
    count: int,
    recipe: Mapping[str, Any],
) -> bytes:
    """Return `count` frames, `first` and then the pictures, as a file of a kind (`mp4`).

    Cancelled, it stops drawing and waits until the thread has stopped writing.
    """
    reel = _Reel(pictures, first)
    with tempfile.TemporaryDirectory() as folder:
        video = Video(path=Path(folder) / f"film.{kind}", fps=fps)
        writing = asyncio.create_task(asyncio.to_thread(write, video, reel, count, recipe))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            reel.stop()
            await asyncio.gather(writing, return_exceptions=True)
            raise
        return video.path.read_bytes()


class _Reel(Iterator[Pixels]):
    """The frames, for a thread that waits for each while the loop draws it."""

    def __init__(self, pictures: AsyncGenerator[Picture, None], first: Picture) -> None:
        self._pictures = pictures
        self._first: Picture | None = first
        self._loop = asyncio.get_running_loop()
        self._taking: Future[Picture | None] | None = None
        self._stopped = False

    def __next__(self) -> Pixels:
        if self._stopped:
            raise CancelledError
        picture, self._first = self._first, None
        if picture is None:
            self._taking = asyncio.run_coroutine_threadsafe(self._take(), self._loop)
            picture = self._taking.result()
        if picture is None:
            raise StopIteration
        return picture.array()

    def stop(self) -> None:
        """Let the thread end with CancelledError instead of its next frame."""
        self._stopped = True
        if self._taking is not None:
            self._taking.cancel()

    async def _take(self) -> Picture | None:
        return await anext(self._pictures, None)
