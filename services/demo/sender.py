"""Sends recorded webhooks the way Alertmanager does: over HTTP, several at once, in order."""

import asyncio
from collections import defaultdict
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
    """Post every record to the Groundswell at `url`; see `send_all`."""
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, trust_env=False, timeout=30
    ) as client:
        return await send_all(client, records, anchor, sent)


async def send_all(
    client: httpx.AsyncClient,
    records: Sequence[Record],
    anchor: datetime,
    sent: Callable[[int], None],
) -> int:
    """Post every record and return how many signals were accepted. Safe to repeat.

    Records leave in their order, a few at a time, and never two of one alert group at once: nothing
    runs ahead of the rest by more than what is under way. `sent` is told how many records have just
    been answered. Raises NotTaken when one is refused.
    """
    waiting = iter(records)
    groups: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def work() -> int:
        accepted = 0
        for record in waiting:
            async with groups[record.body.group_key]:
                accepted += await post(client, redate(record, anchor))
            sent(1)
        return accepted

    try:
        async with asyncio.TaskGroup() as together:
            workers = [together.create_task(work()) for _ in range(CONNECTIONS)]
    except ExceptionGroup as several:
        raise several.exceptions[0] from several
    return sum(worker.result() for worker in workers)


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
