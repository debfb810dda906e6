"""What most people would write: a FastAPI endpoint with a pydantic model. The yardstick, no product.

With BENCH_DATABASE it also writes a row for each alert, in a transaction for each request. It serves
the bytes of the file BENCH_BYTES at /bytes.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from fastapi import FastAPI, Response
from pydantic import BaseModel, Field
from sqlalchemy import Column, Integer, MetaData, Table, Text, event
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ.get("BENCH_DATABASE")
BYTES = Path(os.environ["BENCH_BYTES"]).read_bytes() if "BENCH_BYTES" in os.environ else b"[]"

metadata = MetaData()
alerts = Table(
    "alerts",
    metadata,
    Column("key", Text, primary_key=True),
    Column("starts_at", Text, nullable=False),
    Column("repeats", Integer, nullable=False),
)
engine = create_async_engine(URL) if URL else None


class Alert(BaseModel):
    """One alert, as an Alertmanager takes it."""

    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: datetime = Field(alias="startsAt")
    ends_at: datetime | None = Field(default=None, alias="endsAt")
    generator_url: str | None = Field(default=None, alias="generatorURL")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    if engine is not None:

        @event.listens_for(engine.sync_engine, "connect")
        def durable(connection, _) -> None:  # pyright: ignore
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA busy_timeout=20000")

        async with engine.begin() as conn:
            await conn.run_sync(metadata.create_all)
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/api/v2/alerts")
async def post_alerts(posted: list[Alert]) -> dict[str, int]:
    if engine is not None:
        rows = [
            {"key": str(sorted(a.labels.items())), "starts_at": str(a.starts_at), "repeats": 0}
            for a in posted
        ]
        once_more = {"repeats": alerts.c.repeats + 1}
        query = insert(alerts).on_conflict_do_update(index_elements=["key"], set_=once_more)
        async with engine.begin() as conn:
            await conn.execute(query, rows)
    return {"accepted": len(posted)}


@app.get("/ready")
async def ready() -> str:
    return "ready"


@app.get("/bytes")
async def served() -> Response:
    return Response(BYTES, media_type="application/json")
