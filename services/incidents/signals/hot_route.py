"""A route for the addresses that senders post to all day: authorised like any other, but quicker.

FastAPI resolves the parameters of an endpoint anew for each request, which costs more than all the
rest of taking in a signal. Here an endpoint takes (request, context), and nothing is resolved.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from shared.context import Context
from shared.http.context import authorize

LONGEST = 100
"""Characters of a traceparent."""

ALERTMANAGER_API = "/api/v2/"
"""Its clients read errors as JSON strings only."""

Endpoint = Callable[[Request, Context], Awaitable[Response]]


class HotRoute(APIRoute):
    """Its endpoint is `async (request, ctx: Annotated[Context, needs(scope)]) -> Response`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint: Endpoint = self.endpoint
        scopes = _scopes(self)
        if not scopes:
            raise ValueError(f"{self.path} declares no scope; give its context needs(<scope>)")

        async def handle(request: Request) -> Response:
            stated = request.headers.get("traceparent")
            traceparent = stated if stated and len(stated) <= LONGEST else None
            try:
                ctx = authorize(request, scopes, traceparent)
            except HTTPException as error:
                if not self.path.startswith(ALERTMANAGER_API):
                    raise
                return JSONResponse(str(error.detail), error.status_code, error.headers)
            return await endpoint(request, ctx)

        return handle


def _scopes(route: APIRoute) -> list[str]:
    found: list[Any] = [
        scope
        for dependency in route.dependant.dependencies
        for scope in dependency.own_oauth_scopes or ()
    ]
    return found
