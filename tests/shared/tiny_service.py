"""A service of one noun, the note, built with the shared edge: what the tests of the edge talk to."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from sqlalchemy import Column, Float, Integer, MetaData, Row, Table, Text, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from shared import refusals
from shared.context import Context
from shared.database import Database, UtcDateTime
from shared.http import command
from shared.http.context import Db, IdempotencyKey, IfMatch, needs
from shared.http.edge import create_service
from shared.http.fields import Amount, Body, Count, Happened, Line, Name, Planned, Prose, View
from shared.http.pages import Cursor, Limit, Page, page_of
from shared.ids import new_id
from shared.outbox import plumbing
from tests.conftest import client_of, signed_in
from tests.engines.stores import Store

metadata = MetaData()
notes = Table(
    "notes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("count", Integer, nullable=False),
    Column("weight", Float, nullable=False),
    Column("version", Integer, nullable=False),
)

REQUEST_ID = "req_of_the_test"
SECRET = "the-database-password"


class NoteWontMove(refusals.Refusal):
    """A refusal of the service's own."""


class NoteBody(Body):
    text: Line
    by: Name = "nobody"
    prose: Prose = ""
    at: Happened | None = None
    due: Planned | None = None
    count: Count = 0
    weight: Amount = 0.0


class NoteView(View):
    id: str
    text: str
    version: int


class PlainView(View):
    text: str


@dataclass
class Trouble:
    """What the service is told to go through: raised, one after the other, after each write."""

    left: list[Exception] = field(default_factory=list[Exception])
    attempts: int = 0

    def strike(self) -> None:
        self.attempts += 1
        if self.left:
            raise self.left.pop(0)


router = APIRouter()
Reader = Annotated[Context, needs("incidents:read")]
Writer = Annotated[Context, needs("incidents:write")]


@router.post("/v1/notes", status_code=201, response_model=NoteView)
async def write_note(
    request: Request, body: NoteBody, ctx: Writer, key: IdempotencyKey = None
) -> Response:
    async def work(conn: AsyncConnection) -> NoteView:
        row = {
            "id": new_id("not"),
            "text": body.text,
            "at": body.at or ctx.now,
            "count": body.count,
            "weight": body.weight,
            "version": 1,
        }
        await conn.execute(insert(notes).values(row))
        request.app.state.trouble.strike()
        return NoteView.model_validate(row)

    return await command.run(request, ctx, work, lambda v: v, key=key, body=body, status=201)


@router.post("/v1/notes/{note_id}/touch", response_model=NoteView)
async def touch_note(
    request: Request,
    note_id: str,
    ctx: Writer,
    expected: IfMatch = None,
    key: IdempotencyKey = None,
) -> Response:
    async def work(conn: AsyncConnection) -> NoteView:
        row = (await conn.execute(select(notes).where(notes.c.id == note_id))).one_or_none()
        if row is None:
            raise refusals.NotFound(f"There is no note {note_id!r}; GET /v1/notes lists them.")
        if expected not in (None, row.version):
            raise refusals.VersionMismatch(f"It is at version {row.version}; read it again.")
        changed = update(notes).where(notes.c.id == note_id).values(version=row.version + 1)
        await conn.execute(changed)
        request.app.state.trouble.strike()
        return NoteView(id=row.id, text=row.text, version=row.version + 1)

    return await command.run(request, ctx, work, lambda shown: shown, key=key)


@router.post("/v1/plain", response_model=PlainView)
async def answer_plainly(request: Request, body: NoteBody, ctx: Writer) -> Response:
    async def work(conn: AsyncConnection) -> PlainView:
        return PlainView(text=body.text)

    return await command.run(request, ctx, work, lambda shown: shown)


@router.get("/v1/notes")
async def list_notes(
    ctx: Reader,
    db: Db,
    sort: str = "at",
    descending: bool = True,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[NoteView]:
    columns = [notes.c.id] if sort == "id" else [notes.c[sort], notes.c.id]
    async with db.read() as conn:
        return await page_of(
            conn, select(notes), columns, limit=limit, cursor=cursor, view=_view,
            descending=descending,
        )  # fmt: skip


@router.get("/v1/fail")
async def fail(request: Request) -> None:
    """Raises what the test left in `app.state.trouble`."""
    request.app.state.trouble.strike()


@router.get("/v1/teapot")
async def teapot() -> None:
    raise HTTPException(418, "Not for coffee; ask a kettle.", {"X-Short": "and stout"})


def _view(row: Row[Any]) -> NoteView:
    return NoteView.model_validate(row)


@dataclass
class Tiny:
    """The service, a caller with every scope, and what is in its table."""

    app: FastAPI
    db: Database
    client: httpx.AsyncClient

    @property
    def trouble(self) -> Trouble:
        return self.app.state.trouble

    def caller(self, *scopes: str, name: str = "tester") -> httpx.AsyncClient:
        return client_of(signed_in(identified(self.app), *scopes, name=name))

    async def texts(self) -> list[str]:
        async with self.db.read() as conn:
            return list((await conn.execute(select(notes.c.text).order_by(notes.c.id))).scalars())


@asynccontextmanager
async def tiny_service(store: Store) -> AsyncGenerator[Tiny]:
    """The service over a fresh database."""
    url = await store.empty()
    db = Database(url)
    async with db.begin() as conn:
        await conn.run_sync(metadata.create_all)
        await conn.run_sync(plumbing.create_all)
    app = create_service("tiny", "Tiny", db, [router])
    app.state.trouble = Trouble()
    async with client_of(signed_in(identified(app))) as client:
        yield Tiny(app, db, client)
    await db.close()
    await store.drop(url)


def identified(app: ASGIApp) -> ASGIApp:
    """The app behind an edge that gives each request the same id."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "groundswell.request_id": REQUEST_ID}, receive, send)

    return wrapped
