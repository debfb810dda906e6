"""API keys: made, shown once, used in three ways, rotated, revoked, expired."""

import stat
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

import shared.inbox  # registers its tables with the plumbing's
from services.gateway.access.first_start import ADMIN_KEY_FILE, PEPPER_FILE, ensure_admin, pepper
from services.gateway.keyring import Keyring
from services.gateway.metadata import metadata
from shared.clock import rfc3339
from shared.outbox import plumbing
from tests.conftest import MovingClock
from tests.gateway.conftest import Front, make_key

READ = "/v1/catalog/services"


async def status(front: Front, key: str | None, path: str = READ) -> int:
    async with front.client(key) as client:
        return (await client.get(path)).status_code


async def test_the_first_start_leaves_an_admin_key_only_its_owner_can_read(
    front: Front, tmp_path: Path
) -> None:
    for name in (ADMIN_KEY_FILE, PEPPER_FILE):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert await status(front, front.admin_key) == 200


async def test_a_second_start_makes_no_second_admin_key(front: Front, tmp_path: Path) -> None:
    await ensure_admin(front.keyring, tmp_path)
    async with front.client(front.admin_key) as client:
        assert len((await client.get("/v1/keys")).json()["items"]) == 1


async def test_a_key_is_shown_once_and_only_its_hash_is_kept(
    front: Front, admin: httpx.AsyncClient
) -> None:
    made = await make_key(admin, "incidents:read")
    secret = made["key"].split("_", 2)[2]
    listed = await admin.get("/v1/keys")
    assert made["id"] in {key["id"] for key in listed.json()["items"]}
    assert secret not in listed.text
    assert "hash" not in listed.text
    async with front.db.read() as conn:
        rows = (await conn.execute(text("SELECT * FROM api_keys"))).all()
    assert secret not in str(rows)


async def test_a_key_is_taken_as_bearer_as_header_and_as_basic_password(
    front: Front, admin: httpx.AsyncClient
) -> None:
    key = (await make_key(admin, "incidents:read"))["key"]
    async with front.client(None) as client:
        ways = [
            await client.get(READ, headers={"Authorization": f"Bearer {key}"}),
            await client.get(READ, headers={"Authorization": f"bearer {key}"}),
            await client.get(READ, headers={"X-API-Key": key}),
            await client.get(READ, auth=("anybody", key)),
            await client.get(READ, auth=("", key)),
        ]
    assert [answer.status_code for answer in ways] == [200] * 5


@pytest.mark.parametrize(
    "credential",
    [
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Bearer gs__",
        "Bearer gs_0000000000_",
        "Bearer gs_0000000000_wrong",
        "Bearer gs_é_é",
        "Basic",
        "Basic !!!",
        "Basic /////w==",
        "Digest username=admin",
        "\xff\xfe",
    ],
)
async def test_a_wrong_credential_opens_nothing(front: Front, credential: str) -> None:
    async with front.client(None) as client:
        answer = await client.get(READ, headers=[(b"Authorization", credential.encode("latin-1"))])
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Basic" in answer.headers["www-authenticate"]


async def test_the_right_prefix_with_a_wrong_secret_opens_nothing(front: Front) -> None:
    assert await status(front, front.admin_key[:-1] + "~") == 401
    assert await status(front, front.admin_key + "0") == 401


async def test_what_has_just_opened_opens_for_nobody_with_another_secret(front: Front) -> None:
    wrong = front.admin_key[:-1] + ("A" if front.admin_key[-1] != "A" else "B")
    assert front.keyring.principal(front.admin_key) is not None
    assert front.keyring.principal(wrong) is None
    assert front.keyring.principal(front.admin_key + "é") is None
    assert front.keyring.principal(front.admin_key) is not None


async def test_a_revoked_key_fails_at_once(front: Front, admin: httpx.AsyncClient) -> None:
    made = await make_key(admin, "incidents:read")
    assert await status(front, made["key"]) == 200
    revoked = await admin.post(f"/v1/keys/{made['id']}/revoke")
    assert revoked.json()["revoked_by"] == "admin"
    assert await status(front, made["key"]) == 401
    again = await admin.post(f"/v1/keys/{made['id']}/revoke")
    assert again.json() == revoked.json()


async def test_a_key_revoked_by_another_process_fails_after_the_next_reload(
    front: Front, admin: httpx.AsyncClient
) -> None:
    made = await make_key(admin, "incidents:read")
    assert await status(front, made["key"]) == 200
    async with front.db.begin() as conn:
        await conn.execute(text("UPDATE api_keys SET revoked_at = created_at WHERE name='tester'"))
    await front.keyring.keep_up()
    assert await status(front, made["key"]) == 401


async def test_rotation_is_two_active_keys_and_no_failure_in_between(
    front: Front, admin: httpx.AsyncClient
) -> None:
    old = await make_key(admin, "incidents:read")
    new = await make_key(admin, "incidents:read")
    assert [await status(front, key["key"]) for key in (old, new)] == [200, 200]
    await admin.post(f"/v1/keys/{old['id']}/revoke")
    assert [await status(front, key["key"]) for key in (old, new)] == [401, 200]


async def test_a_key_stops_opening_when_it_expires(
    front: Front, admin: httpx.AsyncClient, clock: MovingClock
) -> None:
    ends = rfc3339(clock.now + timedelta(hours=1))
    made = await make_key(admin, "incidents:read", expires_at=ends)
    assert await status(front, made["key"]) == 200
    clock.move(minutes=61)
    assert await status(front, made["key"]) == 401


async def test_a_key_that_would_never_be_valid_is_refused(
    admin: httpx.AsyncClient, clock: MovingClock
) -> None:
    body = {"name": "x", "scopes": ["ingest"], "expires_at": rfc3339(clock.now)}
    answer = await admin.post("/v1/keys", json=body)
    assert answer.status_code == 422
    assert answer.json()["type"].endswith("key-expires-in-the-past")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x"},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]},
        {"name": "", "scopes": ["ingest"]},
        {"name": "a\x00b", "scopes": ["ingest"]},
        {"name": "x", "scopes": "ingest"},
        {"name": "x", "scopes": ["ingest"], "id": "key_mine"},
        {"name": "x", "scopes": ["ingest"], "hash": "00"},
        {"name": "x", "scopes": ["ingest"], "expires_at": "soon"},
        {"name": "x", "scopes": ["ingest"], "expires_at": "9999-12-31T23:59:59Z"},
        [],
    ],
)
async def test_a_malformed_key_request_is_refused(admin: httpx.AsyncClient, body: object) -> None:
    assert (await admin.post("/v1/keys", json=body)).status_code == 422


async def test_the_last_admin_key_cannot_be_revoked(
    front: Front, admin: httpx.AsyncClient, clock: MovingClock
) -> None:
    own = (await admin.get("/v1/keys")).json()["items"][0]
    fleeting = rfc3339(clock.now + timedelta(hours=1))
    await make_key(admin, "admin", expires_at=fleeting)
    refused = await admin.post(f"/v1/keys/{own['id']}/revoke")
    assert refused.status_code == 409
    assert refused.json()["type"].endswith("last-admin-key")
    await make_key(admin, "admin")
    assert (await admin.post(f"/v1/keys/{own['id']}/revoke")).status_code == 200


@pytest.mark.parametrize("key_id", ["key_unknown", "%00", "x" * 300, "..%2f"])
async def test_revoking_an_unknown_key_is_a_client_error(
    admin: httpx.AsyncClient, key_id: str
) -> None:
    assert (await admin.post(f"/v1/keys/{key_id}/revoke")).status_code in (404, 422)


async def test_the_last_use_of_a_key_is_noted_at_most_once_a_minute(
    front: Front, admin: httpx.AsyncClient, clock: MovingClock
) -> None:
    async def noted() -> str:
        await front.keyring.keep_up()
        return (await admin.get("/v1/keys")).json()["items"][0]["last_used_at"]

    await admin.get("/v1/keys")
    first = await noted()
    clock.move(seconds=30)
    await admin.get("/v1/keys")
    assert await noted() == first
    clock.move(seconds=40)
    await admin.get("/v1/keys")
    assert await noted() > first


async def test_keys_page_by_cursor(admin: httpx.AsyncClient) -> None:
    made = [(await make_key(admin, "ingest"))["id"] for _ in range(4)]
    first = (await admin.get("/v1/keys?limit=3")).json()
    rest = (await admin.get("/v1/keys", params={"cursor": first["next"]})).json()
    ids = [key["id"] for key in first["items"] + rest["items"]]
    assert ids[:4] == sorted(made, reverse=True)
    assert len(ids) == 5
    assert rest["next"] is None


async def test_another_pepper_voids_every_key(front: Front, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    keyring = Keyring(front.db, pepper(other), front.keyring.clock)
    await keyring.reload()
    assert keyring.principal(front.admin_key) is None
    assert front.keyring.principal(front.admin_key) is not None


async def test_the_migration_makes_the_tables_that_the_code_expects(front: Front) -> None:
    async with front.db.begin() as conn:
        differences = await conn.run_sync(
            lambda sync: compare_metadata(
                MigrationContext.configure(sync),
                [metadata, plumbing],  # pyright: ignore[reportArgumentType]
            )
        )
    assert shared.inbox.inbox.metadata is plumbing
    assert differences == []
