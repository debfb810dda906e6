"""Builds a service's HTTP app: problems for errors, metrics by route, probes of its own database."""

import time
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, FastAPI
from prometheus_client import Counter, Histogram
from starlette.datastructures import State
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import metrics
from shared.clock import Clock, utc_now
from shared.database import Database
from shared.http import problems


def create_service(
    service: str,
    title: str,
    db: Database,
    routers: list[APIRouter],
    clock: Clock = utc_now,
    *,
    first: Callable[[ASGIApp], ASGIApp] | None = None,
) -> FastAPI:
    """The app of one service. The gateway puts it behind authentication, limits and one document.

    `first` wraps the routing: what it knows how to answer never comes to the routers.
    """
    app = _Service(
        title=title,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
        responses=problems.ANSWERS,
    )
    app.state = _State()
    app.state.service = service
    app.state.db = db
    app.state.clock = clock
    for router in routers:
        app.include_router(router)
    problems.install(app)
    inside = app.routed if first is None else first(app.routed)
    app.road = _Measured(_WithoutNul(inside), service)
    return app


class _State(State):
    """Plain attributes. Starlette's own look for them everywhere else first, at each request."""

    def __setattr__(self, key: Any, value: Any) -> None:
        object.__setattr__(self, key, value)


class _Service(FastAPI):
    """A FastAPI with our wrappers around all of its own, which cost a request more than they do."""

    road: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        await self.road(scope, receive, send)

    async def routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What FastAPI makes of it."""
        await super().__call__(scope, receive, send)


class _WithoutNul:
    """Refuses a NUL in path or query: PostgreSQL can't even compare with it. Bodies: see `fields`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: ASGIApp = self.app
        if scope["type"] == "http":
            request_id = scope.get("groundswell.request_id")
            if "\x00" in scope["path"]:
                said = (
                    "There is nothing at a path with a NUL character (%00); see /docs for what is."
                )
                answer = problems.problem(request_id, 404, "not-found", said)
            elif b"%00" in scope["query_string"] or b"\x00" in scope["query_string"]:
                said = "A NUL character (%00) in the query is not taken; remove it."
                answer = problems.problem(request_id, 422, "invalid-request", said)
        await answer(scope, receive, send)


class _Measured:
    """Counts and times requests by route template. Plain ASGI: costs microseconds."""

    def __init__(self, app: ASGIApp, service: str) -> None:
        self.app = app
        self.service = service
        self.children: dict[tuple[str, ...], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        code = "500"

        async def watch(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            route: Any = scope.get("route")
            template = getattr(route, "path", "unmatched")
            count, duration = self._of(template, scope["method"], code)
            count.inc()
            duration.observe(time.perf_counter() - started)

    def _of(self, *labels: str) -> tuple[Counter, Histogram]:
        """The metrics with these labels, looked up once: that costs more than counting."""
        found = self.children.get(labels)
        if found is None:
            every = (self.service, *labels)
            found = metrics.http_requests.labels(*every), metrics.http_duration.labels(*every)
            self.children[labels] = found
        return found
