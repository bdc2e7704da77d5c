"""A model behind a server as a target."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from nonesuch import Client
from nonesuch.options import Connection
from nonesuch_loadtest import asking, null, rest, result, triton
from nonesuch_loadtest.asking import NULL_SEED, Cards
from nonesuch_loadtest.channel import Grpc
from nonesuch_loadtest.rest import Http
from nonesuch_loadtest.scenario import Request
from nonesuch_loadtest.shared import Shared
from nonesuch_loadtest.target import Target

Transport = Literal["grpc", "grpc-shm", "http"]
Style = Literal["aio", "sync"]

_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """Where a server is, and how it is talked to."""

    url: str  # HOST:PORT of gRPC
    cards: Cards
    transport: Transport = "grpc"
    style: Style = "aio"
    http_url: str = ""  # HOST:PORT, for that transport
    everything: bool = False  # over gRPC: ask for every output, as perf_analyzer does
    is_null: bool = False

    @classmethod
    def find(
        cls,
        url: str,
        models: Sequence[str],
        *,
        transport: Transport = "grpc",
        style: Style = "aio",
        http_url: str = "",
    ) -> "Served":
        """Ask a server for the cards; raises ModelNotFound with the names that there are."""
        if transport == "http":
            Connection(url=http_url)  # which checks it
        with Client(url) as client:
            cards = {model: client.info(model) for model in dict.fromkeys(models)}
        return cls(url=url, cards=cards, transport=transport, style=style, http_url=http_url)

    def connect(self) -> Target:
        url = self.http_url if self.transport == "http" else self.url
        aio = self.style == "aio"
        if self.transport == "http":
            return Http(url, self.cards, aio=aio, null=self.is_null)
        if self.transport == "grpc-shm":
            return Shared(url, self.cards, aio=aio, null=self.is_null)
        return Grpc(url, self.cards, aio=aio, null=self.is_null, everything=self.everything)

    def about(self) -> result.Target:
        """What the server and the cards say."""
        return result.Target(
            kind="null" if self.is_null else "server",
            transport=self.transport,
            style=self.style,
            server="" if self.is_null else triton.name(self.url),
            models=tuple(result.Model.of(card) for card in self.cards.values()),
            configuration={} if self.is_null else triton.configuration(self.url, self.cards),
        )

    @contextmanager
    def null(self, requests: Sequence[Request]) -> Iterator["Served"]:
        """A server on this machine that answers these requests at once.

        Its answers are those of the real one to the same requests with `NULL_SEED`.
        """
        blocking = replace(self, style="sync").connect()
        http = self.transport == "http"
        answers = {asking.null_path(r): _answer(blocking, r, http=http) for r in requests}
        blocking.close()
        with null.server(answers, http=http) as url:
            yield replace(self, url=url, http_url=url, is_null=True)


def _answer(target: Target, request: Request, *, http: bool) -> bytes:
    message = target.prepare(request, NULL_SEED)
    answer: Any = target.send(message, _TIMEOUT_S)
    target.read(message, answer)  # raises if it is an error
    said: bytes = rest.canned(answer) if http else answer.SerializeToString()
    return said
