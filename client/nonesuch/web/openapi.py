"""The HTTP API as an OpenAPI 3.1 document, made of the same tables that read the requests."""

from collections.abc import Iterable, Mapping
from typing import Any

from nonesuch.controls import Control
from nonesuch.web import accept, problems, query
from nonesuch.web.code import LANGUAGES

Json = dict[str, Any]

_MODEL = {
    "name": "model",
    "in": "path",
    "required": True,
    "description": "A name out of /v1/models.",
    "schema": {"type": "string", "pattern": "^[^/]+$"},
}
_PROBLEM: Json = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One sentence: what is wrong, and the mend."},
        "error": {"type": "string", "description": "The kind of error, as in Python."},
    },
}
_CARD: Json = {
    "type": "object",
    "required": ["name", "family", "width", "height", "channels", "controls", "model_hash"],
    "properties": {"name": {"type": "string"}, "controls": {"type": "array"}},
}
_BRIEF: Json = {
    "type": "object",
    "required": ["name", "family", "width", "height", "c_dim"],
    "properties": {
        "name": {"type": "string"},
        "family": {"type": "string"},
        "width": {"type": "integer"},
        "height": {"type": "integer"},
        "c_dim": {"type": "integer", "description": "Classes; 0 = unconditional."},
    },
}
_PICTURES: Json = {
    "type": "object",
    "required": ["images"],
    "properties": {
        "images": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "recipe", "data"],
                "properties": {
                    "type": {"type": "string"},
                    "recipe": {"type": "object"},
                    "data": {"type": "string", "contentEncoding": "base64"},
                },
            },
        }
    },
}
_TEXT: Json = {"type": "string"}
_BYTES: Json = {}
_ALWAYS = (502, 503, 504)


def document(version: str) -> Json:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "nonesuch",
            "version": version,
            "description": "Pictures of things that do not exist. Every file says that it is "
            "synthetic and how it was made. Models differ in the controls that they have; the "
            "card names them, and one that a model lacks is refused.",
        },
        "paths": {
            "/v1/models": {"get": _models()},
            "/v1/models/{model}": {"get": _card()},
            "/v1/models/{model}/image": {"get": _image()},
            "/v1/models/{model}/images": {"post": _images()},
            "/v1/models/{model}/morph.mp4": {"get": _film("mp4", "video/mp4")},
            "/v1/models/{model}/morph.webp": {"get": _film("webp", "image/webp")},
            "/v1/models/{model}/code": {"get": _code()},
            "/healthz": {"get": _health()},
            "/metrics": {"get": _metrics()},
        },
        "components": {"schemas": {"Problem": _PROBLEM, "Card": _CARD}},
    }


def _models() -> Json:
    schema = {
        "type": "object",
        "required": ["models"],
        "properties": {"models": {"type": "array", "items": _BRIEF}},
    }
    return _operation("models", "The models, the page's own first.", {"application/json": schema})


def _card() -> Json:
    told = {"application/json": {"$ref": "#/components/schemas/Card"}}
    return _operation("card", "A model's card.", told, (304, 404), [_MODEL])


def _image() -> Json:
    told = dict.fromkeys(accept.TYPES.values(), _BYTES)
    given = [_MODEL, *_parameters(query.PICTURE, required="seed")]
    about = "A picture: the same address gives the same one, and may be cached."
    return _operation("image", about, told, (304, 400, 404, 406, 429), given)


def _images() -> Json:
    properties = {each.name: _schema(each) for each in query.SAMPLE}
    sample = {
        "type": "object",
        "required": ["seed"],
        "additionalProperties": False,
        "properties": properties,
    }
    schema = {
        "type": "object",
        "required": ["samples"],
        "additionalProperties": False,
        "properties": {
            "samples": {
                "type": "array",
                "items": sample,
                "minItems": 1,
                "maxItems": query.MOST_SAMPLES,
            },
            **{each.name: _schema(each) for each in query.FILE},
        },
    }
    about = "Several pictures, each with its own settings."
    told = {"application/json": _PICTURES}
    operation = _operation("images", about, told, (400, 404, 413, 415, 429), [_MODEL])
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation | {"requestBody": body}


def _film(kind: str, media_type: str) -> Json:
    given = [_MODEL, *_parameters(query.MORPH, required="seeds")]
    about = f"A film in which pictures become each other, as {kind}."
    return _operation(f"morph_{kind}", about, {media_type: _BYTES}, (304, 400, 404, 429), given)


def _code() -> Json:
    language = {
        "name": "language",
        "in": "query",
        "required": True,
        "schema": {"type": "string", "enum": list(LANGUAGES)},
    }
    given = [_MODEL, language, *_parameters(query.PICTURE, required="seed")]
    about = "A request for a picture, as code to copy."
    return _operation("code", about, {"text/plain": _TEXT}, (400, 404, 406), given)


def _health() -> Json:
    schema = {"type": "object", "required": ["status", "models"]}
    about = "Whether pictures can be drawn: 503 while the server behind is away."
    return _operation("health", about, {"application/json": schema})


def _metrics() -> Json:
    return _operation("metrics", "Figures for Prometheus.", {"text/plain": _TEXT})


def _operation(
    name: str,
    about: str,
    told: Mapping[str, Json],
    statuses: Iterable[int] = (),
    parameters: Iterable[Json] = (),
) -> Json:
    content = {kind: ({"schema": schema} if schema else {}) for kind, schema in told.items()}
    answers: Json = {"200": {"description": "It is here.", "content": content}}
    for status in sorted({*statuses, *_ALWAYS}):
        answers[str(status)] = _refusal(status)
    return {
        "operationId": name,
        "summary": about,
        "parameters": list(parameters),
        "responses": answers,
    }


def _refusal(status: int) -> Json:
    if status == 304:
        return {"description": "As you have it already."}
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": problems.TITLES[status], "content": content}


def _parameters(controls: Iterable[Control], required: str) -> list[Json]:
    return [
        {
            "name": each.name,
            "in": "query",
            "required": each.name == required,
            "description": each.about,
            "schema": _schema(each),
            **({"example": _example(each)} if each.name == required else {}),
        }
        for each in controls
    ]


def _schema(control: Control) -> Json:
    return dict(control.schema)


def _example(control: Control) -> Any:
    return int(control.example) if control.schema["type"] == "integer" else control.example
