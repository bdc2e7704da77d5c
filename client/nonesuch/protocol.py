"""What is asked of a server and in which order: everything about it but the waiting.

Each function is a generator that yields calls and pauses, is sent the answers (or thrown our
errors) and returns the result. `Client` takes the steps by blocking, `AsyncClient` by awaiting.
"""

import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from tritonclient.grpc import service_pb2

from nonesuch.card import Card
from nonesuch.contract import CARD
from nonesuch.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    NonesuchError,
    RemoteError,
    ServerUnreachable,
)
from nonesuch.options import Connection, check_timeout

# An image of 1024x1024 is past gRPC's 4 MiB. The pauses between attempts to connect are kept
# short, or a server that starts slowly would be noticed up to two minutes late.
CHANNEL = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)

_ENSEMBLE = "ensemble"  # Triton's word
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.25


@dataclass(frozen=True, slots=True)
class Call:
    """One remote procedure call, to be answered within its time."""

    method: Literal["ModelConfig", "ModelReady", "ModelStatistics", "RepositoryIndex"]
    message: Any  # tritonclient ships no types for its messages
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which nothing is asked."""

    seconds: float


T = TypeVar("T")
Steps = Generator[Call | Pause, Any, T]


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The end of the steps."""

    result: T


def advance(steps: Steps[T], answer: Any) -> Call | Pause | Done[T]:
    """Go on to the next step with the answer to the last, or with our error that came instead.

    The first answer is None.
    """
    try:
        failed = isinstance(answer, NonesuchError)
        return steps.throw(answer) if failed else steps.send(answer)
    except StopIteration as stop:
        return Done(stop.value)


def card(to: Connection, model: str) -> Steps[Card]:
    """Fetch a model's card; raises ModelNotFound, which names the models that there are."""
    if not model:
        raise InvalidRequest("the model's name is empty")
    try:
        text = yield from _card_text(to, model)
    except ModelNotFound:
        text = None
    if text is None:
        raise unknown(to.url, model, (yield from models(to)))
    try:
        return Card.from_json(text)
    except InvalidRequest as exc:
        raise RemoteError(f"{to.url}: the card of {model!r} cannot be read, {exc}") from exc


def models(to: Connection) -> Steps[list[str]]:
    """Name the models that are ready to generate, sorted; not the parts that they consist of."""
    index = yield Call(
        "RepositoryIndex", service_pb2.RepositoryIndexRequest(ready=True), to.timeout_s
    )
    found = []
    for name in sorted({entry.name for entry in index.models}):
        try:
            text = yield from _card_text(to, name)
        except ModelNotFound:  # unloaded since
            continue
        if text is not None:
            found.append(name)
    return found


def answered(to: Connection, model: str) -> Steps[int]:
    """Count the requests for a model that a server has answered, whoever sent them."""
    question = service_pb2.ModelStatisticsRequest(name=model)
    answer = yield Call("ModelStatistics", question, to.timeout_s)
    return sum(version.inference_stats.success.count for version in answer.model_stats)


def ready(to: Connection, model: str, timeout_s: float) -> Steps[None]:
    """Ask until the model is ready.

    When the time is over, raises ServerUnreachable if nobody answers, ModelNotFound if the server
    does not list the model, DeadlineExceeded with its state otherwise.
    """
    check_timeout(timeout_s)
    end = time.monotonic() + timeout_s
    pause_s = _FIRST_PAUSE_S
    failure: NonesuchError | None = None
    while (left_s := end - time.monotonic()) > 0:
        try:
            question = service_pb2.ModelReadyRequest(name=model)
            answer = yield Call("ModelReady", question, left_s)
            failure = None
            if answer.ready:
                return
        except (ServerUnreachable, DeadlineExceeded, ModelNotFound) as exc:
            failure = exc
        yield Pause(max(0.0, min(pause_s, end - time.monotonic())))
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    if isinstance(failure, ServerUnreachable | DeadlineExceeded):
        raise type(failure)(f"after {timeout_s:g} s of waiting, {failure}") from failure
    raise (yield from _unready(to, model, timeout_s))


def _card_text(to: Connection, model: str) -> Steps[str | None]:
    answer = yield Call("ModelConfig", service_pb2.ModelConfigRequest(name=model), to.timeout_s)
    config = answer.config
    # The sampler carries the card as well, for itself; pictures come from the ensemble alone.
    if config.platform != _ENSEMBLE or CARD not in config.parameters:
        return None
    text: str = config.parameters[CARD].string_value
    return text


def _unready(to: Connection, model: str, timeout_s: float) -> Steps[NonesuchError]:
    index = yield Call("RepositoryIndex", service_pb2.RepositoryIndexRequest(), to.timeout_s)
    states = [entry for entry in index.models if entry.name == model]
    if not states:
        return unknown(to.url, model, (yield from models(to)))
    state = ": ".join(filter(None, (states[-1].state.lower(), states[-1].reason))) or "not loaded"
    return DeadlineExceeded(
        f"{to.url}: model {model!r} was not ready after {timeout_s:g} s ({state})"
    )


def unknown(url: str, model: str, there_are: Iterable[str]) -> ModelNotFound:
    """Return the error for a model that the server has not, beside those that it has."""
    names = ", ".join(there_are) or "none"
    return ModelNotFound(f"{url} has no model {model!r}; it has: {names}")
