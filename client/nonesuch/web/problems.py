"""Our errors as HTTP answers: problem details in JSON (RFC 9457), in the errors' own sentences."""

import logging
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nonesuch.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    NonesuchError,
    ServerBusy,
    ServerUnreachable,
)

_log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_S = 2  # after which it is worth asking again

_STATUS: dict[type[NonesuchError], int] = {
    InvalidRequest: 400,
    ModelNotFound: 404,
    ServerBusy: 503,
    ServerUnreachable: 503,
    DeadlineExceeded: 504,
}
_OTHER = 502  # the server behind us failed
TITLES = {
    400: "This cannot be drawn",
    404: "There is no such thing here",
    405: "Not with this method",
    406: "No format that is accepted",
    413: "Too much at once",
    415: "Send JSON",
    429: "Too many requests",
    500: "A fault of this program",
    502: "The server failed",
    503: "The server is away or full",
    504: "The server was too slow",
}


def problem(status: int, detail: str, error: str = "") -> dict[str, Any]:
    """The JSON object that says what was wrong; `error` is the class's name in errors.py."""
    told = {"type": "about:blank", "title": TITLES.get(status, "Error"), "status": status}
    return told | {"detail": detail} | ({"error": error} if error else {})


def of_error(_: Request, exc: Exception) -> Response:
    """Answer an error of the tree."""
    status = next((code for kind, code in _STATUS.items() if isinstance(exc, kind)), _OTHER)
    if status >= 500:
        _log.warning("%s: %s", type(exc).__name__, exc)
    headers = {"Retry-After": str(RETRY_S)} if status == 503 else None
    return _answer(status, problem(status, str(exc), type(exc).__name__), headers)


def of_http(_: Request, exc: Exception) -> Response:
    """Answer what is wrong with the HTTP itself."""
    assert isinstance(exc, HTTPException)
    headers = dict(exc.headers) if exc.headers else None
    return _answer(exc.status_code, problem(exc.status_code, exc.detail), headers)


def of_fault(_: Request, exc: Exception) -> Response:
    """Answer what is a fault of ours; the traceback goes to the log."""
    told = f"nonesuch web itself failed ({type(exc).__name__}), its log says where"
    return _answer(500, problem(500, told), None)


def _answer(status: int, told: dict[str, Any], headers: dict[str, str] | None) -> Response:
    kept = {"Cache-Control": "no-store", **(headers or {})}
    return JSONResponse(told, status, kept, media_type=MEDIA_TYPE)
