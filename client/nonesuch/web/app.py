"""The application: the page, the studio and the HTTP API over one server."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from nonesuch import __version__, morph, wire
from nonesuch.aio import AsyncClient
from nonesuch.card import Card
from nonesuch.errors import DeadlineExceeded, InvalidRequest, NonesuchError
from nonesuch.options import Connection, Format, FormatName, Sample
from nonesuch.video import Video
from nonesuch.web import accept, cache, code, film, openapi, page, problems, query
from nonesuch.web.artist import Artist
from nonesuch.web.cards import Cards
from nonesuch.web.gate import Gate
from nonesuch.web.headers import Framed
from nonesuch.web.left import gone, while_there
from nonesuch.web.limits import Limits
from nonesuch.web.metrics import CONTENT_TYPE, Metrics

_STATIC = Path(str(files("nonesuch.web") / "static"))
_LARGEST_BODY = 2**16  # bytes
FILMS = {"mp4": "video/mp4", "webp": "image/webp"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """How the application serves."""

    to: Connection
    model: str | None = None  # that the page shows first; None = the first by name
    waiting: int = 256  # requests that wait for their turn at most
    rate_hz: float = 60.0  # pictures that each client may have drawn in a second
    film_s: float = 300.0  # that drawing a film may take


def application(service: Service) -> Framed:
    """Make the application; it connects when it starts."""
    metrics = Metrics()
    api = _Api(service, metrics)
    routes = [
        Route("/", api.page, name="page"),
        Route("/studio", api.studio, name="studio"),
        Route("/healthz", api.health),
        Route("/metrics", api.figures),
        Route("/openapi.json", api.description),
        Route("/v1/service.protoset", api.protoset, name="protoset"),
        Route("/v1/models", api.models),
        Route("/v1/models/{model}", api.model),
        Route("/v1/models/{model}/image", api.image, name="image"),
        Route("/v1/models/{model}/images", api.images, methods=["POST"]),
        Route("/v1/models/{model}/morph.{kind}", api.film),
        Route("/v1/models/{model}/code", api.code),
        Mount("/static", _Static(directory=_STATIC), name="static"),
    ]
    handlers: dict[type[Exception], Callable[[Request, Exception], Response]] = {
        NonesuchError: problems.of_error,
        HTTPException: problems.of_http,
        ClientDisconnect: gone,  # in the middle of its body
        Exception: problems.of_fault,
    }
    inner = Starlette(routes=routes, exception_handlers=handlers, lifespan=api.connected)
    return Framed(inner, metrics)


class _Static(StaticFiles):
    """The page's parts; a browser asks each time whether they are still the same."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


class _Api:
    """The endpoints; `connected` holds the connection while they are served."""

    _cards: Cards
    _artist: Artist

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service = service
        self._metrics = metrics
        self._limits = Limits(rate_hz=service.rate_hz)

    @asynccontextmanager
    async def connected(self, _: Starlette) -> AsyncIterator[None]:
        """Hold the connection to the server."""
        to = self._service.to
        gate = Gate(to.in_flight, self._service.waiting, self._metrics)
        # One at a time of each caller: the gate decides how many there are.
        async with AsyncClient(to.url, timeout_s=to.timeout_s, in_flight=1) as client:
            self._cards = Cards(client, self._service.model)
            self._artist = Artist(client, self._cards, gate, self._metrics)
            meeting = asyncio.create_task(self._cards.meet())
            yield
            meeting.cancel()
            await gate.empty()

    async def page(self, request: Request) -> Response:
        again = request.headers.get("cache-control", "") in {"max-age=0", "no-cache"}
        pairs = request.query_params.multi_items()
        text = page.document(pairs, self._cards.known, again=again)
        return HTMLResponse(text, headers={"Cache-Control": "no-cache"})

    async def studio(self, _: Request) -> Response:
        return FileResponse(_STATIC / "studio.html", headers={"Cache-Control": "no-cache"})

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ready", "models": await self._cards.names()})

    async def figures(self, _: Request) -> Response:
        return Response(self._metrics.page(), media_type=CONTENT_TYPE)

    async def description(self, _: Request) -> Response:
        return JSONResponse(openapi.document(__version__), headers={"Cache-Control": "no-cache"})

    async def protoset(self, _: Request) -> Response:
        return Response(code.protoset(), media_type="application/octet-stream")

    async def models(self, _: Request) -> Response:
        cards = [await self._cards.card(name) for name in await self._cards.names()]
        brief = ("name", "family", "width", "height", "c_dim")
        told = [{field: asdict(card)[field] for field in brief} for card in cards]
        return JSONResponse({"models": told}, headers={"Cache-Control": "no-cache"})

    async def model(self, request: Request) -> Response:
        card = await self._card(request)
        tag = cache.tag(card, None)
        return cache.unchanged(request, tag) or JSONResponse(
            asdict(card), headers=cache.headers(tag, "")
        )

    async def image(self, request: Request) -> Response:
        return await while_there(request, self._image(request))

    async def images(self, request: Request) -> Response:
        text = await _body(request)
        return await while_there(request, self._images(request, text))

    async def film(self, request: Request) -> Response:
        return await while_there(request, self._film(request))

    async def code(self, request: Request) -> Response:
        card = await self._card(request)
        pairs = request.query_params.multi_items()
        languages = [text for name, text in pairs if name == "language"]
        if len(languages) != 1 or languages[0] not in code.LANGUAGES:
            given, expected = ", ".join(languages)[:40], ", ".join(code.LANGUAGES)
            raise InvalidRequest(f"language is {given!r}, expected one of {expected}")
        plain = request.url_for("image", model=card.name)
        sample, wanted = query.picture(
            ((name, text) for name, text in pairs if name != "language"),
            lambda: _choice(request, card),
        )
        wire.settings(sample, wanted, card)
        asked = code.Asked(
            card=card,
            sample=sample,
            format=wanted,
            grpc=self._service.to.url,
            http=str(plain.replace(query=request.url.remove_query_params("language").query)),
            protoset=str(request.url_for("protoset")),
        )
        return PlainTextResponse(code.LANGUAGES[languages[0]](asked))

    async def _card(self, request: Request) -> Card:
        return await self._cards.card(request.path_params["model"])

    async def _image(self, request: Request) -> Response:
        card = await self._card(request)
        pairs = request.query_params.multi_items()
        sample, wanted = query.picture(pairs, lambda: _choice(request, card))
        tag = cache.tag(card, wire.settings(sample, wanted, card))
        if (known := cache.unchanged(request, tag)) is not None:
            return known
        self._charge(request, 1)
        (picture,) = await self._artist.draw(card, [sample], wanted)
        name = f"{card.name}-{sample.seed}{picture.suffix}"
        headers = cache.headers(tag, "Accept") | {
            "Content-Disposition": f'inline; filename="{name}"'
        }
        return Response(picture.encoded, headers=headers, media_type=accept.TYPES[wanted.name])

    async def _images(self, request: Request, text: bytes) -> Response:
        card = await self._card(request)
        samples, wanted = query.body(text, card.channels)
        _check_each(samples, wanted, card)
        self._charge(request, len(samples))
        told = [
            {
                "type": accept.TYPES[wanted.name],
                "recipe": picture.recipe,
                "data": base64.b64encode(picture.encoded or b"").decode(),
            }
            for picture in await self._artist.draw(card, samples, wanted)
        ]
        return JSONResponse({"images": told}, headers={"Cache-Control": "no-store"})

    async def _film(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        if kind not in FILMS:
            raise HTTPException(404, f"there is no film of kind {kind}, ask for {', '.join(FILMS)}")
        card = await self._card(request)
        asked = query.film(request.query_params.multi_items())
        count = asked.way.length(len(asked.keys))
        video = Video(path=Path(f"film.{kind}"), fps=asked.fps)
        video.check((card.height, card.width, card.channels), count)
        if card.height * card.width * count > query.MOST_PIXELS:
            raise InvalidRequest(
                f"{count} frames of {card.width}x{card.height} are too many, ask for at most "
                f"{query.MOST_PIXELS // (card.height * card.width)}"
            )
        like = Sample(seed=asked.keys[0], **asked.settings)
        wire.settings(like, Format(name="raw"), card)
        tag = cache.tag(card, [kind, sorted(request.query_params.multi_items())])
        if (known := cache.unchanged(request, tag)) is not None:
            return known
        self._charge(request, count)
        content = await self._recorded(card, asked, kind, count)
        return Response(content, headers=cache.headers(tag, ""), media_type=FILMS[kind])

    async def _recorded(self, card: Card, asked: query.Film, kind: str, count: int) -> bytes:
        limit_s = self._service.film_s
        try:
            async with asyncio.timeout(limit_s), aclosing(self._artist.frames(card, asked)) as rest:
                first = await anext(rest)
                recipe = morph.recipe(first.recipe, asked.keys, asked.way)
                return await film.record(rest, first, kind, asked.fps, count, recipe)
        except TimeoutError:
            raise DeadlineExceeded(
                f"the film was not done in {limit_s:g} s, ask for fewer frames"
            ) from None

    def _charge(self, request: Request, pictures: int) -> None:
        self._limits.take(request.client.host if request.client else "", pictures)


def _choice(request: Request, card: Card) -> FormatName:
    accepted = request.headers.get("accept", "")
    name = accept.chosen(accepted, card.channels)
    if name is None:
        raise HTTPException(
            406, f"accepted is {accepted[:80]!r}, pictures are {', '.join(accept.TYPES.values())}"
        )
    return name


async def _body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, f"the body is {kind or 'of no type'!r}, send application/json")
    text = b""
    async for part in request.stream():
        text += part
        if len(text) > _LARGEST_BODY:
            raise HTTPException(413, f"the body is larger than {_LARGEST_BODY} bytes, send less")
    return text


def _check_each(samples: Sequence[Sample], wanted: Format, card: Card) -> None:
    for number, sample in enumerate(samples):
        try:
            wire.settings(sample, wanted, card)
        except InvalidRequest as exc:
            raise InvalidRequest(f"sample {number}: {exc}") from exc
