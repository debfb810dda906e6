"""A route for the addresses that senders post to all day: authorised like any other, but quicker.

FastAPI resolves the parameters of an endpoint anew for each request, and tries all routes before it:
together they cost more than all the rest of taking in a signal. Here an endpoint takes (request,
context), nothing is resolved, and `hot_first` finds it by its path, before any router is asked.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.context import Context
from shared.http.context import authorize
from shared.http.dialects import refusal
from shared.http.problems import answer_to

LONGEST = 100
"""Characters of a traceparent."""

Endpoint = Callable[[Request, Context], Awaitable[Response]]


class HotRoute(APIRoute):
    """Its endpoint is `async (request, ctx: Annotated[Context, needs(scope)]) -> Response`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint: Endpoint = self.endpoint
        scopes = _scopes(self)
        if not scopes:
            raise ValueError(f"{self.path} declares no scope; give its context needs(<scope>)")

        async def handle(request: Request) -> Response:
            try:
                ctx = authorize(request, scopes, _traceparent(request.scope))
                return await endpoint(request, ctx)
            except HTTPException as error:
                said = error.status_code, "not-allowed", str(error.detail)
                path, id = request.scope["path"], request.scope.get("groundswell.request_id")
                return refusal(path, id, *said, None, dict(error.headers or {}))
            except Exception as error:
                return await answer_to(request, error)

        return handle


def hot_first(app: ASGIApp, routes: Sequence[BaseRoute]) -> ASGIApp:
    """The app; those of the routes that are hot and have no parameters are found by path alone."""
    table = {
        (method, route.path): (route, route.get_route_handler())
        for route in routes
        if isinstance(route, HotRoute) and "{" not in route.path
        for method in route.methods or ()
    }

    async def chosen(scope: Scope, receive: Receive, send: Send) -> None:
        found = table.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if found is None:
            return await app(scope, receive, send)
        scope["route"], handle = found
        answer = await handle(Request(scope, receive, send))
        return await answer(scope, receive, send)

    return chosen


def _traceparent(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"traceparent":
            return value.decode("latin-1") if 0 < len(value) <= LONGEST else None
    return None


def _scopes(route: APIRoute) -> list[str]:
    found: list[Any] = [
        scope
        for dependency in route.dependant.dependencies
        for scope in dependency.own_oauth_scopes or ()
    ]
    return found
