"""Every error is problem+json (RFC 9457): a stable `type` and a sentence that says what to do."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shared.database import UNAVAILABLE
from shared.refusals import Overloaded, Refusal

logger = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:groundswell:problem:"

TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Conflict",
    412: "Changed meanwhile",
    413: "Body too large",
    415: "Unsupported media type",
    422: "Invalid request",
    429: "Too many requests",
    500: "Internal error",
    503: "Overloaded",
    504: "No answer",
}


UNREADABLE = "There was an error parsing the body"
"""What FastAPI says of bytes that aren't UTF-8; it doesn't say what to do."""
ONE_DOCUMENT = "send one complete JSON document"


class FieldProblem(BaseModel):
    """One field that is wrong, and why."""

    field: str
    message: str


class ProblemDocument(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: list[FieldProblem] | None = None


def problem(
    request_id: str | None,
    status: int,
    slug: str,
    detail: str,
    errors: list[FieldProblem] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """The response for one error."""
    document = ProblemDocument(
        type=TYPE_PREFIX + slug,
        title=TITLES.get(status, "Error"),
        status=status,
        detail=detail,
        request_id=request_id,
        errors=errors,
    )
    content = document.model_dump(exclude_none=True)
    return JSONResponse(content, status, headers, media_type=MEDIA_TYPE)


def request_id_of(request: Request) -> str | None:
    return request.scope.get("groundswell.request_id")


def install(app: FastAPI) -> None:
    """Make `app` answer every refusal and error as a problem document."""
    for kinds, handler in _HANDLERS:
        for kind in kinds:
            app.add_exception_handler(kind, handler)


async def answer_to(request: Request, error: Exception) -> Response:
    """The same for an endpoint that no app calls."""
    handler = next(handler for kinds, handler in _HANDLERS if isinstance(error, kinds))
    return await handler(request, error)


async def _refused(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)
    headers = {"Retry-After": str(refusal.retry_after)} if isinstance(refusal, Overloaded) else None
    return problem(
        request_id_of(request), refusal.status, refusal.slug, str(refusal), None, headers
    )


async def _unavailable(request: Request, error: Exception) -> Response:
    logger.error("the database is unavailable", path=request.url.path, why=str(error))
    detail = (
        "The database can't be used just now; send it again. A POST that has an Idempotency-Key has"
        " its effect once."
    )
    headers = {"Retry-After": str(Overloaded.retry_after)}
    return problem(request_id_of(request), 503, "database-unavailable", detail, None, headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [_field(entry) for entry in error.errors()[:50]]
    detail = "; ".join(f"{e.field}: {e.message}" for e in errors[:3]) or "the request is not valid"
    return problem(request_id_of(request), 422, "invalid-request", _clean(detail), errors)


def _field(entry: dict[str, Any]) -> FieldProblem:
    if entry["type"] == "json_invalid":
        why = entry.get("ctx", {}).get("error", "it can't be read")
        return FieldProblem(field="body", message=f"is not JSON: {why}; {ONE_DOCUMENT}")
    where = ".".join(str(part) for part in entry["loc"])
    return FieldProblem(field=_clean(where)[:200], message=_clean(str(entry["msg"]))[:500])


def _clean(text: str) -> str:
    """A lone surrogate that a client sent can't be encoded in the answer that quotes it."""
    return text.encode("utf-8", "replace").decode()


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    slug = TITLES.get(error.status_code, "error").lower().replace(" ", "-")
    headers = dict(error.headers) if error.headers else None
    detail = str(error.detail)
    if error.status_code == 404 and detail == "Not Found":
        detail = f"There is nothing at {request.url.path}; see /docs for what there is."
    elif error.status_code == 405:
        detail = f"{request.method} is not possible at {request.url.path}; see /docs for what is."
    elif error.status_code == 400 and detail == UNREADABLE:
        detail = f"The body is not JSON in UTF-8; {ONE_DOCUMENT}."
    return problem(request_id_of(request), error.status_code, slug, detail, None, headers)


async def _failed(request: Request, error: Exception) -> Response:
    logger.error("request failed", path=request.url.path, exc_info=error)
    detail = "This is a fault of ours, and logged under the request id. Nothing was half-written; try again."
    return problem(request_id_of(request), 500, "internal-error", detail)


_HANDLERS: list[
    tuple[tuple[type[Exception], ...], Callable[[Request, Exception], Awaitable[Response]]]
] = [
    ((Refusal,), _refused),
    (UNAVAILABLE, _unavailable),
    ((RequestValidationError,), _invalid),
    ((HTTPException,), _http),
    ((Exception,), _failed),
]


def described(status: int) -> dict[str, Any]:
    """How the OpenAPI document describes the error answer of this status."""
    return {"model": ProblemDocument, "description": TITLES[status], "content": {MEDIA_TYPE: {}}}


ANSWERS: dict[int | str, dict[str, Any]] = {
    status: described(status) for status in (400, 401, 403, 404, 409, 412, 413, 415, 422, 503, 504)
}
"""The error answers that every operation documents."""
