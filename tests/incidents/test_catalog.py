"""The catalog through its API."""

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import select

from services.incidents.app import MIGRATIONS, create_app
from shared.database import Database
from shared.outbox import outbox
from tests.conftest import MakeDatabase, client_of, outbox_types, signed_in

ENTRY = {"product": "Checkout", "tier": 1, "aliases": ["pay"]}


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database("incidents", MIGRATIONS)


@pytest.fixture
async def client(db: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(signed_in(create_app(db))) as client:
        yield client


async def test_registering_the_same_entry_twice_publishes_once(
    client: httpx.AsyncClient, db: Database
) -> None:
    first = await client.put("/v1/catalog/services/payments", json=ENTRY)
    again = await client.put("/v1/catalog/services/payments", json=ENTRY)
    assert first.status_code == again.status_code == 200
    assert first.headers["ETag"] == again.headers["ETag"] == '"1"'
    async with db.read() as conn:
        rows = (await conn.execute(select(outbox))).all()
    assert outbox_types(list(rows)) == ["service.registered"]


async def test_a_stale_if_match_is_refused_and_changes_nothing(client: httpx.AsyncClient) -> None:
    await client.put("/v1/catalog/services/payments", json=ENTRY)
    changed = await client.put(
        "/v1/catalog/services/payments", json={**ENTRY, "tier": 2}, headers={"If-Match": '"1"'}
    )
    stale = await client.put(
        "/v1/catalog/services/payments", json={**ENTRY, "tier": 4}, headers={"If-Match": '"1"'}
    )
    assert changed.json()["version"] == 2
    assert stale.status_code == 412
    assert stale.headers["content-type"] == "application/problem+json"
    assert (await client.get("/v1/catalog/services/payments")).json()["tier"] == 2


async def test_services_are_listed_page_by_page(client: httpx.AsyncClient) -> None:
    for name in ("a", "b", "c"):
        await client.put(f"/v1/catalog/services/{name}", json=ENTRY)
    first = (await client.get("/v1/catalog/services", params={"limit": 2})).json()
    second = (
        await client.get("/v1/catalog/services", params={"limit": 2, "cursor": first["next"]})
    ).json()
    assert [s["name"] for s in first["items"] + second["items"]] == ["a", "b", "c"]
    assert second["next"] is None


@pytest.mark.parametrize("limit", ["0", "1000000", "x"])
async def test_an_impossible_page_size_is_answered_with_the_bound(
    client: httpx.AsyncClient, limit: str
) -> None:
    answer = await client.get("/v1/catalog/services", params={"limit": limit})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "query.limit"


async def test_a_backstage_file_becomes_services(client: httpx.AsyncClient) -> None:
    content = """
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: payments, annotations: {groundswell.dev/tier: "1"}}
spec: {type: service, owner: team-pay, system: checkout, dependsOn: ["component:default/orders-db"]}
---
kind: API
metadata: {name: not-a-service}
"""
    answer = await client.post("/v1/catalog/import", content=content)
    assert answer.status_code == 200
    (entry,) = answer.json()["services"]
    assert (entry["product"], entry["owner"], entry["tier"]) == ("checkout", "team-pay", 1)
    assert entry["dependencies"] == ["orders-db"]
    missing = await client.get("/v1/catalog/services/not-a-service")
    assert missing.status_code == 404


async def test_without_a_caller_nothing_is_answered(db: Database) -> None:
    async with client_of(create_app(db)) as stranger:
        assert (await stranger.get("/v1/catalog/services")).status_code == 401


async def test_without_the_scope_nothing_is_changed(db: Database) -> None:
    async with client_of(signed_in(create_app(db), "incidents:read")) as reader:
        answer = await reader.put("/v1/catalog/services/payments", json=ENTRY)
        assert answer.status_code == 403
        assert (await reader.get("/v1/catalog/services/payments")).status_code == 404
