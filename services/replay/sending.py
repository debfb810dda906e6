"""Sends batches: a few at once, oldest first, each again until it is taken or patience ends."""

import asyncio
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus

import httpx

from services.replay.batches import Batch

IN_FLIGHT = 3
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
PATIENCE_SECONDS = 60.0
PASSING = frozenset({429, 500, 502, 503, 504})
"""Answers that may be another one later. An import is whole or not at all, so it is sent again as is."""


class NotTaken(Exception):
    """A batch was refused, or nobody answered for long; the sentence says what to do."""


class Sender:
    """Sends import requests. `requests` counts them, repeats included."""

    def __init__(self, client: httpx.AsyncClient, patience: float = PATIENCE_SECONDS) -> None:
        self.client = client
        self.patience = patience
        self.requests = 0

    async def send(self, batches: Iterable[Batch], taken: Callable[[Batch], None]) -> None:
        """Send every batch; `taken` hears of each once it is acknowledged.

        Raises NotTaken, having cancelled what was in flight.
        """
        waiting = iter(batches)

        async def travel() -> None:
            for batch in waiting:
                await self.deliver(batch)
                taken(batch)

        failed: list[Exception] = []
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(IN_FLIGHT):
                    group.create_task(travel())
        except* Exception as several:  # one is enough to know
            failed += several.exceptions
        if failed:
            raise failed[0]

    async def deliver(self, batch: Batch) -> None:
        """Send one batch until it is acknowledged. Raises NotTaken."""
        pause = FIRST_PAUSE
        give_up = time.monotonic() + self.patience
        while (trouble := await self._trouble(batch)) is not None:
            if time.monotonic() + pause > give_up:
                raise NotTaken(
                    f"{trouble}, again and again for {self.patience:.0f} s. Run the same command"
                    " again later: it goes on where it was."
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _trouble(self, batch: Batch) -> str | None:
        """None when the batch was taken, else what passing trouble there was."""
        self.requests += 1
        headers = {"Content-Type": "application/json"}
        try:
            answer = await self.client.post(
                "/v1/incidents/import", content=batch.body, headers=headers
            )
        except httpx.TransportError as error:
            return f"The connection to Groundswell broke ({type(error).__name__})"
        if answer.status_code == HTTPStatus.OK:
            return None
        if answer.status_code in PASSING:
            return f"Groundswell answered {answer.status_code}"
        raise NotTaken(f"Groundswell refused a batch: {sentence_of(answer)}")


def sentence_of(answer: httpx.Response) -> str:
    """The sentence of a problem document, or the status of what is none."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
