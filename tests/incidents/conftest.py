"""What the tests of the incidents service share: its database, its app, a caller, its outbox."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI
from sqlalchemy import select

from services.incidents.app import MIGRATIONS, NAME, create_app
from shared.database import Database
from shared.outbox import outbox
from tests.conftest import MakeDatabase, MovingClock, client_of, outbox_types, signed_in


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> None:
    """structlog's own default prints every local variable, which takes seconds."""
    console = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(processors=[structlog.processors.add_log_level, console])


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database(NAME, MIGRATIONS)


@pytest.fixture
def app(db: Database, clock: MovingClock) -> FastAPI:
    return create_app(db, clock)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(signed_in(app)) as client:
        yield client


async def published(db: Database) -> list[str]:
    """The types of all events in the outbox, in order."""
    return outbox_types(await outbox_rows(db))


async def outbox_rows(db: Database) -> list[Any]:
    async with db.read() as conn:
        return list((await conn.execute(select(outbox).order_by(outbox.c.seq))).all())
