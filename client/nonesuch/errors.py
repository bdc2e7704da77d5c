"""Every error that nonesuch raises on purpose, and the one place that knows gRPC's status codes.

    NonesuchError                 exit status 1
    ├── InvalidRequest        2   a value that cannot be served, refused by us or by the server
    ├── CheckpointError       1   a checkpoint file cannot be read
    │   ├── UnsafeCheckpoint  1   it names something that only running code could provide
    │   └── UnsupportedCheckpoint 1   it is sound, but holds what we do not know
    ├── ExportError           1   a graph, engine or model repository cannot be made
    │   └── ParityError       1   an engine's pictures differ from the reference's
    ├── OutputError           1   a result cannot be written to disk
    ├── ProvenanceError       1   what a file says of itself cannot be read
    ├── TooRare               1   a model draws too little of what was asked for
    ├── ModelChanged          1   a server has another model than a set was begun with
    ├── SetupError            3   something that a server needs is missing or taken on this machine
    └── ServerError           3   a server did not answer a good request
        ├── ServerUnreachable 3   nobody answers at that address, or it is shutting down
        ├── ServerBusy        3   it has more work waiting than it takes on
        ├── DeadlineExceeded  3   no answer within the time that the caller gave
        ├── ModelNotFound     1   the server has no such model
        └── RemoteError       1   the server failed inside

Messages say what was given, what was expected and how to mend it, in one sentence.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager


def printable(text: str) -> str:
    """`text` with escapes for what could steer a terminal, ends of lines among it."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class NonesuchError(Exception):
    """Root of the tree; `exit_status` is what a command line ends with."""

    exit_status = 1


class InvalidRequest(NonesuchError, ValueError):
    """Raised for a value that can never be served: before sending, or by the server."""

    exit_status = 2


class CheckpointError(NonesuchError):
    """Raised when a checkpoint file is damaged, truncated or of no known format.

    Words of the file in the message cannot steer a terminal: they show as escapes.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class UnsafeCheckpoint(CheckpointError):
    """Raised when a checkpoint names something outside the allow-list of its format."""


class UnsupportedCheckpoint(CheckpointError):
    """Raised when a checkpoint reads well but asks for what no network here computes."""


class ExportError(NonesuchError):
    """Raised when a graph, an engine or a model repository cannot be made."""


class ParityError(ExportError):
    """Raised when an engine's pictures are further from the reference than the tolerance."""


class OutputError(NonesuchError):
    """Raised when a result cannot be written where it was asked for: disk full, no permission."""


class ProvenanceError(NonesuchError):
    """Raised when a file's marks cannot be read: no picture, damaged, or not what they should be.

    Words of the file in the message cannot steer a terminal: they show as escapes.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class TooRare(NonesuchError):
    """Raised when seeds of the asked kind are too rare among those that were looked at."""


class ModelChanged(NonesuchError):
    """Raised when a server has another model, or engine, than a set of pictures was begun with."""


class SetupError(NonesuchError):
    """Raised when this machine lacks what a server needs, or a port is taken."""

    exit_status = 3


class ServerError(NonesuchError):
    """Raised when a server does not answer a request as it should."""

    exit_status = 3


class ServerUnreachable(ServerError):
    """Raised when nobody answers at the address, or the server is shutting down."""


class ServerBusy(ServerError):
    """Raised when the server has as many requests waiting as it takes on: try again later."""


class DeadlineExceeded(ServerError):
    """Raised when no answer came within the time that the caller gave."""


class ModelNotFound(ServerError):
    """Raised when the server has no model of that name."""

    exit_status = 1


class RemoteError(ServerError):
    """Raised when the server fails inside; the message is the server's own."""

    exit_status = 1


_BY_STATUS: dict[str, type[NonesuchError]] = {  # by the name of gRPC's status code
    "INVALID_ARGUMENT": InvalidRequest,
    "NOT_FOUND": ModelNotFound,
    "UNAVAILABLE": ServerUnreachable,
    "RESOURCE_EXHAUSTED": ServerBusy,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
}

# What Triton says, as UNAVAILABLE, where a model's queue is full.
_FULL = "maximum queue size"

# Triton names the ensemble before the words of one of its steps.
_ENSEMBLE = re.compile(r"^in ensemble '[^']*', ")


@contextmanager
def translated(url: str, timeout_s: float | None = None) -> Iterator[None]:
    """Turn gRPC failures at `url` into ours, with the server's own words.

    timeout_s is the deadline that was given, for the message.
    """
    import grpc  # here: it is large, and most who import an error never ask a server

    try:
        yield
    except grpc.RpcError as exc:
        kind = _BY_STATUS.get(exc.code().name, RemoteError)
        said = _ENSEMBLE.sub("", exc.details() or exc.code().name.lower())
        if kind is ServerUnreachable and _FULL in said:
            kind = ServerBusy
        if kind is DeadlineExceeded and timeout_s is not None:
            said = f"no answer within {timeout_s:g} s, give it longer or ask for less at once"
        raise kind(said if kind is InvalidRequest else f"{url}: {said}") from exc
