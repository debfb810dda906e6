"""A file through the API: what it says afterwards, again, interrupted, refused."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from rich.progress import Progress
from sqlalchemy import func, select

from services.incidents.app import MIGRATIONS, create_app
from services.replay.command import ReplayResult, replay
from services.replay.mapping import SERVICENOW
from services.replay.sending import NotTaken
from services.replay.source import Unreadable
from shared.database import Database
from shared.outbox import outbox
from tests.conftest import MakeDatabase, client_of, signed_in
from tests.replay.handwritten import row, write_csv
from tests.replay.test_incidents import LIFE

COUNTS = ("incidents", "opened", "resolved", "reopened", "resolutions", "reopenings")
EXPECTED = {
    "incidents": 20,
    "opened": 20,
    "resolved": 19,
    "reopened": 1,
    "resolutions": 20,
    "reopenings": 1,
}


@pytest.fixture(autouse=True)
def _several_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that there is a midway, at which to be interrupted."""
    monkeypatch.setattr("services.replay.batches.MOST_ITEMS", 3)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Twenty incidents over a month: one lives LIFE, one stays open, the others are closed."""
    rows = [*LIFE, row("2 08:00", "New", number="OPEN")]
    for day in range(3, 21):
        for hour, state in (("08:00", "New"), ("09:00", "Closed")):
            opened = f"{day}/3/2016 08:00"
            rows.append(row(f"{day} {hour}", state, number=f"X{day}", opened_at=opened))
    return write_csv(tmp_path / "log.csv", rows)


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database("incidents", MIGRATIONS)


@pytest.fixture
async def client(db: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(signed_in(create_app(db))) as client:
        yield client


async def bring_in(client: httpx.AsyncClient, path: Path, **more: Any) -> ReplayResult:
    chosen = {"state": None, "wait_seconds": 0, "patience": 5.0, **more}
    with Progress(disable=True) as progress:
        return await replay(client, path, SERVICENOW, progress=progress, **chosen)


def counts(result: ReplayResult) -> dict[str, int]:
    return {name: getattr(result, name) for name in COUNTS}


async def events(db: Database) -> int:
    async with db.read() as conn:
        return (await conn.execute(select(func.count()).select_from(outbox))).scalar_one()


class Faulty(httpx.AsyncBaseTransport):
    """Passes imports on, or answers otherwise first: `troubles` by the number of the import."""

    def __init__(self, inner: httpx.AsyncClient, troubles: dict[int, httpx.Response | Exception]):
        self.inner = inner
        self.troubles = troubles
        self.imports = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.imports += 1
            trouble = self.troubles.get(self.imports)
            if isinstance(trouble, Exception):
                raise trouble
            if trouble is not None:
                return trouble
        return await self.inner.send(request)


def through(transport: Faulty) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=transport, base_url="http://groundswell.test")


def problem(status: int, detail: str = "…") -> httpx.Response:
    return httpx.Response(status, json={"detail": detail})


async def test_the_api_says_what_the_file_says(client: httpx.AsyncClient, log: Path) -> None:
    result = await bring_in(client, log)
    assert counts(result) == EXPECTED
    assert (result.rows, result.rows_passed_over, result.settled) == (43, 0, False)


async def test_a_second_replay_changes_nothing(
    client: httpx.AsyncClient, db: Database, log: Path
) -> None:
    await bring_in(client, log)
    before = await events(db)
    again = await bring_in(client, log)
    assert counts(again) == EXPECTED
    assert again.requests > 1
    assert await events(db) == before


async def test_counts_are_of_this_source_alone(client: httpx.AsyncClient, log: Path) -> None:
    other = {"title": "x", "severity": "low", "source": "elsewhere"}
    assert (await client.post("/v1/incidents", json=other)).status_code == 201
    assert counts(await bring_in(client, log)) == EXPECTED


async def test_up_to_a_moment_only_what_had_happened_is_brought_in_and_the_rest_later(
    client: httpx.AsyncClient, log: Path
) -> None:
    then = datetime(2016, 3, 3, 10, 0, tzinfo=UTC)
    early = await bring_in(client, log, until=then)
    assert (early.incidents, early.resolved, early.reopened) == (3, 2, 0)
    assert counts(await bring_in(client, log)) == EXPECTED


async def test_passing_trouble_is_waited_out(
    client: httpx.AsyncClient, db: Database, log: Path
) -> None:
    troubles = {
        1: problem(503),
        2: httpx.ConnectError("refused"),
        3: httpx.ReadTimeout("slow"),
        5: problem(500),
        6: problem(429),
    }
    async with through(Faulty(client, dict(troubles))) as shaky:
        result = await bring_in(shaky, log)
    assert counts(result) == EXPECTED
    calm = await bring_in(client, log)
    assert result.requests == calm.requests + len(troubles)


async def test_an_answer_that_got_lost_on_the_way_is_asked_for_again(
    client: httpx.AsyncClient, db: Database, log: Path
) -> None:
    class LosesTheFirst(Faulty):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await super().handle_async_request(request)
            if request.method == "POST" and self.imports == 1:
                raise httpx.ReadError("cut off after the commit")
            return answer

    async with through(LosesTheFirst(client, {})) as shaky:
        assert counts(await bring_in(shaky, log)) == EXPECTED


async def test_lasting_trouble_ends_in_a_sentence(client: httpx.AsyncClient, log: Path) -> None:
    down = {number: problem(503) for number in range(1, 100)}
    async with through(Faulty(client, dict(down))) as shaky:
        with pytest.raises(NotTaken, match=r"answered 503.*goes on where it was"):
            await bring_in(shaky, log, patience=0.5)


async def test_a_refusal_is_told_in_its_own_words_and_not_repeated(
    client: httpx.AsyncClient, log: Path
) -> None:
    transport = Faulty(client, {1: problem(403, "This key lacks a scope.")})
    async with through(transport) as shaky:
        with pytest.raises(NotTaken, match="This key lacks a scope"):
            await bring_in(shaky, log)
    assert transport.imports <= 3


async def test_an_interrupted_replay_goes_on_where_it_was(
    client: httpx.AsyncClient, db: Database, log: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    async with through(Faulty(client, {6: problem(403)})) as cut:
        with pytest.raises(NotTaken):
            await bring_in(cut, log, state=state)
    assert msgspec.json.decode(state.read_bytes())["taken"] >= 1
    rest = await bring_in(client, log, state=state)
    assert counts(rest) == EXPECTED
    assert not state.exists()
    whole = await bring_in(client, log, state=state)
    assert 1 <= rest.requests < whole.requests
    assert counts(whole) == EXPECTED


async def test_a_bookmark_of_another_data_folder_is_not_believed(
    client: httpx.AsyncClient, log: Path, tmp_path: Path, make_database: MakeDatabase
) -> None:
    state = tmp_path / "state.json"
    async with through(Faulty(client, {6: problem(403)})) as cut:
        with pytest.raises(NotTaken):
            await bring_in(cut, log, state=state)
    empty = await make_database("another", MIGRATIONS)
    async with client_of(signed_in(create_app(empty))) as elsewhere:
        assert counts(await bring_in(elsewhere, log, state=state)) == EXPECTED


@pytest.mark.parametrize("content", [b"", b"not json", b'{"replay": "another", "taken": 3}'])
async def test_a_bookmark_that_is_none_is_ignored(
    client: httpx.AsyncClient, log: Path, tmp_path: Path, content: bytes
) -> None:
    state = tmp_path / "state.json"
    state.write_bytes(content)
    assert counts(await bring_in(client, log, state=state)) == EXPECTED


async def test_a_file_with_nothing_usable_is_refused_with_the_reason(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    path = write_csv(tmp_path / "log.csv", [row("1 08:00", "New", sys_updated_at="2016 Q1")])
    with pytest.raises(Unreadable, match=r"holds no moment; give its form"):
        await bring_in(client, path)
    with pytest.raises(Unreadable, match="none in the time"):
        await bring_in(client, write_csv(path, []))
