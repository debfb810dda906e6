"""Ten times the load that it takes: what is let in is answered as before, the rest hears no at once."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

from tests.standalone.conftest import Process, started

ROOM = 16
CALM_SECONDS = 3.0
STORM_SECONDS = 6.0
RETRY_SECONDS = 0.5
GROWTH_BYTES = 64 * 1024 * 1024


@dataclass
class Seen:
    """How long each answer took, by its status."""

    took: dict[int, list[float]] = field(default_factory=dict[int, list[float]])

    def p99(self, status: int) -> float:
        return quantiles(self.took[status], n=100)[98]


async def load(process: Process, clients: int, seconds: float) -> Seen:
    """So many senders at once, each with one request in hand; who is refused waits a little."""
    seen = Seen()
    key = (process.data / "admin.key").read_text().strip()
    end = time.monotonic() + seconds

    async def send(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
        try:
            while time.monotonic() < end:
                began = time.monotonic()
                status = await post(reader, writer, key, f"Storm of {clients}: {number} {began}")
                seen.took.setdefault(status, []).append(time.monotonic() - began)
                if status != 202:
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            writer.close()
            await writer.wait_closed()

    await asyncio.gather(*(send(number) for number in range(clients)))
    return seen


async def post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str, title: str
) -> int:
    """Post one signal over this connection. By hand: a client library takes more than the server."""
    body = json.dumps({"title": "Storm", "fingerprint": title}).encode()
    writer.write(
        b"POST /v1/signals HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"X-API-Key: %b\r\nContent-Length: %d\r\n\r\n%b" % (key.encode(), len(body), body)
    )
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    await reader.readexactly(int(headers["content-length"]))
    status = int(head.split()[1])
    if status != 202:
        assert int(headers["retry-after"]) >= 1
    return status


def resident(process: Process) -> int:
    """Bytes of memory that the process holds."""
    (line,) = (
        line
        for line in Path(f"/proc/{process.popen.pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )
    return int(line.split()[1]) * 1024


async def test_ten_times_the_load_is_refused_at_once_and_the_rest_stays_fast(
    tmp_path: Path,
) -> None:
    with started(tmp_path, GROUNDSWELL_MOST_REQUESTS=str(ROOM)) as process:
        calm = await load(process, ROOM, CALM_SECONDS)
        before = resident(process)
        storm = await load(process, ROOM * 10, STORM_SECONDS)
        grown = resident(process) - before
        with process.client() as client:
            assert client.get("/readyz").status_code == 200
            stored = client.get("/v1/summary").json()["signals"]
    assert set(calm.took) == {202}
    assert set(storm.took) <= {202, 429, 503}
    assert storm.took.keys() & {429, 503}
    assert stored == len(calm.took[202]) + len(storm.took[202])
    # As many are in hand as in the calm; the rest of the time goes to refusing, and to our own load.
    assert storm.p99(202) < 5 * calm.p99(202) + 0.5
    refused = [one for status in (429, 503) for one in storm.took.get(status, [])]
    assert quantiles(refused, n=100)[98] < 10 * calm.p99(202) + 0.5
    assert len(storm.took[202]) / STORM_SECONDS > 0.2 * len(calm.took[202]) / CALM_SECONDS
    assert grown < GROWTH_BYTES
