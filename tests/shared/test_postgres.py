"""What a PostgreSQL server does to us, and we to it: it stops, dies, hangs; a process of ours dies."""

import asyncio
import os
import signal
import sys
import traceback
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress

import asyncpg
import pytest
from sqlalchemy import Column, MetaData, Table, Text, insert, select, text

from shared import engine_postgres
from shared.database import UNAVAILABLE, Database, DatabaseUnavailable, Serial
from shared.refusals import NotFound
from tests.engines.postgres import Postgres, free_port, new_folder

metadata = MetaData()
things = Table(
    "things",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False, unique=True),
)

PATIENCE = 30
HOLDER = """
import asyncio, sys
from sqlalchemy import text
from shared import engine_postgres
from shared.database import UNAVAILABLE, Database

engine_postgres.WRITER_IDLE_SECONDS = 1

async def hold():
    db = Database(sys.argv[1])
    async with db.leading("work") as leads, db.begin() as conn:
        await conn.execute(text("INSERT INTO things (name) VALUES ('of the dead')"))
        print("holding", leads, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

try:
    asyncio.run(hold())
except UNAVAILABLE:
    print("unavailable", flush=True)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server of this file's own, which its tests stop and kill; a power cut would lose nothing."""
    server = Postgres(new_folder(), free_port(), fsync=True)
    server.guard()
    server.start()
    yield server
    server.remove()


@pytest.fixture
async def url(server: Postgres) -> AsyncIterator[str]:
    if not server.processes():
        server.start()
    await tell(server, "CREATE DATABASE t")
    await tell(server, "CREATE SCHEMA tables", "t")
    yield server.url("t", "tables")
    if not server.processes():
        server.start()
    await tell(server, "DROP DATABASE t WITH (FORCE)")


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    db = Database(url)
    async with db.begin() as conn:
        await conn.run_sync(metadata.create_all)
    yield db
    await db.close()


@pytest.fixture
async def other(db: Database, url: str) -> AsyncIterator[Database]:
    other = Database(url)
    yield other
    await other.close()


async def tell(server: Postgres, statement: str, database: str = "postgres") -> None:
    connection = await asyncpg.connect(server.url(database).replace("+asyncpg", ""))
    await connection.execute(statement)
    await connection.close()


async def add(db: Database, name: str) -> None:
    async with db.begin() as conn:
        await conn.execute(insert(things).values(name=name))


async def names(db: Database) -> list[str]:
    async with db.read() as conn:
        return list((await conn.execute(select(things.c.name).order_by(things.c.id))).scalars())


async def holder(url: str) -> Process:
    """A process that is in the middle of a write transaction, and leads."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, url, stdin=PIPE, stdout=PIPE, cwd=os.getcwd()
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        assert await process.stdout.readline() == b"holding True\n"
    return process


async def test_a_killed_process_gives_its_turn_and_its_lead_back(db: Database, url: str) -> None:
    process = await holder(url)
    async with db.leading("work") as leads:
        assert not leads
    process.kill()
    await process.communicate()
    async with asyncio.timeout(PATIENCE):
        await add(db, "of the living")
        while True:
            async with db.leading("work") as leads:
                if leads:
                    break
    assert await names(db) == ["of the living"]


async def test_a_stopped_process_loses_its_turn_and_hears_of_it(db: Database, url: str) -> None:
    process = await holder(url)
    process.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(PATIENCE):
        await add(db, "of the living")
    process.send_signal(signal.SIGCONT)
    out, _ = await process.communicate(b"go on\n")
    assert out == b"unavailable\n"
    assert await names(db) == ["of the living"]


async def test_one_leads_at_a_time_by_name(db: Database, other: Database) -> None:
    async with db.leading("relay") as first, other.leading("relay") as second:
        assert (first, second) == (True, False)
        async with db.leading("relay") as again, other.leading("another") as apart:
            assert (again, apart) == (False, True)
    async with other.leading("relay") as leads:
        assert leads


async def test_a_leader_whose_connection_ends_is_succeeded(
    server: Postgres, db: Database, other: Database
) -> None:
    async with db.leading("relay") as leads:
        assert leads
        await end_connections(server)
        async with other.leading("relay") as next_one:
            assert next_one
    async with db.leading("relay") as leads:
        assert leads, "the end of a lost lead is no error, and the next one works"


async def test_schemas_of_one_database_do_not_wait_for_each_other(
    server: Postgres, db: Database
) -> None:
    await tell(server, "CREATE SCHEMA elsewhere", "t")
    elsewhere = Database(server.url("t", "elsewhere"))
    async with db.begin(), db.leading("relay"), asyncio.timeout(PATIENCE):
        await elsewhere.ping()
        async with elsewhere.leading("relay") as leads:
            assert leads
    await elsewhere.close()


async def end_connections(server: Postgres) -> None:
    await tell(
        server,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = 't' AND pid <> pg_backend_pid()",
    )
    await asyncio.sleep(0.1)


async def test_ended_connections_fail_nobody_who_comes_after(
    server: Postgres, db: Database
) -> None:
    await names(db)
    await end_connections(server)
    await add(db, "a")
    assert await names(db) == ["a"]


async def test_a_transaction_whose_connection_ends_was_not_made(
    server: Postgres, db: Database
) -> None:
    async def write() -> None:
        async with db.begin() as conn:
            await conn.execute(insert(things).values(name="a"))
            await end_connections(server)

    async def read() -> None:
        async with db.read() as conn:
            await conn.execute(select(things))
            await end_connections(server)
            await conn.execute(select(things))

    for session in (write, read):
        with pytest.raises(UNAVAILABLE):
            await session()
    assert await names(db) == []


async def test_a_refusal_is_a_refusal_though_the_connection_ended_meanwhile(
    server: Postgres, db: Database
) -> None:
    async def refuse() -> None:
        async with db.begin():
            await end_connections(server)
            raise NotFound("There is no such thing.")

    with pytest.raises(NotFound):
        await refuse()
    await db.ping()


async def test_a_commit_that_breaks_is_never_called_done(server: Postgres, db: Database) -> None:
    """The trigger keeps the server busy within COMMIT for as long as it takes to end it there."""
    await tell(
        server,
        "CREATE FUNCTION tables.slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(20); RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON tables.things DEFERRABLE INITIALLY"
        " DEFERRED FOR EACH ROW EXECUTE FUNCTION tables.slow()",
        "t",
    )
    adding = asyncio.create_task(add(db, "a"))
    await asyncio.sleep(0.5)
    await end_connections(server)
    with pytest.raises(UNAVAILABLE):
        await adding
    assert not db.published.is_set()


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_while_the_server_is_away_everybody_is_told_and_afterwards_served(
    server: Postgres, db: Database, how: str
) -> None:
    acknowledged = [f"{n}" for n in range(20)]
    for name in acknowledged:
        await add(db, name)
    await asyncio.to_thread(server.stop if how == "stop" else server.kill)
    for _ in range(2):
        with pytest.raises(UNAVAILABLE):
            await add(db, "lost")
        with pytest.raises(UNAVAILABLE):
            await names(db)
        with pytest.raises(UNAVAILABLE):
            async with db.leading("relay"):
                pass
    await asyncio.to_thread(server.start)
    await add(db, "after")
    assert await names(db) == [*acknowledged, "after"]


async def until(work: Callable[[], Awaitable[None]]) -> None:
    """Do it again until it works."""
    while True:
        try:
            return await work()
        except UNAVAILABLE:
            await asyncio.sleep(0.1)


async def test_a_server_that_hangs_is_given_up_and_taken_again(
    server: Postgres, url: str, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.database.BUSY_SECONDS", 1)
    monkeypatch.setattr(engine_postgres, "GRACE_SECONDS", 1)
    monkeypatch.setattr(engine_postgres, "CONNECT_SECONDS", 1)
    hurried = Database(url)
    await names(hurried)

    async def commit_while_it_hangs() -> None:
        async with hurried.begin() as conn:
            await conn.execute(insert(things).values(name="a"))
            server.pause()

    try:
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(UNAVAILABLE):
                await commit_while_it_hangs()
            for session in (hurried.ping, lambda: names(hurried)):
                with pytest.raises(UNAVAILABLE):
                    await session()
    finally:
        server.resume()
    async with asyncio.timeout(PATIENCE):
        await until(lambda: add(hurried, "b"))
    assert (await names(hurried))[-1] == "b"
    await hurried.close()


class Wire:
    """A proxy before the server, whose present connections can go dead without a word."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self.moving = asyncio.Event()
        self.ends: list[asyncio.StreamWriter] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.server.port)
        self.ends += [writer, to_server]
        for way in ((reader, to_server), (from_server, writer)):
            self.tasks.append(asyncio.create_task(self.forward(*way, self.moving)))

    async def forward(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, moving: asyncio.Event
    ) -> None:
        while piece := await source.read(65536):
            await moving.wait()
            sink.write(piece)
        sink.close()

    def cut(self) -> None:
        """From now on nothing comes through what is connected; who connects anew gets through."""
        self.moving.clear()
        self.moving = asyncio.Event()
        self.moving.set()

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for end in self.ends:
            end.close()
            with suppress(ConnectionError):
                await end.wait_closed()


@pytest.fixture
async def wire(server: Postgres) -> AsyncIterator[tuple[Wire, int]]:
    """The proxy, and the port it listens on."""
    wire = Wire(server)
    wire.cut()
    proxy = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    yield wire, proxy.sockets[0].getsockname()[1]
    proxy.close()
    await wire.close()


@pytest.mark.usefixtures("db")
async def test_after_a_silent_partition_the_next_one_takes_another_connection(
    url: str, server: Postgres, wire: tuple[Wire, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.database.BUSY_SECONDS", 2)
    monkeypatch.setattr(engine_postgres, "GRACE_SECONDS", 1)
    monkeypatch.setattr(engine_postgres, "WRITER_IDLE_SECONDS", 1)
    far = Database(url.replace(str(server.port), str(wire[1])))
    await add(far, "before")
    assert await names(far) == ["before"]

    async def commit_into_the_void() -> None:
        async with far.begin() as conn:
            await conn.execute(insert(things).values(name="lost"))
            wire[0].cut()

    with pytest.raises(UNAVAILABLE):
        await commit_into_the_void()
    with pytest.raises(UNAVAILABLE):
        await names(far)
    await add(far, "after")
    assert await names(far) == ["before", "after"]
    await far.close()


async def test_a_standby_is_not_written_to(server: Postgres, db: Database) -> None:
    """After a failover an old address may lead to a server that only reads."""
    await tell(server, "ALTER DATABASE t SET default_transaction_read_only = on")
    await end_connections(server)
    with pytest.raises(UNAVAILABLE):
        await add(db, "a")


async def test_a_schema_that_changes_beside_us_costs_one_try_at_most(db: Database) -> None:
    """A rolling upgrade: statements that the server had prepared are outdated at once."""
    assert await names(db) == []
    async with db.read() as conn:
        await conn.execute(text("SELECT * FROM things"))
    async with db.begin() as conn:
        await conn.execute(text("ALTER TABLE things ADD COLUMN more TEXT"))
    for _ in range(2):
        try:
            async with db.read() as conn:
                await conn.execute(text("SELECT * FROM things"))
        except UNAVAILABLE:
            continue
    async with db.read() as conn:
        assert "more" in (await conn.execute(text("SELECT * FROM things"))).keys()  # noqa: SIM118


async def test_no_error_and_no_name_shows_the_password(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"postgresql+asyncpg://somebody:s3cret@127.0.0.1:{free_port()}/t?schema=tables"
    db = Database(url)
    shown = [repr(db), str(db), db.url]
    with pytest.raises(DatabaseUnavailable) as caught:
        await db.ping()
    shown += ["".join(traceback.format_exception(caught.value)), caplog.text, *capsys.readouterr()]
    assert not any("s3cret" in one for one in shown)
    await db.close()


@pytest.mark.parametrize(
    "query", ["", "?schema=", "?schema=A", "?schema=a-b", "?schema=a&schema=b"]
)
def test_a_url_without_one_plain_schema_is_refused(query: str) -> None:
    with pytest.raises(ValueError, match="schema=NAME") as caught:
        Database(f"postgresql+asyncpg://somebody:s3cret@127.0.0.1/t{query}")
    assert "s3cret" not in str(caught.value)
