"""What `nonesuch web` knows of its server: asked once for all who want to know."""

import asyncio

import pytest

from nonesuch.errors import ServerUnreachable
from nonesuch.web.cards import Recent


class Oracle:
    """Answers with the number of the question, when it may."""

    def __init__(self) -> None:
        self.asked = 0
        self.may = asyncio.Event()

    async def __call__(self) -> int:
        self.asked += 1
        await self.may.wait()
        if self.asked == 1:
            raise ServerUnreachable("away")
        return self.asked


def test_one_answer_is_for_all_and_outlives_who_asked_first() -> None:
    async def ask() -> tuple[list[int | BaseException], int]:
        oracle = Oracle()
        oracle.asked = 1
        recent = Recent(oracle)
        first, *others = (asyncio.create_task(recent.get()) for _ in range(3))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        oracle.may.set()
        return [*await asyncio.gather(*others), await recent.get()], oracle.asked

    assert asyncio.run(ask()) == ([2, 2, 2], 2)


def test_a_failure_is_not_kept_and_what_is_forgotten_is_asked_anew() -> None:
    async def ask() -> list[int]:
        oracle = Oracle()
        oracle.may.set()
        recent = Recent(oracle)
        with pytest.raises(ServerUnreachable, match="away"):
            await recent.get()
        answers = [await recent.get(), await recent.get()]
        recent.forget()
        return [*answers, await recent.get()]

    assert asyncio.run(ask()) == [2, 2, 3]
