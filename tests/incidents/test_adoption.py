"""Incidents of services that nobody had claimed follow once the catalog knows them."""

from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select

from services.incidents.incidents import adoption
from services.incidents.incidents.store import incidents
from shared.context import Context
from shared.database import Database
from tests.conftest import MovingClock
from tests.incidents.conftest import published


async def opened(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    body = {"title": "Slow", "severity": "low", **more}
    return (await client.post("/v1/incidents", json=body)).json()


async def read(client: httpx.AsyncClient, incident: dict[str, Any]) -> dict[str, Any]:
    return (await client.get(f"/v1/incidents/{incident['id']}")).json()


async def test_a_claimed_name_is_kept_until_the_catalog_knows_it(client: httpx.AsyncClient) -> None:
    incident, nobodys = await opened(client, service="pay"), await opened(client)
    assert (incident["service"], incident["product"], incident["tier"]) == ("pay", "unassigned", 3)
    assert (nobodys["service"], nobodys["product"]) == ("unassigned", "unassigned")


@pytest.mark.parametrize("by", ["name", "alias", "import"])
async def test_registering_a_service_adopts_what_claimed_it(
    client: httpx.AsyncClient, db: Database, by: str
) -> None:
    incident, other = await opened(client, service="pay"), await opened(client, service="other")
    if by == "name":
        await client.put("/v1/catalog/services/pay", json={"product": "Checkout", "tier": 1})
    elif by == "alias":
        entry = {"product": "Checkout", "tier": 1, "aliases": ["pay"]}
        await client.put("/v1/catalog/services/payments", json=entry)
    else:
        content = (
            "kind: Component\nmetadata: {name: pay, labels: {tier: '1'}}\nspec: {system: Checkout}"
        )
        await client.post("/v1/catalog/import", content=content)
    adopted = await read(client, incident)
    assert adopted["service"] == ("payments" if by == "alias" else "pay")
    assert (adopted["product"], adopted["tier"], adopted["version"]) == ("Checkout", 1, 2)
    assert (await read(client, other))["product"] == "unassigned"
    assert (await published(db))[-1] == "incident.service_assigned"


async def test_what_one_transaction_leaves_the_next_adopts(
    client: httpx.AsyncClient, db: Database, clock: MovingClock
) -> None:
    first = await opened(client, service="pay")
    async with db.begin() as conn:
        row = (await conn.execute(select(incidents))).one()._asdict()
        await conn.execute(insert(incidents), [{**row, "id": f"inc_{n}"} for n in range(600)])
    await client.put("/v1/catalog/services/pay", json={"product": "Checkout"})
    ctx = Context("incidents", "service:incidents", clock.now, "req_1")
    async with db.begin() as conn:
        assert await adoption.waiting(conn)
        assert await adoption.adopt(conn, ctx) == 101
        assert not await adoption.waiting(conn)
        assert await adoption.adopt(conn, ctx) == 0
    assert (await read(client, first))["product"] == "Checkout"
    assert (await published(db)).count("incident.service_assigned") == 601


async def test_a_person_may_say_which_service_it_is(client: httpx.AsyncClient) -> None:
    incident = await opened(client)
    path = f"/v1/incidents/{incident['id']}/assign-service"
    unknown = await client.post(path, json={"service": "pay"})
    assert unknown.status_code == 422
    assert "PUT /v1/catalog/services" in unknown.json()["detail"]
    await client.put(
        "/v1/catalog/services/payments", json={"product": "Checkout", "aliases": ["pay"]}
    )
    assigned = (await client.post(path, json={"service": "pay"})).json()
    assert (assigned["service"], assigned["product"]) == ("payments", "Checkout")


async def test_a_service_of_no_product_adopts_nothing_and_blocks_nothing(
    client: httpx.AsyncClient, db: Database
) -> None:
    await opened(client, service="pay")
    await client.put("/v1/catalog/services/pay", json={"product": "unassigned"})
    async with db.begin() as conn:
        assert not await adoption.waiting(conn)
