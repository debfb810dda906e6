"""The service as a whole: its tables, its worker over a real bus, its metrics, its edges."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from prometheus_client import REGISTRY
from sqlalchemy import Connection

from services.feedback import metrics
from services.feedback.app import create_app
from services.feedback.metadata import metadata
from services.feedback.worker import jobs
from shared.bus import EmbeddedBus
from shared.database import Database, sqlite_url
from shared.envelope import encode
from shared.outbox import plumbing
from shared.supervisor import Supervisor
from tests.conftest import MovingClock, client_of, signed_in
from tests.feedback.conftest import Feedback, day, opened, recurring

ODD = ("a\x00b", "%00", "\ud800", "9" * 400, "'; drop table themes; --", "..", "💥", " ")

READS = (
    "/v1/themes/{}",
    "/v1/themes/{}/evidence",
    "/v1/themes/{}/escalations",
    "/v1/feedback/{}",
    "/v1/outcomes/{}",
    "/v1/policies/{}",
    "/v1/themes?cursor={}",
    "/v1/themes?q={}&product={}&service={}",
    "/v1/themes?state={}",
    "/v1/themes/summary?product={}",
    "/v1/feedback?cursor={}",
    "/v1/feedback?voter={}&author={}&q={}",
    "/v1/outcomes?theme_id={}&item_id={}",
    "/v1/policies/recurrence?product={}",
    "/v1/policies/recurrence/versions?cursor={}",
)


async def test_the_migrations_make_exactly_the_tables_of_the_code(db: Database) -> None:
    def differences(conn: Connection) -> list[Any]:
        return compare_metadata(MigrationContext.configure(conn), [metadata, plumbing])

    async with db.begin() as conn:
        assert await conn.run_sync(differences) == []


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[EmbeddedBus]:
    bus = EmbeddedBus(sqlite_url(tmp_path, "bus.sqlite3"))
    await bus.start()
    yield bus
    await bus.stop()


async def test_incidents_on_the_bus_become_an_escalation_on_the_bus(
    feedback: Feedback, bus: EmbeddedBus, clock: MovingClock
) -> None:
    await bus.send([encode(one) for one in recurring(6)])
    listener = await bus.join("listener", ["feedback.events"])
    supervisor = Supervisor(jobs(feedback.db, bus, clock))
    supervisor.start()
    heard: list[str] = []
    async with asyncio.timeout(20):
        while "groundswell.theme.escalated.v1" not in heard:
            records = await listener.poll(50, 0.2)
            heard += [one.record.headers["ce_type"] for one in records]
    await supervisor.stop()
    theme = await feedback.the_theme()
    assert (theme["state"], theme["evidence_count"]) == ("escalated", 6)


async def test_the_metrics_say_what_the_database_holds(feedback: Feedback) -> None:
    await feedback.hear(*recurring(6), opened("inc_x", day(1), product="Search"))
    async with feedback.db.read() as conn:
        await metrics.measure(conn)

    def value(name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(name, labels)

    assert value("feedback_themes", state="escalated") == 1
    assert value("feedback_themes", state="quiet") == 1
    assert value("feedback_evidence_rows", kind="incident") == 7
    assert value("feedback_detections", detector="recurrence", holds="yes") == 1


@pytest.mark.parametrize("path", READS)
async def test_odd_reads_are_answered_without_a_fault(feedback: Feedback, path: str) -> None:
    for odd in ODD:
        filled = path.replace("{}", quote(odd, safe="", errors="surrogatepass"))
        answer = await feedback.client.get(filled)
        assert answer.status_code < 500, (filled, answer.text)


async def test_odd_writes_are_refused_without_a_fault_and_without_effect(
    feedback: Feedback,
) -> None:
    await feedback.hear(*recurring(2))
    theme = await feedback.the_theme()
    given = await feedback.post("/v1/feedback", text="x", kind="operator", author="Mia")
    before = await feedback.types()
    writes = {
        f"/v1/themes/{theme['id']}/merge": {"into": "thm_1", "reason": "r"},
        f"/v1/themes/{theme['id']}/split": {"evidence_ids": ["evd_1"], "title": "t", "reason": "r"},
        f"/v1/feedback/{given['id']}/link": {"theme_id": "thm_1"},
        "/v1/feedback": {"text": "x", "kind": "operator", "author": "Mia", "theme_id": "thm_1"},
        "/v1/feedback/fbk_unknown/votes": {"voter": "Mia"},
    }
    odd_values = (None, 1, 10**400, True, [], {}, "", "a\x00b", "\ud800", "x" * 30_000, [None])
    for path, body in writes.items():
        odd_bodies = [{**body, name: odd} for name in body for odd in odd_values]
        for sent in [body, None, [], {}, {**body, "id": "mine"}, *odd_bodies]:
            answer = await feedback.client.post(
                path, content=json.dumps(sent), headers={"Content-Type": "application/json"}
            )
            allowed = sent == {"theme_id": None} or (
                path == "/v1/feedback" and answer.status_code == 201
            )
            assert allowed or 400 <= answer.status_code < 500, (path, str(sent)[:80], answer.text)
    assert set((await feedback.types())[len(before) :]) <= {"feedback.received"}


def document_of(app: FastAPI) -> dict[str, Any]:
    return get_openapi(title=app.title, version="1", routes=app.routes)


async def test_every_route_refuses_strangers_and_those_without_the_scope(db: Database) -> None:
    app = create_app(db)
    routes = [(m, path) for path, some in document_of(app)["paths"].items() for m in some]
    assert len(routes) == 24
    async with (
        client_of(app) as stranger,
        client_of(signed_in(app, "ingest")) as sender,
        client_of(signed_in(app, "feedback:read")) as reader,
    ):
        for method, path in routes:
            assert (await stranger.request(method, path)).status_code == 401, path
            assert (await sender.request(method, path)).status_code == 403, path
            if method != "get":
                assert (await reader.request(method, path)).status_code == 403, path


def test_every_operation_is_described_and_named_once(db: Database) -> None:
    paths = document_of(create_app(db))["paths"]
    operations = [operation for path in paths.values() for operation in path.values()]
    assert all(op["summary"] for op in operations)
    assert len({op["operationId"] for op in operations}) == len(operations)
