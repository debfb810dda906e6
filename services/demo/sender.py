"""Sends recorded webhooks the way Alertmanager does: over HTTP, several at once, each group in order."""

import asyncio
import zlib
from collections.abc import Callable, Sequence
from datetime import datetime

import httpx

from services.demo.stream import Record, redate

CONNECTIONS = 8
ATTEMPTS = 5
PAUSE_SECONDS = 0.2


class NotTaken(Exception):
    """A webhook was refused; says how."""


async def send(
    url: str, key: str, records: Sequence[Record], anchor: datetime, sent: Callable[[int], None]
) -> int:
    """Post every record and return how many signals were accepted. Safe to repeat.

    Records of one alert group keep their order; groups don't wait for each other. `sent` is told how
    many records have just been answered. Raises NotTaken when one is refused.
    """
    roads: list[list[Record]] = [[] for _ in range(CONNECTIONS)]
    for record in records:
        roads[zlib.crc32(record.body.group_key.encode()) % CONNECTIONS].append(record)
    async with httpx.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=30
    ) as client:

        async def travel(road: Sequence[Record]) -> int:
            accepted = 0
            for record in road:
                accepted += await post(client, redate(record, anchor))
                sent(1)
            return accepted

        return sum(await asyncio.gather(*(travel(road) for road in roads)))


async def post(client: httpx.AsyncClient, body: bytes) -> int:
    """Deliver one webhook, again when told to come back later. Returns its signals."""
    headers = {"Content-Type": "application/json"}
    attempt = 1
    while True:
        answer = await client.post("/ingest/alertmanager", content=body, headers=headers)
        if answer.status_code == 202:
            return answer.json()["accepted"]
        if answer.status_code != 503 or attempt == ATTEMPTS:
            raise NotTaken(f"Groundswell answered {answer.status_code}: {answer.text}")
        await asyncio.sleep(PAUSE_SECONDS * attempt)
        attempt += 1
