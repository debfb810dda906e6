"""SIGTERM under load: no answer breaks, nothing acknowledged is lost, and whoever retries loses nothing."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.engines.processes import Cluster, Process
from tests.processes.senders import Senders, stored
from tests.standalone.conftest import free_port, started

BOUND_SECONDS = 25
SENDERS = 12
EACH = 40


def check_ends(senders: Senders) -> None:
    """Every attempt ended as one can rely on."""
    expected = {"taken", "refused", "unconnected"}
    assert set(senders.ends) <= expected, senders.ends
    assert len(senders.taken) == SENDERS * EACH


async def test_stopped_under_load_no_answer_breaks_and_nothing_is_lost(tmp_path: Path) -> None:
    port = free_port()
    with started(tmp_path, port) as first:
        key = (tmp_path / "admin.key").read_text().strip()
        senders = Senders(first.url, key, SENDERS, EACH)
        sending = asyncio.create_task(senders.run())
        await senders.until(SENDERS * EACH // 3)
        began = time.monotonic()
        status = await asyncio.to_thread(first.stop)
        took = time.monotonic() - began
        acknowledged = dict(senders.taken)
    assert status == 0
    assert took < BOUND_SECONDS
    assert 0 < len(acknowledged) < SENDERS * EACH
    with started(tmp_path, port) as second, second.client() as client:
        for signal_id in list(acknowledged.values())[-SENDERS:]:
            assert client.get(f"/v1/signals/{signal_id}").status_code == 200
        await sending
        titles = stored(client)
    check_ends(senders)
    assert sorted(titles) == sorted(senders.taken)


async def test_a_pause_before_the_end_is_answered_through_and_unready(tmp_path: Path) -> None:
    """Load balancers look now and then: until they have, it answers on."""
    pause = {"GROUNDSWELL_DRAIN_PAUSE_SECONDS": "2"}
    with started(tmp_path, **pause) as process, process.client() as client:
        process.popen.terminate()
        await asyncio.sleep(0.5)
        assert client.get("/readyz").status_code == 503
        answer = client.post("/v1/signals", json={"title": "In the pause"})
        assert answer.status_code == 202
        assert answer.headers["connection"] == "close"
        assert process.popen.wait(BOUND_SECONDS) == 0


@pytest.mark.parametrize("part", ["incidents-api", "gateway-api", "incidents-worker"])
async def test_any_part_stopped_under_load_breaks_no_answer_and_loses_nothing(
    cluster: Cluster, part: str
) -> None:
    senders = Senders(cluster.url, cluster.admin_key, SENDERS, EACH, part)
    with cluster.client() as client:
        before = len(stored(client))
    sending = asyncio.create_task(senders.run())
    await senders.until(SENDERS * EACH // 3)
    took, status = await asyncio.to_thread(_restarted, cluster[part])
    await sending
    assert status == 0
    assert took < BOUND_SECONDS
    if part == "incidents-api":
        # The gateway can't tell a connection that the closing port's queue threw away from one that
        # was taken: it says so with a 504, and its sender sends again.
        assert senders.ends.pop("unknown", 0) <= SENDERS
    check_ends(senders)
    with cluster.client() as client:
        for signal_id in senders.taken.values():
            assert client.get(f"/v1/signals/{signal_id}").status_code == 200
        assert len(stored(client)) - before == len(set(senders.taken.values()))


def _restarted(process: Process) -> tuple[float, int]:
    began = time.monotonic()
    status = process.stop()
    took = time.monotonic() - began
    process.start()
    return took, status
