"""The checker itself: it finds every planted bug, passes a day without one, and its tools tell the truth."""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from shared.bus import Delivered, EmbeddedBus, KafkaBus, KafkaOptions
from shared.clock import utc_now
from shared.database import sqlite_url
from shared.envelope import Record
from tests.engines.mock_kafka import mock_kafka
from tests.faults.bus_reader import EmbeddedReader, KafkaReader
from tests.faults.checker import check, check_moving
from tests.faults.client import Sender, Stated, new_signal, totals
from tests.faults.hard_day import POISON, alert, dice, ended, live_through
from tests.faults.history import Entry, History, Sent, fates, read
from tests.faults.planted import PLANTS, lived
from tests.faults.plants.plant import Plant
from tests.faults.promises.conservation import GAUGES_SECONDS, scraped
from tests.faults.settle import Seen, databases_of, metrics_of, settle
from tests.faults.violation import PROMISES
from tests.simulation.world import World, in_memory_folder, template, world

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asyncio.run(template(tmp_path_factory.mktemp("empty")))


@pytest.fixture
async def small(empty: Path) -> AsyncIterator[World]:
    """A world without trouble."""
    with in_memory_folder() as folder:
        async with world(empty, Path(folder), random.Random(5)) as made:
            yield made


async def test_a_hard_day_without_a_bug_keeps_every_promise(empty: Path) -> None:
    report = (await lived(empty)).report
    assert report.good, report
    assert report.acknowledged >= 20
    assert report.lost == report.doubled == 0


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
async def test_a_planted_bug_is_found(empty: Path, plant: Plant) -> None:
    found = await lived(empty, plant)
    assert found.catches(plant), f"{plant.name} must break {sorted(plant.breaks)}\n{found.report}"


def test_every_promise_is_broken_by_some_planted_bug() -> None:
    assert frozenset.union(*(plant.breaks for plant in PLANTS)) == PROMISES.keys()


async def test_what_was_lost_and_what_was_doubled_is_counted(empty: Path) -> None:
    by_name = {plant.name: plant for plant in PLANTS}
    lost = (await lived(empty, by_name["relay deletes before it sends"])).report
    doubled = (await lived(empty, by_name["count evidence twice"])).report
    assert lost.lost > 0
    assert doubled.doubled > 0
    assert lost.to_json()["lost"] == lost.lost


async def test_in_the_middle_of_everything_only_what_must_hold_then_is_judged(
    small: World,
) -> None:
    history = History()
    sender = Sender(small.client("incidents"), history)
    await sender.send([alert(0)])
    stored = await small.stored()
    assert check_moving(history.entries, stored).good
    assert {"S1", "S6"} <= {v.promise for v in check(history.entries, stored).violations}
    await small.quiesce()
    assert check(history.entries, await small.stored()).good


async def test_a_row_that_went_missing_is_found(small: World) -> None:
    history = History()
    await Sender(small.client("incidents"), history).send([alert(0), alert(1)])
    await small.quiesce()
    stored = await small.stored()
    for table in ("signals", "incidents", "evidence", "timeline", "episodes", "incident_themes"):
        without = replace(stored, tables={**stored.tables, table: stored[table][1:]})
        assert not check(history.entries, without).good, table


async def test_poison_must_be_set_aside_and_nothing_else(empty: Path) -> None:
    with in_memory_folder() as folder:
        async with world(empty, Path(folder), dice()) as made:
            assert (await live_through(made)).good
            stored = await made.stored()
    assert any(v.promise == "S6" for v in check([], stored).violations)
    assert any(v.promise == "S6" for v in check([], stored, poison=[POISON, "x"]).violations)
    assert check([], stored, poison=[POISON]).good


async def test_a_scrape_must_agree_with_what_senders_saw() -> None:
    def entry(id: str, type: str, t: float) -> Entry:
        return Entry(id, "fire", type, t)  # type: ignore[arg-type]

    sent = [entry("a", "invoke", 1), entry("a", "ok", 2), entry("b", "invoke", 3)]
    later = 3 + GAUGES_SECONDS
    for told, agrees in ((0, True), (1, True), (2, True), (3, False)):
        scrape = Entry("metrics", "scrape", "ok", later, {"metrics": {"signals_stored": told}})
        assert (not list(scraped([*sent, scrape]))) is agrees, told
    two = [*sent, entry("b", "ok", 3.5)]
    late = Entry("metrics", "scrape", "ok", 2 * later, {"metrics": {"signals_stored": 1}})
    assert list(scraped([*two, late]))


LOG_SOME = """
import sys
from pathlib import Path
from tests.faults.history import History
with History(Path(sys.argv[1]) / f"client-{sys.argv[2]}.jsonl") as history:
    for number in range(200):
        history.write(f"{sys.argv[2]}-{number}", "fire", "invoke", pain="x")
        history.write(f"{sys.argv[2]}-{number}", "fire", "ok", stored_id=f"sig_{number}")
"""


def test_several_processes_log_at_once_and_nothing_is_mixed_up(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", LOG_SOME, str(tmp_path), str(n)] for n in range(3)]
    clients = [subprocess.Popen(command, cwd=ROOT) for command in commands]
    assert [client.wait(60) for client in clients] == [0, 0, 0]
    entries = read(tmp_path)
    assert len(entries) == 3 * 200 * 2
    assert [entry.t for entry in entries] == sorted(entry.t for entry in entries)
    assert all(fate.ok == 1 for fate in fates(entries).values())


def test_a_line_that_a_killed_client_left_torn_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "client.jsonl"
    with History(path) as history:
        history.write("a", "fire", "invoke")
    with path.open("a") as file:
        file.write('{"id":"a","op":"fire","ty')
    (entry,) = read(tmp_path)
    assert (entry.id, entry.type) == ("a", "invoke")
    (fate,) = fates([entry]).values()
    assert fate.unknown == 1
    assert not fate.refused


def test_a_signal_is_refused_only_if_every_attempt_was() -> None:
    history = History()
    for ends in ("fail", "info"):
        history.write("a", "fire", "invoke")
        history.write("a", "fire", ends)  # type: ignore[arg-type]
        history.write("b", "fire", "invoke")
        history.write("b", "fire", "fail")
    found = fates(history.entries)
    assert not found[Sent("a", "firing")].refused
    assert found[Sent("b", "firing")].refused
    assert not any(fate.acknowledged for fate in found.values())


Answer = Callable[[httpx.Request], httpx.Response]


def sender(answers: Sequence[Answer | int], **options: object) -> Sender:
    """A sender whose requests are answered in this order, each number with that status."""
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        one = left.pop(0)
        if not isinstance(one, int):
            return one(request)
        taken = {"signals": [{"id": "sig_1", "incident_id": "inc_1", "status": "new"}]}
        return httpx.Response(one, json=taken if one < 300 else {"type": "urn:x:problem:no-room"})

    transport = httpx.MockTransport(answer)
    client = httpx.AsyncClient(transport=transport, base_url="http://groundswell.test")
    usual = {"pause": 0.0, "timeout": 0.2}
    return Sender(client, History(), **{**usual, **options})  # type: ignore[arg-type]


def lost(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("gone", request=request)


@pytest.mark.parametrize(
    ("answers", "ends"),
    [
        ([202, 200], ["ok"]),
        ([503, 202, 200], ["fail", "ok"]),
        ([500, lost, 429, 202, 200], ["info", "info", "fail", "ok"]),
        ([422], ["fail"]),
        ([302], ["info"]),
    ],
)
async def test_a_sender_tries_again_as_long_as_it_may_and_says_what_it_saw(
    answers: Sequence[Answer | int], ends: list[str]
) -> None:
    one = sender(answers)
    assert await one.send([new_signal()]) is (ends[-1] == "ok")
    posts = [e.type for e in one.history.entries if e.op == "fire" and e.type != "invoke"]
    assert posts == ends
    reads = [e.type for e in one.history.entries if e.op == "read"]
    assert reads == (["invoke", "ok"] if ends[-1] == "ok" else [])


async def test_alertmanager_gives_up_on_a_429_and_not_on_a_503() -> None:
    assert not await sender([429], format="alertmanager").send([new_signal()])
    assert await sender([503, 202, 200], format="alertmanager").send([new_signal()])


async def test_a_refusal_that_may_have_been_kept_is_unknown_where_the_runner_says_so() -> None:
    one = sender([503], attempts=1, unsure=frozenset({"no-room"}))
    await one.send([new_signal()])
    (fate,) = fates(one.history.entries).values()
    assert (fate.failed, fate.unknown) == (0, 1)


async def test_an_answer_that_never_comes_is_not_waited_for() -> None:
    async def never(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError("unreachable")

    client = httpx.AsyncClient(transport=httpx.MockTransport(never), base_url="http://x.test")
    one = Sender(client, History(), timeout=0.05, attempts=2, pause=0)
    began = time.monotonic()
    assert not await one.send([new_signal()])
    assert time.monotonic() - began < 10
    assert [e.type for e in one.history.entries] == ["invoke", "info", "invoke", "info"]


async def test_a_404_after_an_acknowledgement_breaks_a_promise(small: World) -> None:
    one = sender([202, 404])
    await one.send([new_signal()])
    stored = await small.stored()
    assert any(v.promise == "S5" for v in check(one.history.entries, stored).violations)


def test_metrics_are_summed_over_their_labels() -> None:
    exposition = (
        "# TYPE outbox_pending gauge\n"
        'outbox_pending{service="incidents"} 2\noutbox_pending{service="roadmap"} 3\n'
        "# TYPE something_else gauge\nsomething_else 1\n"
    )
    assert totals(exposition) == {"outbox_pending": 5}


async def test_both_formats_are_taken_and_come_to_the_same_theme(small: World) -> None:
    history = History()
    first, second = new_signal("pain"), new_signal("pain")
    await Sender(small.client("incidents"), history).send([first])
    client = small.client("incidents")
    await Sender(client, history, format="alertmanager").send([second, _over(second)])
    await small.quiesce()
    report = check(history.entries, await small.stored())
    assert report.good, report
    assert report.acknowledged == 3


def _over(one: Stated) -> Stated:
    return replace(ended(one), ends_at=max(one.starts_at, utc_now()))


async def test_settling_is_over_as_soon_as_nothing_moves_and_waits_no_longer_than_it_may(
    small: World,
) -> None:
    look = databases_of(small.dbs, small.bus)
    await Sender(small.client("incidents"), History()).send([alert(0)])
    restless = await settle(look, within=0.3, poll=0.05)
    assert [v.promise for v in restless.violations] == ["S6"]
    assert "incidents outbox" in restless.violations[0].what
    await small.quiesce()
    settled = await settle(look, within=5, poll=0.01)
    assert not settled.violations
    assert settled.seconds < 5


async def test_settling_on_metrics_takes_a_process_that_is_away_for_unrest() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if next(answers) == "away":
            raise httpx.ConnectError("nobody there", request=request)
        return httpx.Response(200, text="# TYPE outbox_pending gauge\noutbox_pending 0\n")

    answers = iter(["away", "there", "away", "there", "there"])
    transport = httpx.MockTransport(answer)
    client = httpx.AsyncClient(transport=transport, base_url="http://groundswell.test")
    settled = await settle(metrics_of([client]), within=5, poll=0.01)
    assert not settled.violations
    assert next(answers, None) is None


async def test_something_that_moves_between_two_quiet_looks_is_not_rest() -> None:
    moved = iter([1.0, 2.0, 3.0, 3.0])

    async def look() -> Seen:
        return Seen({"outbox": 0}, {"sent": next(moved)})

    assert not (await settle(look, within=5, poll=0)).violations
    assert next(moved, None) is None


async def test_the_embedded_bus_is_read_from_its_file(empty: Path, tmp_path: Path) -> None:
    bus = EmbeddedBus(sqlite_url(tmp_path, "bus.sqlite3"))
    await bus.start()
    history = History()
    reader = EmbeddedReader(bus.db)
    async with world(empty, tmp_path, random.Random(1), (bus, reader)) as made:
        await Sender(made.client("incidents"), history).send([alert(n) for n in range(8)])
        await made.quiesce()
        stored = await made.stored()
    await bus.stop()
    report = check(history.entries, stored)
    assert report.good, report
    assert stored.log
    assert stored.committed
    assert json.dumps(report.to_json())


async def test_kafka_is_read_from_outside_without_joining_a_group() -> None:
    options = KafkaOptions(session_seconds=2.0, heartbeat_seconds=0.1, partitions=2)
    with mock_kafka() as kafka:
        kafka.create("incidents.events", options.partitions)
        bus = KafkaBus(kafka.servers, options)
        await bus.start()
        sent = [Record("incidents.events", f"k{n}", {"ce_id": f"e{n}"}, b"{}") for n in range(9)]
        await bus.send(sent)
        consumer = await bus.join("g", ["incidents.events"])
        taken: list[Delivered] = []
        async with asyncio.timeout(20):
            while len(taken) < 9:
                taken += await consumer.poll(9, 0.2)
        done = {one.partition: one.offset + 1 for one in taken[:4]}
        await consumer.commit(done)
        await consumer.close()
        reader = KafkaReader(kafka.servers, topics=("incidents.events",), groups=("g",))
        assert sorted(one.record.key for one in await reader.log()) == [f"k{n}" for n in range(9)]
        assert await reader.committed() == {("g", p): offset for p, offset in done.items()}
        await bus.stop()
