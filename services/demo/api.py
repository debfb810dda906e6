"""The demo's client of Groundswell's own API: what anybody could call with the same key."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

Json = Any


class Unexpected(Exception):
    """An answer that the story does not go on from; says which."""


class Api:
    """Asks as the holder of one key. Raises Unexpected for an error answer."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def get(self, path: str, **query: str | int) -> Json:
        return _json(await self.http.get(path, params=query))

    async def put(self, path: str, body: Mapping[str, Json]) -> Json:
        return _json(await self.http.put(path, json=body))

    async def post(self, path: str, body: Mapping[str, Json] | None = None) -> Json:
        return _json(await self.http.post(path, json=body))


@asynccontextmanager
async def api(url: str, key: str) -> AsyncGenerator[Api]:
    """A client of the Groundswell at `url`."""
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, trust_env=False, timeout=60
    ) as http:
        yield Api(http)


def _json(answer: httpx.Response) -> Json:
    if not answer.is_success:
        asked = f"{answer.request.method} {answer.request.url.path}"
        raise Unexpected(f"{asked} answered {answer.status_code}: {answer.text}")
    return answer.json()
