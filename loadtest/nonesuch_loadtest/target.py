"""What a load test calls: a target prepares a request, sends it and reads the answer."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from nonesuch_loadtest import result
from nonesuch_loadtest.scenario import Request


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request."""

    images: int
    bytes: int  # of pictures, recipes apart


class Target(Protocol):
    """Somebody to send requests to, in the process that uses it.

    `prepare` and `read` are the driver's own work; `send` blocks, or is awaited where the target
    is `aio`. All may raise a NonesuchError, which is then a sample of that class.
    """

    aio: bool

    def prepare(self, request: Request, seed: int) -> Any:
        """What `send` takes for a request, whose first picture has this seed."""

    def send(self, message: Any, timeout_s: float) -> Any:
        """Send it and wait for the whole answer."""

    def read(self, message: Any, answer: Any) -> Answer:
        """Look at the answer; raises RemoteError where it is not what was asked for."""

    def close(self) -> Any:
        """Give back what it holds; awaited where it is `aio`."""


class Spec(Protocol):
    """Where a target is: a frozen value that travels to the driver's processes."""

    def connect(self) -> Target:
        """The target, for use in this process."""

    def about(self) -> result.Target:
        """What a result says of it; may ask it."""

    def null(self, requests: Sequence[Request]) -> AbstractContextManager["Spec"]:
        """The same without the work: a target that answers at once what this one answers now."""
