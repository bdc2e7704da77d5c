"""A well-behaved peer for each test that asks for one."""

from collections.abc import Iterator

import pytest
from tests.client.peer import Peer


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as running:
        yield running
