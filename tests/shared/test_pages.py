"""Lists by page: every row once and in order, whatever the page size and whoever writes meanwhile."""

import asyncio
import base64
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import ColumnElement, Row, delete, insert, select

from shared.clock import rfc3339
from shared.database import Database
from shared.http.pages import InvalidCursor, Page, page_of
from tests.engines.stores import Store
from tests.shared.tiny_service import metadata, notes, tiny_service

START = datetime(2026, 1, 1, tzinfo=UTC)

SORTS: dict[str, list[ColumnElement[Any]]] = {
    "id": [notes.c.id],
    "at": [notes.c.at, notes.c.id],
    "weight": [notes.c.weight, notes.c.id],
    "count": [notes.c.count, notes.c.at, notes.c.id],
    "text": [notes.c.text, notes.c.id],
}


@dataclass(frozen=True)
class Note:
    id: str
    text: str
    at: datetime
    count: int
    weight: float

    def key(self, sort: str) -> tuple[Any, ...]:
        return tuple(getattr(self, str(column.name)) for column in SORTS[sort])  # pyright: ignore[reportAttributeAccessIssue]


@dataclass
class Table:
    """One database for many examples: a loop of its own, and the rows of the example at hand."""

    db: Database
    runner: asyncio.Runner

    def fill(self, rows: list[Note]) -> None:
        self.runner.run(self._fill(rows))

    async def _fill(self, rows: list[Note]) -> None:
        async with self.db.begin() as conn:
            await conn.execute(delete(notes))
        await self.add(rows)

    async def add(self, rows: list[Note]) -> None:
        if rows:
            async with self.db.begin() as conn:
                await conn.execute(insert(notes), [{**asdict(row), "version": 1} for row in rows])

    def page(self, sort: str, cursor: str | None, limit: int, descending: bool) -> Page[Note]:
        return self.runner.run(self._page(sort, cursor, limit, descending))

    async def _page(self, sort: str, cursor: str | None, limit: int, descending: bool) -> Any:
        async with self.db.read() as conn:
            return await page_of(
                conn, select(notes), SORTS[sort], limit=limit, cursor=cursor, view=_note,
                descending=descending,
            )  # fmt: skip


def _note(row: Row[Any]) -> Note:
    held = row._mapping  # pyright: ignore[reportPrivateUsage]
    return Note(**{name: held[name] for name in ("id", "text", "at", "count", "weight")})


@pytest.fixture(scope="module")
def table(store: Store) -> Iterator[Table]:
    async def opened() -> Database:
        db = Database(await store.empty())
        async with db.begin() as conn:
            await conn.run_sync(metadata.create_all)
        return db

    with asyncio.Runner() as runner:
        db = runner.run(opened())
        yield Table(db, runner)
        runner.run(db.close())


def note(values: tuple[int, int, float, int, str]) -> Note:
    """Few different values, so that many rows tie."""
    number, minutes, weight, count, text = values
    return Note(f"not_{number:03}", text, START + timedelta(minutes=minutes), count, weight)


WEIGHTS = st.sampled_from([0.0, 0.1, 1e-9, 3.0, 1e12])
TEXTS = st.sampled_from(["", "a", "A", "ä", '"', "z'; --", "\U0001f600"])
ROWS = st.lists(
    st.tuples(st.integers(0, 99), st.integers(0, 3), WEIGHTS, st.integers(-1, 2), TEXTS).map(note),
    max_size=15,
    unique_by=lambda row: row.id,
)


@settings(max_examples=60, deadline=None)
@given(
    rows=ROWS, late=ROWS, sort=st.sampled_from(list(SORTS)), limit=st.integers(1, 16),
    descending=st.booleans(),
)  # fmt: skip
def test_walking_a_list_meets_every_row_once_in_order(
    table: Table, rows: list[Note], late: list[Note], sort: str, limit: int, descending: bool
) -> None:
    known = {row.id for row in rows}
    coming = [row for row in late if row.id not in known]
    table.fill(rows)
    met: list[Note] = []
    cursor: str | None = None
    while True:
        page = table.page(sort, cursor, limit, descending)
        met += page.items
        assert len(page.items) == limit or page.next is None
        if page.next is None:
            break
        cursor = page.next
        table.runner.run(table.add([coming.pop()] if coming else []))
    keys = [row.key(sort) for row in met]
    ordered = sorted(keys, key=_by_code_point, reverse=descending)
    assert keys == ordered
    assert len({row.id for row in met}) == len(met)
    assert known <= {row.id for row in met}


def _by_code_point(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(part.encode() if isinstance(part, str) else part for part in key)


def forged(content: Any) -> str:
    plain = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(plain).decode().rstrip("=")


AT = {"t": rfc3339(START)}


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "not base64!",
        "ümlaut",
        "====",
        forged(b"\xff\xfe"),
        forged(b"[1,"),
        forged(b"[" * 50_000),
        forged(None),
        forged(7),
        forged("a"),
        forged({}),
        forged([]),
        forged([AT]),
        forged([AT, "not_1", "more"]),
        forged(["2026-01-01T00:00:00.000000Z", "not_1"]),
        forged([{"t": "yesterday"}, "not_1"]),
        forged([{"t": "2026-01-01T00:00:00"}, "not_1"]),
        forged([{"t": "0001-01-01T00:00:00+14:00"}, "not_1"]),
        forged([{"t": "9999-12-31T23:59:59-14:00"}, "not_1"]),
        forged([{"t": 7}, "not_1"]),
        forged([{"u": 7}, "not_1"]),
        forged([AT, 7]),
        forged([AT, None]),
        forged([AT, True]),
        forged([AT, ["not_1"]]),
        forged([AT, AT]),
        forged([AT, "\ud800"]),
    ],
)
def test_a_cursor_that_this_list_did_not_make_is_refused(table: Table, cursor: str) -> None:
    with pytest.raises(InvalidCursor, match="begin at the first page"):
        table.page("at", cursor, 10, True)


@pytest.mark.parametrize(
    ("sort", "keys"),
    [
        ("count", [True, AT, "x"]),
        ("count", [1.5, AT, "x"]),
        ("count", ["1", AT, "x"]),
        ("count", [10**30, AT, "x"]),
        ("count", [-(2**63) - 1, AT, "x"]),
        ("weight", [False, "x"]),
        ("weight", ["1.0", "x"]),
        ("weight", [10**400, "x"]),
        ("weight", [float("nan"), "x"]),
        ("weight", [float("inf"), "x"]),
    ],
)
def test_a_forged_number_is_refused(table: Table, sort: str, keys: list[Any]) -> None:
    with pytest.raises(InvalidCursor):
        table.page(sort, forged(keys), 10, True)


def test_a_cursor_of_another_sort_is_refused(table: Table) -> None:
    table.fill([note((n, 0, 0.0, 0, "a")) for n in range(3)])
    foreign = table.page("weight", None, 1, True).next
    with pytest.raises(InvalidCursor):
        table.page("at", foreign, 1, True)


KEYS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.fixed_dictionaries({"t": st.text(max_size=5) | st.just(rfc3339(START))})
)
ANYTHING = KEYS | st.lists(KEYS, max_size=4) | st.lists(st.lists(KEYS, max_size=2), max_size=2)


@settings(max_examples=150, deadline=None)
@given(sort=st.sampled_from(list(SORTS)), content=ANYTHING)
def test_no_cursor_is_a_fault_of_ours(table: Table, sort: str, content: Any) -> None:
    try:
        page = table.page(sort, forged(content), 5, False)
    except InvalidCursor:
        return
    assert isinstance(content, list)
    assert len(content) == len(SORTS[sort])
    assert len(page.items) <= 5


def test_over_http_a_page_is_bounded_and_a_forged_cursor_is_a_422(store: Store) -> None:
    async def work() -> None:
        async with tiny_service(store) as tiny:
            for limit, status in ((1, 200), (200, 200), (0, 422), (201, 422)):
                answer = await tiny.client.get("/v1/notes", params={"limit": limit})
                assert answer.status_code == status
            for cursor in ("x", "a" * 2001, forged([10**30])):
                refused = await tiny.client.get("/v1/notes", params={"cursor": cursor})
                assert refused.status_code == 422
                assert refused.headers["content-type"] == "application/problem+json"

    asyncio.run(work())
