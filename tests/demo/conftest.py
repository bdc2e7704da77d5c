"""What the tests of the demo share: a server with the portraits that are shipped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nonesuch_server.embedded import Embedded
from nonesuch_server.listen import Listen
from nonesuch_server.runtime import Runtime

SHIPPED = Path(__file__).parents[2] / "model_repository"


@pytest.fixture(scope="session")
def url(runtime: Runtime) -> Iterator[str]:
    """The address of a server with `portraits` as they are shipped."""
    anywhere = Listen(grpc_port=0, http_port=0, metrics_port=0)
    with Embedded(SHIPPED, runtime, anywhere) as server:
        yield server.listen.grpc
