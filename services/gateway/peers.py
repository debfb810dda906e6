"""Asks the services' own APIs, in this process, in the name of the caller. No socket, no new rights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import structlog
from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.edge.answers import REQUEST_ID
from shared.auth import PRINCIPAL

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said: its JSON, or why there is none."""

    body: Any = None
    missing: bool = False
    """There is no such thing (yet)."""
    problem: str | None = None
    """The service, or the caller's rights, could not give it; says which."""


class Peers:
    """The services behind the gateway, for one request at a time."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def asked_by(self, request: Request) -> httpx.AsyncClient:
        """A client that asks as the caller of `request`. Close it when done."""
        carried = {key: request.scope.get(key) for key in (PRINCIPAL, REQUEST_ID)}

        async def as_caller(scope: Scope, receive: Receive, send: Send) -> None:
            await self.app({**scope, **carried}, receive, send)

        transport = httpx.ASGITransport(as_caller, raise_app_exceptions=False)  # pyright: ignore[reportArgumentType]
        return httpx.AsyncClient(
            transport=transport, base_url="http://groundswell", trust_env=False
        )


async def ask(
    client: httpx.AsyncClient, path: str, params: Mapping[str, str | int] | None = None
) -> Answer:
    """GET a service's answer. Never raises for what the service says: that is part of the answer."""
    try:
        answer = await client.get(path, params=dict(params or {}))
        if answer.status_code == 200:
            return Answer(answer.json())
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        logger.warning("a service could not be asked", path=path, error=str(error))
        return Answer(problem="unavailable")
    if answer.status_code in (404, 422):
        return Answer(missing=True)
    if answer.status_code == 403:
        return Answer(problem="not allowed for this key")
    logger.warning("a service answered an error", path=path, status=answer.status_code)
    return Answer(problem="unavailable")
