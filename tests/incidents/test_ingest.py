"""From a sender's POST to an incident and the outbox, through the addresses senders use."""

import asyncio
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select

from services.incidents.incidents.store import incidents
from services.incidents.settings import IncidentsSettings
from services.incidents.signals import writer as writing
from services.incidents.signals.adapters import native
from services.incidents.signals.continuing import Post
from services.incidents.signals.expiry import expire
from services.incidents.signals.recording import Written, record
from services.incidents.signals.store import signals
from services.incidents.signals.writer import Writer
from shared.clock import rfc3339
from shared.context import Context
from shared.database import Database
from tests.conftest import MovingClock, client_of, signed_in
from tests.incidents.conftest import published

BODIES = Path(__file__).parent / "adapters" / "bodies"
FIRING = {"title": "Disk full", "fingerprint": "f1", "service": "db", "severity": "high"}


def alert(clock: MovingClock, **more: Any) -> dict[str, Any]:
    labels = {"alertname": "DiskFull", "service": "db", "severity": "critical"}
    return {"labels": labels, "startsAt": rfc3339(clock.now - timedelta(minutes=5)), **more}


async def test_a_signal_becomes_an_incident_with_the_catalogs_product(
    client: httpx.AsyncClient, db: Database
) -> None:
    await client.put(
        "/v1/catalog/services/orders-db", json={"product": "Orders", "aliases": ["db"]}
    )
    answer = await client.post("/v1/signals", json=FIRING)
    assert answer.status_code == 202
    (taken,) = answer.json()["signals"]
    assert (answer.json()["accepted"], taken["status"]) == (1, "new")
    incident = (await client.get(f"/v1/incidents/{taken['incident_id']}")).json()
    assert (incident["service"], incident["product"]) == ("orders-db", "Orders")
    assert (incident["claimed_service"], incident["state"]) == ("db", "open")
    assert (incident["signals"], incident["episodes"], incident["repeats"]) == (1, 1, 0)
    assert await published(db) == ["service.registered", "incident.opened"]
    stored = (await client.get(f"/v1/signals/{taken['id']}")).json()
    assert stored["title"] == "Disk full"


async def test_a_redelivered_signal_changes_nothing_but_its_counter(
    client: httpx.AsyncClient, db: Database, clock: MovingClock
) -> None:
    body = {**FIRING, "starts_at": rfc3339(clock.now)}
    first = (await client.post("/v1/signals", json=body)).json()["signals"][0]
    clock.move(minutes=1)
    both = (await client.post("/v1/signals", json=[body, body])).json()["signals"]
    assert [one["status"] for one in both] == ["repeat", "repeat"]
    assert {one["id"] for one in both} == {first["id"]}
    stored = (await client.get(f"/v1/signals/{first['id']}")).json()
    assert stored["repeats"] == 2
    assert stored["last_seen_at"] > stored["received_at"]
    assert await published(db) == ["incident.opened"]
    timeline = await client.get(f"/v1/incidents/{first['incident_id']}/timeline")
    assert len(timeline.json()["items"]) == 1


async def test_firing_then_resolved_without_times_is_over(
    client: httpx.AsyncClient, clock: MovingClock
) -> None:
    taken = (await client.post("/v1/signals", json=FIRING)).json()["signals"][0]
    clock.move(minutes=3)
    await client.post("/v1/signals", json={**FIRING, "status": "resolved"})
    incident = (await client.get(f"/v1/incidents/{taken['incident_id']}")).json()
    assert incident["state"] == "resolved"
    assert incident["resolved_at"] == clock.now.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("pause", "state", "incidents_then"), [(9, "open", 1), (11, "resolved", 2)]
)
async def test_an_alert_that_fires_again_reopens_within_the_window(
    client: httpx.AsyncClient, clock: MovingClock, pause: int, state: str, incidents_then: int
) -> None:
    began = clock.now - timedelta(hours=2)
    ended = began + timedelta(minutes=30)
    over = {**FIRING, "status": "resolved", "starts_at": rfc3339(began), "ends_at": rfc3339(ended)}
    taken = (await client.post("/v1/signals", json=over)).json()["signals"][0]
    again = {**FIRING, "starts_at": rfc3339(ended + timedelta(minutes=pause))}
    await client.post("/v1/signals", json=again)
    incident = (await client.get(f"/v1/incidents/{taken['incident_id']}")).json()
    assert (incident["state"], incident["reopenings"]) == (state, 2 - incidents_then)
    assert (await client.get("/v1/incidents/summary")).json()["incidents"] == incidents_then


async def test_a_prometheus_alert_that_stops_being_sent_expires_and_may_go_on(
    client: httpx.AsyncClient, db: Database, clock: MovingClock
) -> None:
    settings = IncidentsSettings(expiry_grace_seconds=30)
    ends = clock.now + timedelta(minutes=4)
    body = [alert(clock, endsAt=rfc3339(ends))]
    assert (await client.post("/api/v2/alerts", json=body)).status_code == 200
    clock.move(minutes=3)
    again = [
        alert(clock, startsAt=body[0]["startsAt"], endsAt=rfc3339(ends + timedelta(minutes=3)))
    ]
    await client.post("/api/v2/alerts", json=again)
    clock.move(minutes=3)
    assert await expire(db, settings, clock.now) == 0
    clock.move(minutes=2)
    assert await expire(db, settings, clock.now) == 1
    assert await expire(db, settings, clock.now) == 0
    (incident,) = (await client.get("/v1/incidents")).json()["items"]
    expected = ends + timedelta(minutes=3)
    assert incident["resolved_at"] == expected.isoformat().replace("+00:00", "Z")
    back = [
        alert(clock, startsAt=body[0]["startsAt"], endsAt=rfc3339(clock.now + timedelta(minutes=4)))
    ]
    await client.post("/api/v2/alerts", json=back)
    (incident,) = (await client.get("/v1/incidents")).json()["items"]
    assert (incident["state"], incident["reopenings"]) == ("open", 1)
    assert await published(db) == ["incident.opened", "incident.resolved", "incident.reopened"]


async def test_alertmanagers_own_messages_are_taken(client: httpx.AsyncClient) -> None:
    for name in ("firing", "group", "mixed", "truncated"):
        content = (BODIES / f"alertmanager_{name}.json").read_bytes()
        answer = await client.post("/ingest/alertmanager", content=content)
        assert answer.status_code == 202, (name, answer.text)
        alerts = len(json.loads(content)["alerts"])
        assert answer.json()["accepted"] == len(answer.json()["signals"]) == alerts
    truncated = [
        (await client.get(f"/v1/incidents/{one['incident_id']}")).json()["truncated"]
        for one in answer.json()["signals"]
    ]
    assert all(count > 0 for count in truncated)


BAD = [b"", b"{", b"null", b"[1]", b'{"a":', b"\xff\xfe", b'"x"', b"[" * 5000, b'{"title":1e999}']


@pytest.mark.parametrize("body", BAD)
async def test_a_bad_body_is_refused_in_the_senders_own_terms(
    client: httpx.AsyncClient, db: Database, body: bytes
) -> None:
    v2 = await client.post("/api/v2/alerts", content=body)
    assert v2.status_code == 400
    assert isinstance(v2.json(), str)
    webhook = await client.post("/ingest/alertmanager", content=body)
    assert (webhook.status_code, webhook.headers["content-type"]) == (
        400,
        "application/problem+json",
    )
    native = await client.post("/v1/signals", content=body)
    assert native.status_code == 422
    assert native.json()["errors"]
    assert await published(db) == []


async def test_all_signals_of_a_post_or_none(client: httpx.AsyncClient, db: Database) -> None:
    answer = await client.post("/v1/signals", json=[FIRING, {"title": "x", "severity": "awful"}])
    assert answer.status_code == 422
    assert "severity" in answer.json()["errors"][0]["field"]
    assert await published(db) == []


async def test_only_the_scope_ingest_may_post(app: FastAPI) -> None:
    async with client_of(signed_in(app, "incidents:read", "incidents:write")) as stranger:
        for path in ("/api/v2/alerts", "/ingest/alertmanager", "/v1/signals"):
            assert (await stranger.post(path, json=[])).status_code == 403


async def test_concurrent_posts_share_commits_and_each_gets_its_own_answer(
    client: httpx.AsyncClient, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []

    async def counted(conn: Any, posts: list[Post], window: timedelta, *how: Any) -> Any:
        batches.append(len(posts))
        return await record(conn, posts, window, *how)

    monkeypatch.setattr(writing, "record", counted)
    answers = await asyncio.gather(
        *(
            client.post(
                "/v1/signals", json={**FIRING, "fingerprint": f"f{n % 20}", "title": f"t{n}"}
            )
            for n in range(60)
        )
    )
    assert {answer.status_code for answer in answers} == {202}
    assert sum(batches) == 60
    assert len(batches) < 20
    for n, answer in enumerate(answers):
        stored = await client.get(f"/v1/signals/{answer.json()['signals'][0]['id']}")
        assert stored.json()["fingerprint"] == f"f{n % 20}"
    async with db.read() as conn:
        assert (await conn.execute(select(func.count()).select_from(incidents))).scalar_one() == 20


async def test_those_who_come_back_at_once_share_the_next_commit(
    app: FastAPI, clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []

    async def slow(_conn: object, posts: list[Post], *_: object) -> list[list[Written]]:
        time.sleep(0.02)  # noqa: ASYNC251  in the database's thread, or while nothing else is to do
        batches.append(len(posts))
        return [[] for _ in posts]

    monkeypatch.setattr(writing, "record", slow)
    writer: Writer = app.state.writer
    signals = native.parse(json.dumps(FIRING).encode(), clock.now)
    post = Post(signals, Context("incidents", "key:1", clock.now, "req_1"))

    async def comes_back(turns: int) -> None:
        for _ in range(6):
            for _ in range(turns):
                await asyncio.sleep(0)
            await writer.write(post)

    await asyncio.gather(*(comes_back(turns) for turns in (0, 1, 2) * 4))
    assert sum(batches) == 72
    assert max(batches) == 12
    assert len(batches) <= 8, batches


async def test_an_answer_is_given_only_after_the_commit(
    client: httpx.AsyncClient, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between writing and committing must not have answered anybody."""

    async def dies(conn: Any, posts: list[Post], window: timedelta, *how: Any) -> Any:
        await record(conn, posts, window, *how)
        raise RuntimeError("the process dies before the commit")

    monkeypatch.setattr(writing, "record", dies)
    answer = await client.post("/v1/signals", json=FIRING)
    assert answer.status_code == 500
    monkeypatch.undo()
    async with db.read() as conn:
        assert (await conn.execute(select(func.count()).select_from(signals))).scalar_one() == 0
    again = await client.post("/v1/signals", json=FIRING)
    assert again.json()["signals"][0]["status"] == "new"


async def test_one_bad_post_does_not_reject_its_neighbours(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def picky(conn: Any, posts: list[Post], window: timedelta, *how: Any) -> Any:
        if any(signal.title == "poison" for post in posts for signal in post.signals):
            raise RuntimeError("this one can't be stored")
        return await record(conn, posts, window, *how)

    monkeypatch.setattr(writing, "record", picky)
    titles = ["a", "b", "poison", "c", "d"]
    answers = await asyncio.gather(
        *(client.post("/v1/signals", json={**FIRING, "title": title}) for title in titles)
    )
    assert [answer.status_code for answer in answers] == [202, 202, 500, 202, 202]


async def test_beyond_the_bound_a_post_is_refused_before_it_is_written(
    app: FastAPI, client: httpx.AsyncClient, db: Database
) -> None:
    app.state.writer = Writer(db, IncidentsSettings(max_waiting_signals=1), app.state.silences)
    native = [client.post("/v1/signals", json={**FIRING, "fingerprint": f"f{n}"}) for n in range(9)]
    answers = await asyncio.gather(*native)
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {202, 429}
    assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
    assert len(await published(db)) == len(answers) - len(refused)


async def test_a_stopped_writer_drains_and_then_refuses_as_each_sender_retries(
    app: FastAPI, client: httpx.AsyncClient, clock: MovingClock, db: Database
) -> None:
    waiting = asyncio.create_task(client.post("/v1/signals", json=FIRING))
    async with asyncio.timeout(5):
        while not app.state.writer.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await app.state.writer.stop()
    assert (await waiting).status_code == 202
    v2 = await client.post("/api/v2/alerts", json=[alert(clock)])
    assert (v2.status_code, isinstance(v2.json(), str)) == (503, True)
    content = (BODIES / "alertmanager_firing.json").read_bytes()
    assert (await client.post("/ingest/alertmanager", content=content)).status_code == 503
    assert (await client.post("/v1/signals", json=FIRING)).status_code == 429
    assert await published(db) == ["incident.opened"]


async def test_signals_are_listed_and_filtered(client: httpx.AsyncClient) -> None:
    for n in range(3):
        await client.post("/v1/signals", json={**FIRING, "fingerprint": f"f{n}", "source": "s1"})
    other = (await client.post("/v1/signals", json={**FIRING, "source": "s2"})).json()["signals"][0]
    page = (await client.get("/v1/signals", params={"source": "s1", "limit": 2})).json()
    rest = (
        await client.get("/v1/signals", params={"source": "s1", "limit": 2, "cursor": page["next"]})
    ).json()
    assert [s["fingerprint"] for s in page["items"] + rest["items"]] == ["f2", "f1", "f0"]
    one = await client.get("/v1/signals", params={"incident_id": other["incident_id"]})
    assert [s["id"] for s in one.json()["items"]] == [other["id"]]
    assert (await client.get("/v1/signals", params={"status": "resolved"})).json()["items"] == []
    assert (await client.get("/v1/signals/sig_nope")).status_code == 404


async def test_without_a_database_nobody_is_told_that_it_was_taken(
    client: httpx.AsyncClient, clock: MovingClock, monkeypatch: pytest.MonkeyPatch, db: Database
) -> None:
    async def fails(conn: Any, posts: list[Post], window: timedelta, *how: Any) -> Any:
        raise OSError("disk I/O error")

    monkeypatch.setattr(writing, "record", fails)
    content = (BODIES / "alertmanager_firing.json").read_bytes()
    answers = await asyncio.gather(
        client.post("/api/v2/alerts", json=[alert(clock)]),
        client.post("/ingest/alertmanager", content=content),
        client.post("/v1/signals", json=FIRING),
    )
    assert [answer.status_code for answer in answers] == [503, 503, 503]
    assert await published(db) == []


async def test_a_caller_that_went_away_does_not_take_its_neighbours_along(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    gone = asyncio.create_task(client.post("/v1/signals", json={**FIRING, "fingerprint": "gone"}))
    others = [
        asyncio.create_task(client.post("/v1/signals", json={**FIRING, "fingerprint": f"f{n}"}))
        for n in range(5)
    ]
    async with asyncio.timeout(5):
        while not app.state.writer.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    gone.cancel()
    assert [(await answer).status_code for answer in others] == [202] * 5
    assert app.state.writer.waiting == 0
