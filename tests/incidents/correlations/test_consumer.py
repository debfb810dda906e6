"""What is heard of incidents in any order, any cut and more than once comes to what the whole set says."""

import random
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from services.incidents import metrics
from services.incidents.correlations import store
from services.incidents.correlations.consumers import subscription, take
from services.incidents.correlations.domain import Child, correlated
from services.incidents.correlations.settling import settle_due
from services.incidents.incidents import commands
from services.incidents.incidents.domain import OpenIncident, Redate, Resolve, Silence
from services.incidents.incidents.store import incidents
from shared.context import Context
from shared.database import Database
from shared.envelope import Event, Record, decode
from tests.conftest import MovingClock
from tests.incidents.conftest import outbox_rows
from tests.incidents.correlations.groups import START, at

ZONES: dict[str, Any] = {"by": ["zone"], "within_seconds": 60, "span_seconds": 180, "at_least": 2}
LONG_AGO = (START - timedelta(days=1)).isoformat()


def context(now: datetime = START) -> Context:
    return Context("incidents", "service:incidents", now, "req_1", "req_1")


async def put(client: httpx.AsyncClient, name: str, **said: Any) -> None:
    answer = await client.put(f"/v1/correlations/{name}", json={"since": LONG_AGO, **said})
    assert answer.is_success, answer.text


async def opened(db: Database, *some: tuple[str, float, dict[str, Any]]) -> None:
    """Incidents of alerts that are over, each with an id, when it began, and what else is said."""
    async with db.begin() as conn:
        changes = [
            commands.after(
                commands.opening(
                    OpenIncident(
                        id=id_,
                        source="prometheus",
                        title="It fails",
                        severity="high",
                        opened_at=at(seconds),
                        claimed_service=said.get("service"),
                        labels=said.get("labels", {}),
                        fingerprint=said.get("alert", id_),
                    ),
                    context(),
                ),
                Resolve(at(seconds), by_hand=False),
            )
            for id_, seconds, said in some
        ]
        await commands.record(conn, changes)


async def events(db: Database) -> list[Event]:
    wanted = subscription().types
    rows = await outbox_rows(db)
    return [
        decode(Record(row.topic, row.key, row.headers, row.value))
        for row in rows
        if row.headers["ce_type"] in wanted
    ]


async def hear(db: Database, *some: Event) -> None:
    async with db.begin() as conn:
        await take(conn, some, lambda: START)


async def children(db: Database) -> dict[str, Child]:
    query = select(incidents).where(incidents.c.parent_id.is_not(None))
    async with db.read() as conn:
        rows = (await conn.execute(query)).all()
    return {row.id: Child(row.parent_id, row.correlated_by) for row in rows}


async def expected(db: Database) -> dict[str, Child]:
    """What the rules say of the whole set at once."""
    async with db.read() as conn:
        rules = [one.rule() for one in await store.load_rules(conn)]
        some = await store.members_between(conn, at(-1e6), at(1e7))
        return correlated(rules, some, await store.load_dependencies(conn))


async def told(db: Database) -> list[tuple[str, str]]:
    rows = await outbox_rows(db)
    names = [(row.headers["ce_type"].split(".")[-2], row.key) for row in rows]
    return [one for one in names if one[0] in ("correlated", "uncorrelated")]


async def everything_due(db: Database) -> None:
    while await settle_due(db, START):
        continue


def zoned(zone: str) -> dict[str, Any]:
    return {"labels": {"zone": zone}}


async def test_the_later_ones_are_told_to_be_children_of_the_first(
    client: httpx.AsyncClient, db: Database
) -> None:
    await put(client, "zones", **ZONES)
    await opened(db, ("inc_a", 0, zoned("eu")), ("inc_b", 30, zoned("eu")), ("inc_c", 5, {}))
    await hear(db, *await events(db))
    assert await children(db) == {"inc_b": Child("inc_a", "zones")}
    assert await told(db) == [("correlated", "inc_b")]
    child = (await client.get("/v1/incidents/inc_b")).json()
    assert (child["parent_id"], child["correlated_by"], child["children"]) == ("inc_a", "zones", 0)
    assert (await client.get("/v1/incidents/inc_a")).json()["children"] == 1
    entries = (await client.get("/v1/incidents/inc_b/timeline")).json()["items"]
    assert entries[-1]["kind"] == "correlated"
    assert entries[-1]["data"]["why"] == (
        "By rule zones, it shares with inc_a, which began 30 s before it: zone eu."
    )


async def test_the_list_is_of_one_parent_of_what_stands_by_itself_or_of_children(
    client: httpx.AsyncClient, db: Database
) -> None:
    await put(client, "zones", **ZONES)
    await opened(db, *((f"inc_{n}", 10 * n, zoned("eu") if n else {}) for n in range(4)))
    await hear(db, *await events(db))

    async def listed(**params: str) -> list[tuple[str, int]]:
        answer = await client.get("/v1/incidents", params=params)
        return [(one["id"], one["children"]) for one in answer.json()["items"]]

    assert await listed(parent="inc_1") == [("inc_3", 0), ("inc_2", 0)]
    assert await listed(top="true") == [("inc_1", 2), ("inc_0", 0)]
    assert await listed(top="false") == [("inc_3", 0), ("inc_2", 0)]
    assert len(await listed()) == 4
    assert (await client.get("/v1/incidents/summary")).json()["correlated"] == 2
    async with db.read() as conn:
        await metrics.measure(conn)
    assert metrics.incidents_correlated.labels("zones")._value.get() == 2


async def test_a_late_arrival_that_began_first_becomes_the_parent_of_all(
    client: httpx.AsyncClient, db: Database
) -> None:
    await put(client, "zones", **ZONES)
    await opened(db, ("inc_b", 20, zoned("eu")), ("inc_c", 40, zoned("eu")))
    await hear(db, *await events(db))
    await opened(db, ("inc_a", 0, zoned("eu")))
    await hear(db, *await events(db))
    assert await children(db) == {one: Child("inc_a", "zones") for one in ("inc_b", "inc_c")}
    assert await told(db) == [("correlated", one) for one in ("inc_c", "inc_b", "inc_c")]


async def test_what_is_silenced_is_of_no_group(client: httpx.AsyncClient, db: Database) -> None:
    """Or its children would count for nothing together with it."""
    await put(client, "zones", **ZONES)
    await opened(db, *((f"inc_{n}", 10 * n, zoned("eu")) for n in range(3)))
    await hear(db, *await events(db))
    async with db.begin() as conn:
        await commands.handle(conn, "inc_0", Silence("sil_1"), context())
    await hear(db, *await events(db))
    assert await children(db) == {"inc_2": Child("inc_1", "zones")}
    assert await told(db) == [
        *(("correlated", one) for one in ("inc_1", "inc_2")),
        ("uncorrelated", "inc_1"),
        ("correlated", "inc_2"),
    ]


async def test_what_turns_out_to_have_begun_elsewhen_leaves_its_group(
    client: httpx.AsyncClient, db: Database
) -> None:
    await put(client, "zones", **ZONES)
    await opened(db, *((f"inc_{n}", 50 * n, zoned("eu")) for n in range(4)))
    await hear(db, *await events(db))
    async with db.begin() as conn:
        await commands.handle(conn, "inc_1", Redate(at(4000)), context())
    await hear(db, *await events(db))
    assert await children(db) == await expected(db) == {"inc_3": Child("inc_2", "zones")}


async def test_flapping_is_a_rule_from_the_beginning_and_can_be_switched_off(
    client: httpx.AsyncClient, db: Database
) -> None:
    await opened(db, *((f"inc_{n}", 900 * n, {"alert": "disk"}) for n in range(6)))
    await hear(db, *await events(db))
    assert await children(db) == {f"inc_{n}": Child("inc_0", "flapping") for n in range(1, 6)}
    rule = (await client.get("/v1/correlations/flapping")).json()
    await put(client, "flapping", **rule["rule"], enabled=False)
    await everything_due(db)
    assert await children(db) == {}
    assert await told(db) == [
        *(("correlated", f"inc_{n}") for n in range(1, 6)),
        *(("uncorrelated", f"inc_{n}") for n in range(1, 6)),
    ]


async def test_a_rule_that_is_put_later_reaches_back_as_far_as_it_says(
    client: httpx.AsyncClient, db: Database
) -> None:
    await opened(db, *((f"inc_{n}", 10 * n, zoned("eu")) for n in range(5)))
    await put(client, "zones", **ZONES, since=at(15).isoformat())
    await everything_due(db)
    assert await children(db) == {f"inc_{n}": Child("inc_2", "zones") for n in (3, 4)}
    await put(client, "zones", **ZONES | {"at_least": 4})
    await everything_due(db)
    assert await children(db) == {f"inc_{n}": Child("inc_0", "zones") for n in range(1, 5)}
    assert (await client.post("/v1/correlations/zones/remove")).json()["name"] == "zones"
    await everything_due(db)
    assert await children(db) == {}


async def test_a_change_of_the_catalog_decides_what_is_recent_anew(
    client: httpx.AsyncClient, db: Database, clock: MovingClock
) -> None:
    clock.now = at(100)
    depending = {"dependencies": True, "within_seconds": 60, "span_seconds": 180}
    await put(client, "depending", **depending)
    for name in ("api", "db"):
        await client.put(f"/v1/catalog/services/{name}", json={"product": "Shop"})
    await opened(db, ("inc_api", 0, {"service": "api"}), ("inc_db", 9, {"service": "db"}))
    await hear(db, *await events(db))
    assert await children(db) == {}
    entry = {"product": "Shop", "dependencies": ["db"]}
    await client.put("/v1/catalog/services/api", json=entry)
    await hear(db, (await events(db))[-1])
    await everything_due(db)
    assert await children(db) == {"inc_api": Child("inc_db", "depending")}


async def test_looking_again_changes_and_publishes_nothing(
    client: httpx.AsyncClient, db: Database
) -> None:
    await put(client, "zones", **ZONES)
    await opened(db, *((f"inc_{n}", 10 * n, zoned("eu")) for n in range(5)))
    heard = await events(db)
    await hear(db, *heard)
    before = len(await outbox_rows(db))
    await hear(db, *heard)
    await everything_due(db)
    assert len(await outbox_rows(db)) == before


async def some_rules(client: httpx.AsyncClient) -> None:
    """Three rules, and services that depend on each other."""
    await put(client, "zones", **ZONES | {"at_least": 3})
    await put(client, "depending", dependencies=True, within_seconds=50, span_seconds=120)
    await put(client, "flapping", by=["alert"], within_seconds=300, span_seconds=600, at_least=4)
    for name, needs in (("web", ["api"]), ("api", ["store"]), ("db", []), ("mail", [])):
        entry = {"product": "Shop", "dependencies": needs, "aliases": ["store"] * (name == "db")}
        await client.put(f"/v1/catalog/services/{name}", json=entry)


def made_up(
    dice: random.Random, count: int, seconds: int
) -> list[tuple[str, float, dict[str, Any]]]:
    """So many incidents, in no order of time."""
    services = ["web", "api", "db", "mail", None]
    return [
        (
            f"inc_{n:02}",
            float(dice.randrange(0, seconds, 10)),
            {
                "service": dice.choice(services),
                "alert": dice.choice("abcdefgh"),
                "labels": {"zone": dice.choice(["eu", "us", ""])},
            },
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("seed", range(8))
async def test_each_event_heard_once_and_alone_comes_to_what_the_whole_set_says(
    client: httpx.AsyncClient, db: Database, seed: int
) -> None:
    dice = random.Random(seed)
    await some_rules(client)
    await everything_due(db)
    known = len(await events(db))
    everything = made_up(dice, 60, 3000)
    for number, one in enumerate(everything):
        await opened(db, one)
        chance, (another, *_) = dice.random(), dice.choice(everything[: number + 1])
        async with db.begin() as conn:
            if chance < 0.2:
                moment = at(dice.randrange(0, 3000))
                await commands.handle(conn, another, Redate(moment), context())
            elif chance < 0.3:
                await commands.handle(conn, another, Silence("sil_1"), context())
        news = (await events(db))[known:]
        known += len(news)
        for event in news:
            await hear(db, event)
        if chance > 0.8:
            assert await children(db) == await expected(db)
    assert await children(db) == await expected(db)


@pytest.mark.parametrize("seed", range(8))
async def test_any_order_cut_and_repetition_comes_to_what_the_whole_set_says(
    client: httpx.AsyncClient, db: Database, seed: int
) -> None:
    dice = random.Random(seed)
    await some_rules(client)
    everything = made_up(dice, 60, 1500)
    while everything:
        cut = dice.randrange(1, 12)
        some, everything = everything[:cut], everything[cut:]
        await opened(db, *some)
        if dice.random() < 0.5:
            async with db.begin() as conn:
                moment = at(dice.randrange(0, 1500))
                await commands.handle(conn, some[0][0], Redate(moment), context())
        if dice.random() < 0.3:
            async with db.begin() as conn:
                await commands.handle(conn, some[-1][0], Silence("sil_1"), context())
        heard = await events(db)
        late = heard[-2 * cut :]
        dice.shuffle(late)
        await hear(db, *late[::2])  # the rest of them comes later, and all of them twice
        if dice.random() < 0.2:
            await put(client, "zones", **ZONES | {"at_least": dice.choice([2, 3, 5])})
        if dice.random() < 0.3:
            await settle_due(db, START)
    waiting = await events(db)
    dice.shuffle(waiting)
    while waiting:
        some_of_them = [waiting.pop() for _ in range(min(len(waiting), dice.randrange(1, 20)))]
        await hear(db, *some_of_them)
    await everything_due(db)
    found = await children(db)
    assert found == await expected(db)
    assert len({one.rule for one in found.values()}) >= 2
    async with db.read() as conn:
        kept = await store.children(conn, [f"inc_{n:02}" for n in range(60)])
    assert kept == found


async def test_an_incident_that_a_person_opened_is_a_parent_like_any(
    client: httpx.AsyncClient, db: Database
) -> None:
    await put(client, "zones", **ZONES)
    body = {
        "title": "It fails",
        "severity": "high",
        "opened_at": at(-5).isoformat(),
        **zoned("eu"),
    }
    by_hand = (await client.post("/v1/incidents", json=body)).json()["id"]
    await opened(db, ("inc_a", 0, zoned("eu")))
    await hear(db, *await events(db))
    assert await children(db) == {"inc_a": Child(by_hand, "zones")}


async def test_correlations_themselves_are_not_listened_to(
    client: httpx.AsyncClient, db: Database
) -> None:
    await put(client, "zones", **ZONES)
    await opened(db, ("inc_a", 0, zoned("eu")), ("inc_b", 1, zoned("eu")))
    await hear(db, *await events(db))
    said = {row.headers["ce_type"] for row in await outbox_rows(db)}
    assert "groundswell.incident.correlated.v1" in said - subscription().types


async def test_a_change_in_the_middle_of_an_endless_drip_moves_all_that_follows_from_it(
    client: httpx.AsyncClient, db: Database
) -> None:
    """Where no pause parts the groups, the look widens as far as the change reaches, and no further."""
    await put(client, "zones", **ZONES)
    await opened(db, *((f"inc_{n:03}", 50 * n, zoned("eu")) for n in range(1, 80)))
    await hear(db, *await events(db))
    await opened(db, ("inc_000", 0, zoned("eu")))
    await hear(db, (await events(db))[-1])
    found = await children(db)
    assert found == await expected(db)
    assert found["inc_079"] == Child("inc_076", "zones")
    before = len(await outbox_rows(db))
    await opened(db, ("inc_late", 50 * 40 + 1, zoned("us")))
    await hear(db, (await events(db))[-1])
    assert len(await outbox_rows(db)) == before + 2  # it opened, and was over


async def test_what_began_elsewhen_may_be_taken_into_a_group_before_that_is_heard(
    client: httpx.AsyncClient, db: Database
) -> None:
    await put(client, "zones", **ZONES)
    await opened(db, *((f"inc_{n}", 20 * n, zoned("eu")) for n in range(3)))
    await hear(db, *await events(db))
    async with db.begin() as conn:
        await commands.handle(conn, "inc_1", Redate(at(4000)), context())
    await opened(db, ("inc_9", 4010, zoned("eu")))
    *_, redated, news = await events(db)
    await hear(db, news)
    assert (await children(db))["inc_9"] == Child("inc_1", "zones")
    await hear(db, redated)
    assert await children(db) == await expected(db)
    assert set(await children(db)) == {"inc_2", "inc_9"}
