"""Senders that go on until all they have is taken, and note how each attempt ended."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import anyio
import httpx

PAUSE_SECONDS = 0.1
PATIENCE_SECONDS = 120.0
AGAIN = frozenset({429, 502, 503})
"""A definite no: nothing was done, and a sender tries again."""


@dataclass
class Senders:
    """So many at once, each with so many signals of its own, over connections that are kept."""

    url: str
    key: str
    senders: int
    each: int
    about: str = "it"
    taken: dict[str, str] = field(default_factory=dict[str, str])
    """Title of each signal that was acknowledged → its id."""
    ends: Counter[str] = field(default_factory=Counter[str])
    """How the attempts ended: taken, refused, unconnected, unknown, broken."""

    async def run(self) -> None:
        """Send everything. Raises TimeoutError when that takes too long."""
        limits = httpx.Limits(max_connections=self.senders, max_keepalive_connections=self.senders)
        headers = {"Authorization": f"Bearer {self.key}"}
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            httpx.AsyncClient(
                base_url=self.url, headers=headers, limits=limits, trust_env=False, timeout=40
            ) as client,
        ):
            await asyncio.gather(*(self._send(client, number) for number in range(self.senders)))

    async def until(self, count: int) -> None:
        """Wait until so many signals were taken."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.taken) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def _send(self, client: httpx.AsyncClient, number: int) -> None:
        for index in range(self.each):
            title = f"Sender {number} tells of {self.about} {index}"
            body = {"title": title, "service": f"service-{number}", "fingerprint": title}
            while title not in self.taken:
                end = await self._attempt(client, title, body)
                self.ends[end] += 1
                if end != "taken":
                    await asyncio.sleep(PAUSE_SECONDS)

    async def _attempt(self, client: httpx.AsyncClient, title: str, body: object) -> str:
        steps: list[str] = []

        async def trace(step: str, _info: object) -> None:
            steps.append(step)

        try:
            answer = await client.post("/v1/signals", json=body, extensions={"trace": trace})
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return "unconnected"
        except httpx.TransportError as error:
            # The kernel connects before the server accepts: what is in that queue when the port is
            # closed is reset, and nobody has read a byte of it.
            queued = "connection.connect_tcp.complete" in steps
            return "unconnected" if queued and _reset(error) else f"broken: {error!r}"
        if answer.status_code == 202:
            self.taken[title] = answer.json()["signals"][0]["id"]
            return "taken"
        if answer.status_code in AGAIN:
            assert int(answer.headers["retry-after"]) >= 1
            return "refused"
        return "unknown" if answer.status_code == 504 else f"odd: {answer.status_code}"


def _reset(error: BaseException | None) -> bool:
    """Whether the other side threw the connection away, instead of ending it."""
    while error is not None:
        if isinstance(error, ConnectionResetError | anyio.BrokenResourceError):
            return True
        error = error.__cause__ or error.__context__
    return False


def stored(client: httpx.Client) -> list[str]:
    """The titles of all signals there are, each as often as it is stored."""
    titles: list[str] = []
    asked: dict[str, str | int] = {"limit": 200}
    while True:
        page = client.get("/v1/signals", params=asked).json()
        titles += [one["title"] for one in page["items"]]
        if page["next"] is None:
            return titles
        asked["cursor"] = page["next"]
