"""A gateway over real services' apps, in this process, with an admin key."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp

from services.gateway import app as gateway
from services.gateway.access.first_start import ADMIN_KEY_FILE, ensure_admin, pepper
from services.gateway.keyring import Keyring
from services.incidents import app as incidents
from shared.database import Database
from shared.http.health import Health
from shared.http.room import Room
from tests.conftest import MakeDatabase, MovingClock, client_of


@dataclass
class Front:
    """The gateway under test, and what stands behind it."""

    app: ASGIApp
    own: FastAPI
    services: dict[str, FastAPI]
    db: Database
    keyring: Keyring
    health: Health
    admin_key: str
    room: Room

    def client(self, key: str | None) -> httpx.AsyncClient:
        client = client_of(self.app)
        if key:
            client.headers["Authorization"] = f"Bearer {key}"
        return client


@pytest.fixture(autouse=True)
def quiet_logs() -> Iterator[None]:
    """Crashes on purpose are not printed, with all the variables of their frames."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
async def front(make_database: MakeDatabase, tmp_path: Path, clock: MovingClock) -> Front:
    """The gateway in front of the incidents service."""
    db = await make_database(gateway.NAME, gateway.MIGRATIONS)
    behind = await make_database(incidents.NAME, incidents.MIGRATIONS)
    return await front_of(
        {incidents.NAME: incidents.create_app(behind, clock)}, db, tmp_path, clock
    )


async def front_of(
    services: dict[str, FastAPI], db: Database, data: Path, clock: MovingClock
) -> Front:
    """The gateway in front of these apps."""
    keyring = Keyring(db, pepper(data), clock)
    await ensure_admin(keyring, data)
    await keyring.reload()
    health = Health({gateway.NAME: db})
    own = gateway.create_app(db, keyring, health, clock)
    documents = {name: service.openapi() for name, service in services.items()}
    room = Room(100)
    app = gateway.create_gateway(own, services, documents, keyring, room)
    admin_key = (data / ADMIN_KEY_FILE).read_text().strip()
    return Front(app, own, services, db, keyring, health, admin_key, room)


@pytest.fixture
async def admin(front: Front) -> AsyncIterator[httpx.AsyncClient]:
    async with front.client(front.admin_key) as client:
        yield client


async def make_key(admin: httpx.AsyncClient, *scopes: str, **more: Any) -> dict[str, Any]:
    """A new key with these scopes, as the API answers it."""
    answer = await admin.post("/v1/keys", json={"name": "tester", "scopes": list(scopes), **more})
    assert answer.status_code == 201, answer.text
    return answer.json()
