"""kill -9 in the middle: what was acknowledged is there, and what was begun is finished."""

import asyncio
import json
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.standalone.conftest import (
    COMMAND,
    Process,
    environment,
    free_port,
    groundswell,
    started,
)
from tests.standalone.recording import distinct_signals

ENOUGH = 100
IN_THE_MIDDLE = 60
DEADLINE_SECONDS = 150.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_stopped_under_load_it_keeps_every_signal_it_acknowledged(
    tmp_path: Path, number: signal.Signals
) -> None:
    with started(tmp_path) as process:
        acknowledged, status = await _send_until_stopped(process, number)
        assert status == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    assert len(acknowledged) >= ENOUGH
    with started(tmp_path) as process, process.client() as client:
        for signal_id in acknowledged:
            assert client.get(f"/v1/signals/{signal_id}").status_code == 200


async def _send_until_stopped(process: Process, number: signal.Signals) -> tuple[list[str], int]:
    """Send from eight sides, stop the process once enough is acknowledged; returns their ids."""
    acknowledged: list[str] = []
    enough = asyncio.Event()

    async def send(client: httpx.AsyncClient, worker: int) -> None:
        for index in range(10_000):
            body = {"title": f"Alert {worker}-{index}", "service": f"service-{worker}"}
            try:
                answer = await client.post("/v1/signals", json=body)
            except httpx.TransportError:
                return
            if answer.status_code == 202:
                acknowledged.append(answer.json()["signals"][0]["id"])
            if len(acknowledged) >= ENOUGH:
                enough.set()

    async def stop() -> int:
        await enough.wait()
        return await asyncio.to_thread(process.stop, number)

    key = (process.data / "admin.key").read_text().strip()
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=process.url, headers=headers, trust_env=False) as client:
        stopping = asyncio.create_task(stop())
        await asyncio.gather(*(send(client, worker) for worker in range(8)))
    return acknowledged, await stopping


def test_a_demo_killed_while_sending_is_finished_by_the_next_one(tmp_path: Path) -> None:
    port = free_port()
    env = environment(tmp_path, port)
    with subprocess.Popen(
        [COMMAND, "demo", "--once"],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as first:
        stored = _wait_until_in_the_middle(f"http://127.0.0.1:{port}", tmp_path, first)
        first.kill()
    assert first.returncode == -signal.SIGKILL
    assert stored < distinct_signals()

    with started(tmp_path) as process, process.client() as client:
        assert client.get("/v1/summary").json()["signals"] >= stored
        process.stop()

    second = groundswell("demo", "--once", "--json", env=environment(tmp_path, free_port()))
    assert second.returncode == 0, second.stderr
    result = json.loads(second.stdout)
    assert result["signals"] == distinct_signals()
    assert result["items"] == 1
    assert result["outcome"]["verdict"]


def _wait_until_in_the_middle(url: str, data: Path, popen: subprocess.Popen[bytes]) -> int:
    """Poll until some signals are stored; returns how many. Fails when the demo ends before."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline and popen.poll() is None:
        try:
            key = (data / "admin.key").read_text().strip()
            headers = {"Authorization": f"Bearer {key}"}
            answer = httpx.get(f"{url}/v1/summary", headers=headers, trust_env=False)
            stored = answer.json()["signals"] if answer.status_code == 200 else 0
        except (OSError, httpx.TransportError):
            stored = 0
        if stored >= IN_THE_MIDDLE:
            return stored
        time.sleep(0.02)
    raise AssertionError("the demo was never seen in the middle of sending")
