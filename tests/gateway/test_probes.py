"""Alive, ready, measured: what the probes say, and when they say no."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.database import DatabaseUnavailable
from shared.http import health
from tests.gateway.conftest import Front


async def get(front: Front, path: str, **headers: str) -> httpx.Response:
    async with front.client(None) as client:
        return await client.get(path, headers=headers)


async def test_a_healthy_process_is_alive_and_ready(front: Front) -> None:
    assert (await get(front, "/livez")).json() == {"status": "ok"}
    assert (await get(front, "/readyz")).json() == {"status": "ok"}


async def test_a_stuck_job_fails_liveness_and_is_named(front: Front) -> None:
    front.health.stuck = lambda: ["incidents relay"]
    answer = await get(front, "/livez")
    assert answer.status_code == 503
    assert "incidents relay" in answer.json()["detail"]
    assert (await get(front, "/readyz")).status_code == 200


async def test_a_stopping_process_is_not_ready_but_alive(front: Front) -> None:
    front.health.draining = True
    answer = await get(front, "/readyz")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert (await get(front, "/livez")).status_code == 200


async def test_a_database_that_cannot_write_fails_readiness_at_once(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        raise DatabaseUnavailable("SELECT 1", None, OSError("it went away"))

    with monkeypatch.context() as patched:
        patched.setattr(front.db, "ping", away)
        answer = await get(front, "/readyz")
    assert answer.status_code == 503
    assert "gateway" in answer.json()["detail"]
    assert (await get(front, "/readyz")).status_code == 200


async def test_a_database_that_is_busy_is_not_away_until_it_was_for_too_long(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PING_SECONDS", 0.05)
    async with front.db.begin():
        assert (await get(front, "/readyz")).status_code == 503  # it was never seen to write
    assert (await get(front, "/readyz")).status_code == 200
    async with front.db.begin():
        for _ in range(3):
            assert (await get(front, "/readyz")).status_code == 200
        monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.1)
        assert (await get(front, "/readyz")).status_code == 503
    assert (await get(front, "/readyz")).status_code == 200


async def test_metrics_are_prometheus_text_or_openmetrics_as_asked(front: Front) -> None:
    await get(front, "/nowhere")
    plain = await get(front, "/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    names = {family.name for family in text_string_to_metric_families(plain.text)}
    assert {"gateway_refused", "http_server_requests"} <= names
    openmetrics = await get(front, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")


async def test_the_front_page_tells_programs_and_leads_people(front: Front) -> None:
    assert (await get(front, "/")).json()["openapi"] == "/openapi.json"
    led = await get(front, "/", Accept="text/html,*/*")
    assert (led.status_code, led.headers["location"]) == (307, "/docs")
