"""Dead letters: what is set aside and how it is kept, shown and replayed."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.app import MIGRATIONS
from shared import consumer as consuming
from shared import runs
from shared.consumer import Progress, Subscription, consume_batch
from shared.contracts.feedback import TOPIC
from shared.database import Database
from shared.dead_letters import dead_letters, escaped, record_of, unescaped
from shared.envelope import Event, Record, UnreadableEvent, decode
from shared.http.dead_letters import router_of
from shared.http.edge import create_service
from shared.inbox import inbox
from shared.refusals import Conflict, Invalid
from tests.conftest import MakeDatabase, client_of, signed_in
from tests.shared.deliveries import (
    GROUP,
    Topic,
    Votes,
    aside,
    bad,
    good,
    metadata,
    seen,
)

PATH = "/v1/dead-letters/tiny"


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    db = await make_database("gateway", MIGRATIONS)
    async with db.begin() as conn:
        await conn.run_sync(metadata.create_all)
    return db


@pytest.fixture
def votes() -> Votes:
    return Votes()


@pytest.fixture
def app(db: Database, votes: Votes) -> FastAPI:
    return create_service("tiny", "Tiny", db, [router_of("tiny", [votes.subscription])])


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(signed_in(app)) as client:
        yield client


@contextmanager
def bad_release() -> Iterator[None]:
    """Code that can read nothing of what it reads otherwise."""

    def can_not(record: Record) -> Event:
        raise UnreadableEvent("this release can't")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(consuming, "decode", can_not)
        yield


async def deliver(db: Database, sub: Subscription, *records: Record) -> Topic:
    """One round of the consumer over these records, all of them done."""
    topic = Topic()
    topic.put(*records)
    batch = await topic.poll(500, 0)
    assert await consume_batch(db, topic, sub, batch, in_a_row=1000) is Progress.DONE
    return topic


async def set_aside_readable(db: Database, votes: Votes, *records: Record) -> list[str]:
    """Letters that only an earlier release could not read; their ids."""
    with bad_release():
        await deliver(db, votes.subscription, *records)
    async with db.read() as conn:
        return list((await conn.execute(select(dead_letters.c.id).order_by("id"))).scalars())


def altered(record: Record, value: bytes | None = None, **headers: str | None) -> Record:
    """The record with other headers (None: without) or another value."""
    merged: Mapping[str, str | None] = {**record.headers, **headers}
    kept = {name: said for name, said in merged.items() if said is not None}
    return Record(record.topic, record.key, kept, record.value if value is None else value)


GOOD = good("a", 1)
DATA = GOOD.value.decode()
POISON: dict[str, Record] = {
    "no headers": Record(TOPIC, "a", {}, b"{}"),
    "not JSON": altered(GOOD, b"not JSON"),
    "no value": altered(GOOD, b""),
    "not UTF-8": altered(GOOD, b"\xff\xfe\x00"),
    "another shape": altered(GOOD, b'["a"]'),
    "a field is missing": altered(GOOD, b'{"feedback_id": "a"}'),
    "a NUL in the data": altered(GOOD, DATA.replace('"a"', r'"a\u0000"').encode()),
    "half a surrogate pair in the data": altered(GOOD, DATA.replace('"a"', r'"\ud800"').encode()),
    "nested deep": altered(GOOD, b"[" * 100_000),
    "a version nobody heard of": altered(GOOD, ce_type="groundswell.feedback.voted.v2"),
    "no id": altered(GOOD, ce_id=None),
    "an empty id": altered(GOOD, ce_id=""),
    "a huge id": altered(GOOD, ce_id="x" * 100_000),
    "a NUL in the id": altered(GOOD, ce_id="a\x00b"),
    "bytes that are not UTF-8 in the id": altered(GOOD, ce_id="a\udcff"),
    "a NUL in the subject": altered(GOOD, ce_subject="\x00"),
    "no time": altered(GOOD, ce_time=None),
    "a time without an offset": altered(GOOD, ce_time="2026-01-01T00:00:00"),
    "a time before time": altered(GOOD, ce_time="0001-01-01T00:00:00+14:00"),
    "a version that is no number": altered(GOOD, ce_aggregateversion="one"),
    "a version no database holds": altered(GOOD, ce_aggregateversion="9" * 30),
    "a number too long to read": altered(GOOD, ce_aggregateversion="9" * 5000),
    "odd headers beside": altered(GOOD, b"{", odd="\x00\udc80\\u0000", **{"\udcfe\x00": "\\"}),
}


@pytest.mark.parametrize("name", POISON)
async def test_poison_goes_aside_whole_and_its_neighbours_go_on(
    db: Database, votes: Votes, name: str
) -> None:
    poison = POISON[name]
    await deliver(db, votes.subscription, good("b", 1), poison, good("b", 2))
    assert await seen(db) == [("b", 1), ("b", 2)]
    async with db.read() as conn:
        (row,) = (await conn.execute(select(dead_letters))).all()
    assert record_of(row) == poison, "not a byte is lost"
    assert (row.consumer, row.topic, row.partition, row.offset) == (GROUP, TOPIC, 0, 1)
    assert row.event_type == poison.headers.get("ce_type")
    assert row.reason
    assert "UnreadableEvent" in row.traceback
    assert len(row.traceback) <= 4000
    assert row.replayed_at is None


async def test_every_poison_is_shown_by_the_api_and_refused_by_its_replay(
    db: Database, votes: Votes, client: httpx.AsyncClient
) -> None:
    await deliver(db, votes.subscription, *POISON.values())
    listed = (await client.get(PATH, params={"limit": 200})).json()["items"]
    for letter, poison in zip(reversed(listed), POISON.values(), strict=True):
        shown = await client.get(f"{PATH}/{letter['id']}")
        assert shown.status_code == 200, shown.text
        assert letter.items() <= shown.json().items()
        said = shown.json()["value"]
        utf8 = shown.json()["value_encoding"] == "utf-8"
        assert (said.encode() if utf8 else base64.b64decode(said)) == poison.value
        refused = await client.post(f"{PATH}/{letter['id']}/replay")
        assert refused.status_code == 409, refused.text
        assert refused.json()["type"].endswith("dead-letter-still-unreadable")
        assert "Deploy what can read it" in refused.json()["detail"]


async def test_what_concerns_nobody_here_is_passed_by(db: Database, votes: Votes) -> None:
    await deliver(
        db,
        votes.subscription,
        altered(GOOD, b"not JSON", ce_type="groundswell.feedback.received.v1"),
        altered(GOOD, b"not JSON", ce_type="groundswell.weather.changed.v1"),
        altered(GOOD, b"not JSON", ce_type="something else"),
    )
    assert await aside(db) == []


async def test_the_same_poison_delivered_again_is_one_letter(db: Database, votes: Votes) -> None:
    topic = await deliver(db, votes.subscription, bad("1"), good("a", 1), bad("2"))
    for _ in range(3):
        topic.positions.clear()
        batch = await topic.poll(500, 0)
        assert await consume_batch(db, topic, votes.subscription, batch) is Progress.DONE
    assert await aside(db) == [b"not JSON 1", b"not JSON 2"]
    assert await seen(db) == [("a", 1)]


async def test_another_poison_at_the_place_of_an_old_one_is_a_letter_too(
    db: Database, votes: Votes
) -> None:
    """A topic that was made anew counts from nought again."""
    await deliver(db, votes.subscription, bad("of the old topic"))
    await deliver(db, votes.subscription, bad("of the new topic"))
    assert await aside(db) == [b"not JSON of the old topic", b"not JSON of the new topic"]


async def test_two_consumers_have_letters_of_their_own(db: Database, votes: Votes) -> None:
    sub = votes.subscription
    await deliver(db, sub, bad())
    await deliver(db, Subscription("other", sub.topics, sub.types, sub.handle), bad())
    assert len(await aside(db)) == 2


async def test_letters_and_effects_of_a_batch_are_one_transaction(
    db: Database, votes: Votes
) -> None:
    topic = Topic()
    topic.put(bad(), good("sick", 1))
    votes.failing = {"sick"}
    votes.failure = ConnectionError
    batch = await topic.poll(500, 0)
    assert await consume_batch(db, topic, votes.subscription, batch) is Progress.HELD
    assert await aside(db) == []
    assert topic.committed == {}


async def test_a_replayed_letter_is_handled_once(
    db: Database, votes: Votes, client: httpx.AsyncClient
) -> None:
    (letter,) = await set_aside_readable(db, votes, good("a", 1))
    assert await seen(db) == []
    first = await client.post(f"{PATH}/{letter}/replay")
    assert first.status_code == 200, first.text
    assert first.json()["replayed_at"]
    assert first.json()["replayed_by"] == "tester"
    again = await client.post(f"{PATH}/{letter}/replay")
    assert again.json() == first.json()
    assert await seen(db) == [("a", 1)]


async def test_a_letter_whose_event_came_otherwise_is_replayed_without_effect(
    db: Database, votes: Votes, client: httpx.AsyncClient
) -> None:
    event = good("a", 1)
    (letter,) = await set_aside_readable(db, votes, event)
    await deliver(db, votes.subscription, event)
    assert (await client.post(f"{PATH}/{letter}/replay")).status_code == 200
    assert await seen(db) == [("a", 1)]


async def test_a_replay_raced_by_deliveries_and_itself_has_its_effect_once(
    db: Database, votes: Votes, client: httpx.AsyncClient
) -> None:
    events = [good("a", n) for n in range(5)]
    letters = await set_aside_readable(db, votes, *events)
    await asyncio.gather(
        *(client.post(f"{PATH}/{letter}/replay") for letter in letters),
        *(deliver(db, votes.subscription, event) for event in reversed(events)),
        client.post(f"{PATH}/replay", json={}),
        *(client.post(f"{PATH}/{letter}/replay") for letter in letters),
    )
    assert sorted(await seen(db)) == [("a", n) for n in range(5)]
    assert (await client.get(PATH, params={"replayed": False})).json()["items"] == []


@pytest.mark.parametrize("failure", [Invalid, RuntimeError])
async def test_what_the_consumer_can_not_take_changes_nothing(
    db: Database, votes: Votes, client: httpx.AsyncClient, failure: type[Exception]
) -> None:
    (letter,) = await set_aside_readable(db, votes, good("sick", 1))
    votes.failing, votes.failure = {"sick"}, failure
    refused = await client.post(f"{PATH}/{letter}/replay")
    assert refused.status_code == 409, refused.text
    assert refused.json()["type"].endswith("dead-letter-not-handled")
    assert await seen(db) == []
    async with db.read() as conn:
        assert (await conn.execute(select(inbox))).all() == []
    votes.failing.clear()
    assert (await client.post(f"{PATH}/{letter}/replay")).status_code == 200
    assert await seen(db) == [("sick", 1)]


async def test_a_conflict_is_tried_again(db: Database, client: httpx.AsyncClient) -> None:
    votes = Votes()

    async def busy(conn: AsyncConnection, events: Sequence[Event]) -> None:
        await votes.handle(conn, events)
        votes.failures += 1
        if votes.failures == 1:
            raise Conflict("somebody was faster")

    sub = votes.subscription
    app = create_service(
        "tiny", "Tiny", db, [router_of("tiny", [Subscription(GROUP, sub.topics, sub.types, busy)])]
    )
    for way in ("one", "all"):
        votes.failures = 0
        *_, letter = await set_aside_readable(db, votes, good(way, 1))
        async with client_of(signed_in(app)) as caller:
            if way == "one":
                answer = await caller.post(f"{PATH}/{letter}/replay")
                assert answer.status_code == 200, answer.text
            else:
                answer = await caller.post(f"{PATH}/replay", json={})
                assert answer.json() == {"replayed": 1, "refused": 0, "next": None}
        assert votes.failures == 2
    assert await seen(db) == [("one", 1), ("all", 1)]


async def test_a_letter_of_a_consumer_that_is_gone_is_kept(
    db: Database, votes: Votes, client: httpx.AsyncClient
) -> None:
    sub = votes.subscription
    with bad_release():
        await deliver(db, Subscription("gone", sub.topics, sub.types, sub.handle), good("a", 1))
    (letter,) = (await client.get(PATH, params={"consumer": "gone"})).json()["items"]
    refused = await client.post(f"{PATH}/{letter['id']}/replay")
    assert refused.status_code == 409
    assert refused.json()["type"].endswith("dead-letter-has-no-consumer")


async def test_all_that_wait_are_replayed_the_oldest_first_in_portions(
    db: Database, votes: Votes, client: httpx.AsyncClient
) -> None:
    with bad_release():
        await deliver(db, votes.subscription, *(good("a", n) for n in range(130)), bad(), bad("2"))
    first = (await client.post(f"{PATH}/replay", json={})).json()
    assert (first["replayed"], first["refused"]) == (100, 0)
    rest = (await client.post(f"{PATH}/replay", json={"after": first["next"]})).json()
    assert rest == {"replayed": 30, "refused": 2, "next": None}
    assert await seen(db) == [("a", n) for n in range(130)]
    other = (await client.post(f"{PATH}/replay", json={"consumer": "other"})).json()
    assert other == {"replayed": 0, "refused": 0, "next": None}


async def test_letters_are_listed_by_pages_and_filters(
    db: Database, votes: Votes, client: httpx.AsyncClient
) -> None:
    letters = await set_aside_readable(db, votes, *(good("a", n) for n in range(5)))
    await client.post(f"{PATH}/{letters[2]}/replay")
    first = (await client.get(PATH, params={"limit": 3})).json()
    rest = (await client.get(PATH, params={"limit": 3, "cursor": first["next"]})).json()
    assert [one["id"] for one in first["items"] + rest["items"]] == letters[::-1]
    assert rest["next"] is None
    done = (await client.get(PATH, params={"replayed": True})).json()["items"]
    assert [one["id"] for one in done] == [letters[2]]
    assert (await client.get(PATH, params={"consumer": "other"})).json()["items"] == []


async def test_a_run_is_let_pass_through_the_api(
    db: Database, votes: Votes, client: httpx.AsyncClient
) -> None:
    topic = Topic()
    topic.put(*(bad(str(n)) for n in range(5)))
    batch = await topic.poll(500, 0)
    assert await consume_batch(db, topic, votes.subscription, batch, in_a_row=3) is Progress.HALTED
    passed = (await client.post(f"{PATH}/resume", json={"consumer": GROUP})).json()["runs"]
    assert [(run["consumer"], run["length"], run["stopped"]) for run in passed] == [
        (GROUP, 3, True)
    ]
    async with db.read() as conn:
        assert await runs.load(conn, GROUP) == runs.Run()
    assert (await client.post(f"{PATH}/resume", json={})).json() == {"runs": []}
    batch = await topic.poll(500, 0)
    assert await consume_batch(db, topic, votes.subscription, batch, in_a_row=3) is Progress.DONE
    assert len(await aside(db)) == 5


async def test_what_is_not_there_is_said_so(client: httpx.AsyncClient) -> None:
    for method, path, body in (
        ("GET", f"{PATH}/ded_nothing", None),
        ("GET", f"{PATH}/replay", None),
        ("POST", f"{PATH}/ded_nothing/replay", None),
        ("POST", f"{PATH}/resume", {"consumer": "nobody"}),
    ):
        answer = await client.request(method, path, json=body)
        assert answer.status_code == 404, answer.text
        assert len(answer.json()["detail"]) > 20


async def test_reading_and_replaying_need_their_own_scopes(app: FastAPI) -> None:
    writes = [f"{PATH}/replay", f"{PATH}/resume", f"{PATH}/x/replay"]
    async with client_of(signed_in(app, "operations:read")) as reader:
        assert (await reader.get(PATH)).status_code == 200
        for path in writes:
            assert (await reader.post(path, json={})).status_code == 403
    async with client_of(signed_in(app, "operations:write", "incidents:read")) as writer:
        assert (await writer.get(PATH)).status_code == 403
        assert (await writer.post(f"{PATH}/replay", json={})).status_code == 200


ODD_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)


@given(ODD_TEXT)
def test_any_text_is_escaped_without_loss(text: str) -> None:
    kept = escaped(text)
    assert unescaped(kept) == text
    assert "\x00" not in kept
    kept.encode()


NAMES = st.sampled_from([*GOOD.headers, "ce_causationid", "ce_traceparent"])
CHANGED = st.dictionaries(NAMES, st.none() | ODD_TEXT, max_size=3)


@settings(max_examples=200, deadline=None)
@given(CHANGED, st.binary(max_size=50) | st.just(GOOD.value))
def test_whatever_comes_is_an_event_or_unreadable(
    headers: dict[str, str | None], value: bytes
) -> None:
    with suppress(UnreadableEvent):
        assert decode(altered(GOOD, value, **headers)).id
