"""Integrations: made, rotated, limited, ended; known by a key of 32 characters wherever it may stand."""

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests.gateway.conftest import Front

ALERT = {"title": "Payments fail"}


async def make(admin: httpx.AsyncClient, source: str = "shop", **more: Any) -> dict[str, Any]:
    """A new integration with its key, as the API answers it."""
    body = {"name": "Shop's alerts", "source": source, **more}
    answer = await admin.post("/v1/integrations", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def send(front: Front, key: str, *alerts: dict[str, Any]) -> httpx.Response:
    async with front.client(key) as client:
        return await client.post("/v1/signals", json=list(alerts or [ALERT]))


async def signals(admin: httpx.AsyncClient) -> list[dict[str, Any]]:
    return (await admin.get("/v1/signals")).json()["items"]


async def test_a_key_names_its_source_and_the_service_of_what_names_none(
    front: Front, admin: httpx.AsyncClient
) -> None:
    made = await make(admin, service="payments")
    assert (await send(front, made["key"], ALERT, {**ALERT, "service": "cart"})).status_code == 202
    said = {(one["source"], one["service"]) for one in await signals(admin)}
    assert said == {("shop", "payments"), ("shop", "cart")}


async def test_two_integrations_never_mean_the_same_alert(
    front: Front, admin: httpx.AsyncClient
) -> None:
    alert = {**ALERT, "fingerprint": "1", "source": "claimed"}
    for source in ("shop", "bank"):
        made = await make(admin, source)
        for _ in range(2):
            await send(front, made["key"], alert)
    assert sorted(one["source"] for one in await signals(admin)) == ["bank", "shop"]
    again = await admin.post("/v1/integrations", json={"name": "x", "source": "shop"})
    assert again.status_code == 409
    assert "shop" in again.json()["detail"]


async def test_its_key_sends_and_does_nothing_else(front: Front, admin: httpx.AsyncClient) -> None:
    made = await make(admin)
    async with front.client(made["key"]) as client:
        for path in ("/v1/incidents", "/v1/keys", "/v1/integrations"):
            assert (await client.get(path)).status_code == 403


async def test_a_key_is_shown_once_and_kept_nowhere(front: Front, admin: httpx.AsyncClient) -> None:
    made = await make(admin)
    assert len(made["key"]) == 32
    one = made["integration"]
    listed = await admin.get("/v1/integrations")
    read = await admin.get(f"/v1/integrations/{one['id']}")
    assert listed.json()["items"] == [read.json()] == [one]
    assert read.headers["etag"] == '"1"'
    async with front.db.read() as conn:
        kept = str((await conn.execute(text("SELECT * FROM api_keys"))).all())
    assert made["key"][10:] not in kept + listed.text


async def test_rotation_has_two_keys_and_no_third(front: Front, admin: httpx.AsyncClient) -> None:
    made = await make(admin)
    keys = f"/v1/integrations/{made['integration']['id']}/keys"
    second = (await admin.post(keys)).json()
    third = await admin.post(keys)
    assert third.status_code == 409
    for key in (made["key"], second["key"]):
        assert (await send(front, key)).status_code == 202
    old, new = second["integration"]["keys"]
    assert old["id"] in third.json()["detail"]
    assert (await admin.post(f"/v1/keys/{old['id']}/revoke")).status_code == 200
    assert (await send(front, made["key"])).status_code == 401
    assert (await send(front, second["key"])).status_code == 202
    assert (await admin.post(keys)).json()["integration"]["keys"][0] == new


async def test_what_it_is_can_be_changed_by_who_has_seen_it(
    front: Front, admin: httpx.AsyncClient
) -> None:
    made = await make(admin)
    path = f"/v1/integrations/{made['integration']['id']}"
    body = {"name": "Shop", "source": "shop2", "service": "cart"}
    stale = await admin.put(path, json=body, headers={"If-Match": '"7"'})
    assert stale.status_code == 412
    changed = await admin.put(path, json=body, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert (await admin.put(path, json=body)).json()["version"] == 2
    await send(front, made["key"])
    assert [(one["source"], one["service"]) for one in await signals(admin)] == [("shop2", "cart")]


async def test_an_ended_integration_sends_nothing_and_stays_ended(
    front: Front, admin: httpx.AsyncClient
) -> None:
    made = await make(admin)
    path = f"/v1/integrations/{made['integration']['id']}"
    ended = await admin.post(f"{path}/end")
    assert ended.json()["ended_at"] is not None
    assert (await admin.post(f"{path}/end")).json() == ended.json()
    assert (await send(front, made["key"])).status_code == 401
    assert (await admin.post(f"{path}/keys")).status_code == 409
    assert (await admin.put(path, json={"name": "x", "source": "y"})).status_code == 409
    assert (await admin.post("/v1/integrations/int_0/end")).status_code == 404


async def test_beyond_its_limit_an_integration_waits_and_the_others_do_not(
    front: Front, admin: httpx.AsyncClient
) -> None:
    limited = await make(admin, signals_per_minute=5)
    free = await make(admin, "bank")
    assert (await send(front, limited["key"], *[ALERT] * 7)).status_code == 202
    refused = await send(front, limited["key"])
    assert refused.status_code == 429
    assert 30 <= int(refused.headers["retry-after"]) <= 40
    assert "signals_per_minute" in refused.json()["detail"]
    assert (await send(front, free["key"])).status_code == 202


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "x"},
        {"name": "x", "source": "Shop"},
        {"name": "x", "source": ""},
        {"name": "x", "source": "shop", "signals_per_minute": 0},
        {"name": "x", "source": "shop", "secret": "y"},
    ],
)
async def test_what_no_integration_can_be_is_refused(
    admin: httpx.AsyncClient, wrong: dict[str, Any]
) -> None:
    assert (await admin.post("/v1/integrations", json=wrong)).status_code == 422


async def test_concurrent_rotations_leave_two_keys(front: Front, admin: httpx.AsyncClient) -> None:
    made = await make(admin)
    path = f"/v1/integrations/{made['integration']['id']}"
    answers = await asyncio.gather(*(admin.post(f"{path}/keys") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert len((await admin.get(path)).json()["keys"]) == 2


async def test_opsgenies_clients_show_their_key_in_their_own_way(
    front: Front, admin: httpx.AsyncClient
) -> None:
    made = await make(admin)
    async with front.client(None) as client:
        headers = {"Authorization": f"GenieKey {made['key']}"}
        assert (await client.post("/v1/signals", json=ALERT, headers=headers)).status_code == 202
