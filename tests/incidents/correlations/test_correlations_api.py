"""Rules of correlation through their API: put, read, tried out, removed; what is bad is refused."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from services.incidents.correlations import commands
from services.incidents.correlations.settling import settle_due
from shared.clock import rfc3339
from shared.database import Database
from tests.conftest import MovingClock
from tests.incidents.conftest import published

RULE: dict[str, Any] = {
    "matchers": [{"label": "env", "op": "=~", "value": "prod.*"}],
    "by": ["zone"],
    "within_seconds": 300,
    "span_seconds": 900,
    "at_least": 3,
}


async def put(client: httpx.AsyncClient, name: str = "storm", **said: Any) -> httpx.Response:
    return await client.put(f"/v1/correlations/{name}", json=RULE | said)


async def post(
    client: httpx.AsyncClient, clock: MovingClock, count: int, **labels: str
) -> list[str]:
    """Alerts that began a minute after each other, the first an hour ago."""
    alerts = [
        {
            "title": "It fails",
            "fingerprint": f"f{n}",
            "service": f"service-{n}",
            "labels": {"env": "production", "zone": "eu", **labels},
            "starts_at": rfc3339(clock.now - timedelta(minutes=60 - n)),
        }
        for n in range(count)
    ]
    answer = await client.post("/v1/signals", json=alerts)
    assert answer.status_code == 202, answer.text
    return [one["incident_id"] for one in answer.json()["signals"]]


async def test_flapping_is_there_from_the_beginning(client: httpx.AsyncClient) -> None:
    (rule,) = (await client.get("/v1/correlations")).json()["items"]
    assert rule["name"] == "flapping"
    assert rule["rule"] == {
        "by": ["alert"],
        "within_seconds": 7200,
        "span_seconds": 7200,
        "at_least": 4,
    }


async def test_a_rule_is_put_read_changed_and_removed(
    client: httpx.AsyncClient, clock: MovingClock
) -> None:
    made = await put(client)
    assert (made.status_code, made.headers["ETag"]) == (200, '"1"')
    moments = {name: made.json()[name] for name in ("since", "changed_at")}
    assert {datetime.fromisoformat(one) for one in moments.values()} == {clock.now}
    assert made.json() == {"name": "storm", "rule": RULE, "version": 1, "by": "tester", **moments}
    clock.move(minutes=5)
    assert (await put(client)).json() == made.json()
    changed = await put(client, at_least=5)
    assert (changed.json()["version"], changed.json()["since"]) == (2, made.json()["since"])
    read = await client.get("/v1/correlations/storm")
    assert (read.json(), read.headers["ETag"]) == (changed.json(), '"2"')
    late = await client.put("/v1/correlations/storm", json=RULE, headers={"If-Match": '"1"'})
    assert late.status_code == 412
    names = [one["name"] for one in (await client.get("/v1/correlations")).json()["items"]]
    assert names == ["flapping", "storm"]
    assert (await client.post("/v1/correlations/storm/remove")).json() == changed.json()
    assert (await client.get("/v1/correlations/storm")).status_code == 404
    again = await client.post("/v1/correlations/storm/remove")
    assert again.status_code == 404
    assert "GET /v1/correlations" in again.json()["detail"]


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"by": []}, "say what members share"),
        ({"span_seconds": 200}, "no less than `within_seconds`"),
        ({"within_seconds": 0}, "greater than or equal to 1"),
        ({"span_seconds": 86_401}, "less than or equal to 86400"),
        ({"at_least": 1}, "greater than or equal to 2"),
        ({"hops": 6}, "less than or equal to 5"),
        ({"by": ["\x00"]}, "NUL"),
        ({"matchers": [{"label": "a", "op": "=~", "value": "("}]}, "not a regular expression"),
        ({"since": "1999-01-01T00:00:00Z"}, "between 2000 and 2100"),
        ({"unknown": 1}, "not permitted"),
    ],
)
async def test_a_bad_rule_is_refused_with_what_is_wrong(
    client: httpx.AsyncClient, said: dict[str, Any], says: str
) -> None:
    answer = await put(client, **said)
    assert answer.status_code == 422
    assert says in answer.text


async def test_there_are_only_so_many_rules(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "MOST", 2)
    assert (await put(client)).status_code == 200
    refused = await put(client, "other")
    assert (refused.status_code, "remove one" in refused.text) == (409, True)


async def test_a_preview_shows_what_a_rule_would_have_taken_together(
    client: httpx.AsyncClient, db: Database, clock: MovingClock
) -> None:
    ids = await post(client, clock, 4)
    before = await published(db)
    body = {"rule": RULE}
    seen = (await client.post("/v1/correlations/preview", json=body)).json()
    assert (seen["incidents"], seen["groups"], seen["children"]) == (4, 1, 3)
    assert seen["complete"] is True
    (group,) = seen["newest"]
    assert (group["parent"]["id"], group["parent"]["why"]) == (ids[0], None)
    assert [one["id"] for one in group["first"]] == ids[1:]
    assert group["first"][0]["why"] == (
        f"By rule tried, it shares with {ids[0]}, which began 60 s before it: zone eu."
    )
    few = {"rule": RULE | {"at_least": 5}}
    assert (await client.post("/v1/correlations/preview", json=few)).json()["groups"] == 0
    late = {"rule": RULE, "since": rfc3339(clock.now - timedelta(minutes=58, seconds=30))}
    assert (await client.post("/v1/correlations/preview", json=late)).json()["incidents"] == 2
    assert await published(db) == before


async def test_a_preview_says_what_the_rule_then_does(
    client: httpx.AsyncClient, db: Database, clock: MovingClock
) -> None:
    await post(client, clock, 6)
    seen = (await client.post("/v1/correlations/preview", json={"rule": RULE})).json()
    await put(client, since=seen["since"])
    while await settle_due(db, clock.now):
        continue
    (group,) = seen["newest"]
    listed = await client.get("/v1/incidents", params={"parent": group["parent"]["id"]})
    assert [one["id"] for one in listed.json()["items"]][::-1] == [
        one["id"] for one in group["first"]
    ]


async def test_commands_on_a_child_do_what_they_do_to_any(
    client: httpx.AsyncClient, db: Database, clock: MovingClock
) -> None:
    ids = await post(client, clock, 3)
    await put(client, since=rfc3339(clock.now - timedelta(hours=2)))
    while await settle_due(db, clock.now):
        continue
    done = await client.post(f"/v1/incidents/{ids[2]}/resolve")
    assert (done.status_code, done.json()["parent_id"]) == (200, ids[0])
    assert (await client.post(f"/v1/incidents/{ids[2]}/close")).status_code == 200
    assert (await client.post("/v1/correlations/storm/remove")).status_code == 200
    while await settle_due(db, clock.now):
        continue
    closed = (await client.get(f"/v1/incidents/{ids[2]}")).json()
    assert (closed["state"], closed["parent_id"], closed["correlated_by"]) == ("closed", None, None)
