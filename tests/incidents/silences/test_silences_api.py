"""Silences through their API: made, read, ended; what begins in them is kept, marked and counted."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from services.incidents import metrics
from services.incidents.incidents.episodes import episodes
from services.incidents.settings import IncidentsSettings
from services.incidents.signals.expiry import expire
from services.incidents.signals.silencing import review
from services.incidents.signals.store import signals
from services.incidents.silences import commands
from shared.clock import rfc3339
from shared.context import Context
from shared.database import Database
from tests.conftest import MovingClock
from tests.incidents.conftest import published

MATCHERS = [{"label": "alertname", "value": "DiskFull"}]
SETTINGS = IncidentsSettings()


class Caller:
    """An operator and a sender, at one clock."""

    def __init__(self, client: httpx.AsyncClient, db: Database, clock: MovingClock) -> None:
        self.client, self.db, self.clock = client, db, clock

    def at(self, minutes: float) -> str:
        return rfc3339(self.clock.now + timedelta(minutes=minutes))

    async def silence(self, start: float = -5, end: float = 60, **said: Any) -> dict[str, Any]:
        body = {
            "comment": "maintenance",
            "matchers": MATCHERS,
            "starts_at": self.at(start),
            "ends_at": self.at(end),
        }
        answer = await self.client.post("/v1/silences", json=body | said)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def post(self, fingerprint: str = "f1", **said: Any) -> str:
        body = {
            "title": "Disk full",
            "fingerprint": fingerprint,
            "labels": {"alertname": "DiskFull"},
            "service": "payments",
            "starts_at": self.at(0),
        }
        answer = await self.client.post("/v1/signals", json=body | said)
        assert answer.status_code == 202, answer.text
        return answer.json()["signals"][0]["incident_id"]

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def incident(self, incident_id: str) -> Any:
        return await self.get(f"/v1/incidents/{incident_id}")

    async def kinds(self, incident_id: str) -> list[str]:
        page = await self.get(f"/v1/incidents/{incident_id}/timeline")
        return [one["kind"] for one in page["items"]]

    async def review(self, **later: float) -> int:
        """The timer, after that much time."""
        self.clock.move(**later)
        return await review(self.db, SETTINGS, self.clock.now)

    async def preview(self, **said: Any) -> Any:
        body = {"matchers": MATCHERS, "ends_at": self.at(60)} | said
        answer = await self.client.post("/v1/silences/preview", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def caller(client: httpx.AsyncClient, db: Database, clock: MovingClock) -> Caller:
    return Caller(client, db, clock)


async def test_a_silence_is_made_read_and_listed_by_its_state(caller: Caller) -> None:
    active = await caller.silence()
    pending = await caller.silence(5, 10)
    ended = await caller.silence(-10, -5)
    assert active["id"].startswith("sil_")
    assert active["created_by"] == "tester"
    assert [one["state"] for one in (active, pending, ended)] == ["active", "pending", "ended"]
    assert [one["holds_now"] for one in (active, pending, ended)] == [True, False, False]
    assert await caller.get(f"/v1/silences/{active['id']}") == active
    for state, one in (("active", active), ("pending", pending), ("ended", ended)):
        assert (await caller.get("/v1/silences", state=state))["items"] == [one]
    first = await caller.get("/v1/silences", limit=2)
    rest = await caller.get("/v1/silences", cursor=first["next"])
    assert first["items"] + rest["items"] == [ended, pending, active]


async def test_a_maintenance_window_is_shown_as_it_was_given(caller: Caller) -> None:
    window = {"days": ["sat", "sun"], "from": "22:30", "minutes": 90, "timezone": "Europe/Vienna"}
    made = await caller.silence(0, 60 * 24 * 365, recurrence=window)
    assert made["recurrence"] == window
    assert (await caller.get(f"/v1/silences/{made['id']}"))["recurrence"] == window


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"matchers": []}, "matchers"),
        ({"matchers": [{"label": "a", "op": "=~", "value": ".*"}]}, "body"),
        ({"matchers": [{"label": "a", "op": "!=", "value": "b"}]}, "body"),
        ({"matchers": [{"label": "a", "op": "=~", "value": "("}]}, "matchers.0"),
        ({"matchers": [{"label": "a", "op": "~", "value": "b"}]}, "matchers.0"),
        ({"matchers": [{"label": "a", "op": "=~", "value": "x" * 1_025}]}, "matchers.0"),
        ({"comment": ""}, "comment"),
        ({"ends_at": "2026-01-01T00:00:00"}, "ends_at"),
        ({"recurrence": {"days": ["mon"], "from": "24:00", "minutes": 5}}, "recurrence"),
        ({"recurrence": {"days": [], "from": "12:00", "minutes": 5}}, "recurrence"),
        ({"recurrence": {"days": ["mon"], "from": "12:00", "minutes": 10_081}}, "recurrence"),
        (
            {
                "recurrence": {
                    "days": ["mon"],
                    "from": "12:00",
                    "minutes": 5,
                    "timezone": "Europe/Nowhere",
                }
            },
            "recurrence",
        ),
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_place(
    caller: Caller, wrong: dict[str, Any], field: str
) -> None:
    body = {"comment": "x", "matchers": MATCHERS, "ends_at": caller.at(60)} | wrong
    answer = await caller.client.post("/v1/silences", json=body)
    assert answer.status_code == 422, answer.text
    assert field in answer.text
    assert (await caller.get("/v1/silences"))["items"] == []


async def test_a_silence_that_ends_before_it_begins_is_refused(caller: Caller) -> None:
    body = {"comment": "x", "matchers": MATCHERS, "ends_at": caller.at(-1)}
    answer = await caller.client.post("/v1/silences", json=body)
    assert answer.status_code == 422
    assert "later `ends_at`" in answer.json()["detail"]


async def test_what_begins_in_it_is_stored_marked_and_counted(caller: Caller, db: Database) -> None:
    before = metrics.signals_silenced._value.get()
    made = await caller.silence()
    quiet = await caller.post()
    loud = await caller.post("f2", labels={"alertname": "CPU"})
    assert (await caller.incident(quiet))["silenced_by"] == made["id"]
    assert (await caller.incident(loud))["silenced_by"] is None
    assert (await caller.incident(quiet))["signals"] == 1
    found = {
        which: [one["id"] for one in (await caller.get("/v1/incidents", silenced=which))["items"]]
        for which in ("true", "false", "any")
    }
    assert found == {"true": [quiet], "false": [loud], "any": [loud, quiet]}
    summary = await caller.get("/v1/incidents/summary")
    assert (summary["incidents"], summary["silenced"]) == (2, 1)
    assert metrics.signals_silenced._value.get() == before + 1
    async with db.read() as conn:
        await metrics.measure(conn)
    assert metrics.incidents_silenced._value.get() == 1
    await caller.post()  # the same again
    assert metrics.signals_silenced._value.get() == before + 1


async def test_it_is_decided_by_when_it_began_and_not_by_when_it_came(caller: Caller) -> None:
    await caller.silence(-60, -30)
    within = await caller.post(starts_at=caller.at(-50), ends_at=caller.at(-40), status="resolved")
    after = await caller.post("f2", starts_at=caller.at(-20))
    assert (await caller.incident(within))["silenced_by"] is not None
    assert (await caller.incident(after))["silenced_by"] is None


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("source", "api"),
        ("service", "payments"),
        ("severity", "critical"),
        ("alertname", "DiskFull"),
        ("zone", "eu"),
    ],
)
async def test_matchers_see_labels_and_our_own_words(
    caller: Caller, label: str, value: str
) -> None:
    await caller.client.put(
        "/v1/catalog/services/payments", json={"product": "Checkout", "aliases": ["pay-svc"]}
    )
    await caller.silence(matchers=[{"label": label, "value": value}])
    said = {"labels": {"alertname": "DiskFull", "zone": "eu"}, "source": "api"}
    one = await caller.post(service="pay-svc", severity="critical", **said)
    assert (await caller.incident(one))["silenced_by"] is not None


async def test_it_is_heard_when_the_silence_is_over_and_it_still_fires(
    caller: Caller, db: Database
) -> None:
    made = await caller.silence(-5, 10)
    ends = caller.at(10)
    one = await caller.post()
    assert await caller.review(minutes=9) == 1
    assert (await caller.incident(one))["silenced_by"] == made["id"]
    await caller.review(minutes=2)
    assert (await caller.incident(one))["silenced_by"] is None
    *_, last = (await caller.get(f"/v1/incidents/{one}/timeline"))["items"]
    assert (last["kind"], last["at"]) == ("unsilenced", ends.replace(".000000", ""))
    assert last["actor"] == "signals:api"
    assert await published(db) == ["incident.opened", "incident.unsilenced"]
    assert await caller.review(minutes=5) == 0


async def test_what_ended_in_it_is_never_heard(caller: Caller) -> None:
    await caller.silence(-5, 10)
    one = await caller.post(starts_at=caller.at(-1))
    start = caller.at(-1)
    caller.clock.move(minutes=5)
    await caller.post(status="resolved", starts_at=start, ends_at=caller.at(0))
    await caller.review(minutes=60)
    assert await caller.kinds(one) == ["opened", "resolved"]
    assert await caller.review(minutes=60) == 0


async def test_an_end_that_comes_late_silences_it_after_all(caller: Caller) -> None:
    await caller.silence(-5, 10)
    start, end = caller.at(0), caller.at(9)
    one = await caller.post()
    await caller.review(minutes=11)
    await caller.post(status="resolved", starts_at=start, ends_at=end)
    assert await caller.kinds(one) == ["opened", "unsilenced", "resolved", "silenced"]
    assert (await caller.incident(one))["silenced_by"] is not None


async def test_what_is_not_silenced_and_joins_it_makes_it_heard(caller: Caller) -> None:
    await caller.silence(-5, 10)
    one = await caller.post()
    caller.clock.move(minutes=20)
    assert await caller.post(starts_at=caller.at(-1)) == one
    assert await caller.kinds(one) == ["opened", "unsilenced"]


async def test_ending_a_silence_lets_what_fires_be_heard_as_of_then(caller: Caller) -> None:
    made = await caller.silence(-5, 600)
    one = await caller.post()
    caller.clock.move(seconds=10)
    then = caller.at(0)
    answer = await caller.client.post(f"/v1/silences/{made['id']}/end")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["state"], answer.json()["ended_by"]) == ("ended", "tester")
    assert await caller.review() == 1
    *_, last = (await caller.get(f"/v1/incidents/{one}/timeline"))["items"]
    assert (last["kind"], last["at"]) == ("unsilenced", then.replace(".000000", ""))
    later = await caller.post("f2")
    assert (await caller.incident(later))["silenced_by"] is None
    again = await caller.client.post(f"/v1/silences/{made['id']}/end")
    assert again.status_code == 409
    assert (await caller.client.post("/v1/silences/sil_0/end")).status_code == 404
    assert (await caller.client.get("/v1/silences/sil_0")).status_code == 404


async def test_another_silence_that_takes_over_keeps_it_silenced(caller: Caller) -> None:
    await caller.silence(-5, 10)
    one = await caller.post()
    await caller.silence(8, 30)
    await caller.review(minutes=20)
    assert await caller.kinds(one) == ["opened"]
    await caller.review(minutes=11)
    assert await caller.kinds(one) == ["opened", "unsilenced"]


async def test_what_was_heard_of_before_stays_heard(caller: Caller) -> None:
    one = await caller.post()
    await caller.silence(-5, 60)
    await caller.review(minutes=5)
    assert (await caller.incident(one))["silenced_by"] is None


async def test_the_look_mends_what_another_process_silenced_by_what_it_knew(
    caller: Caller, db: Database
) -> None:
    """A process that hears two seconds late that a silence was ended believes in it meanwhile."""
    made = await caller.silence(-5, 600)
    await caller.post("f0")  # the silences are in memory
    async with db.begin() as conn:  # as another process does
        await commands.end(conn, made["id"], Context("incidents", "other", caller.clock.now, "r"))
    caller.clock.move(seconds=1)
    one = await caller.post("f1")
    assert (await caller.incident(one))["silenced_by"] == made["id"]
    await caller.review(seconds=61)
    assert (await caller.incident(one))["silenced_by"] is None
    async with db.read() as conn:
        query = select(func.count()).where(episodes.c.silence_review_at.is_not(None))
        assert (await conn.execute(query)).scalar_one() == 0


async def test_a_silenced_incident_is_worked_on_like_any_other(caller: Caller) -> None:
    await caller.silence()
    one = await caller.post()
    for step in ("acknowledge", "resolve", "close"):
        answer = await caller.client.post(f"/v1/incidents/{one}/{step}", json={})
        assert answer.status_code == 200, answer.text
    assert await caller.kinds(one) == ["opened", "acknowledged", "resolved", "closed"]
    await caller.review(minutes=120)
    assert (await caller.incident(one))["silenced_by"] is not None


async def test_an_alert_that_goes_on_after_its_expiry_is_looked_at_again(
    caller: Caller, db: Database
) -> None:
    await caller.silence(-5, 60)
    start = caller.at(0)

    async def send() -> None:
        alert = {"labels": {"alertname": "DiskFull"}, "startsAt": start, "endsAt": caller.at(4)}
        answer = await caller.client.post("/api/v2/alerts", json=[alert])
        assert answer.status_code == 200, answer.text

    await send()
    (one,) = (await caller.get("/v1/incidents"))["items"]
    caller.clock.move(minutes=20)
    assert await expire(db, SETTINGS, caller.clock.now) == 1
    await caller.review()
    assert await caller.review(minutes=20) == 0  # it is over: nothing is left to look at
    await send()
    assert await caller.review(minutes=3) == 1
    assert await caller.kinds(one["id"]) == ["opened", "resolved", "reopened"]
    await send()
    await caller.review(minutes=18)
    assert await caller.kinds(one["id"]) == ["opened", "resolved", "reopened", "unsilenced"]


async def test_a_preview_says_what_it_would_have_silenced_and_makes_nothing(
    caller: Caller, db: Database
) -> None:
    within = await caller.post(starts_at=caller.at(-50), ends_at=caller.at(-40), status="resolved")
    over = await caller.post(
        "f2", starts_at=caller.at(-50), ends_at=caller.at(-5), status="resolved"
    )
    await caller.post("f3", labels={"alertname": "CPU"}, starts_at=caller.at(-45))
    seen = await caller.preview(starts_at=caller.at(-60), ends_at=caller.at(-30))
    assert (seen["incidents"], seen["signals"]) == (1, 2)
    assert [one["id"] for one in seen["newest"]] == [within]
    assert (seen["complete"], seen["as_if_since"]) == (True, None)
    future = await caller.preview(starts_at=caller.at(10))
    assert (future["incidents"], future["signals"]) == (2, 2)
    assert {one["id"] for one in future["newest"]} == {within, over}
    assert future["as_if_since"] == future["since"]
    since = await caller.preview(since=caller.at(-49))
    assert since["incidents"] == 0
    assert (await caller.get("/v1/silences"))["items"] == []
    assert (await caller.incident(within))["silenced_by"] is None


async def test_a_preview_agrees_with_what_the_silence_then_does(
    caller: Caller, db: Database, make_database: Any
) -> None:
    """The same signals after the silence was made are silenced as the preview said."""
    sent = [
        (f"f{n}", -300 + 7 * n, 3 + 11 * (n % 5), {"alertname": "DiskFull" if n % 3 else "CPU"})
        for n in range(30)
    ]

    async def send(prefix: str) -> list[str]:
        return [
            await caller.post(
                prefix + name,
                labels=labels,
                starts_at=caller.at(start),
                ends_at=caller.at(start + lasts),
                status="resolved",
            )
            for name, start, lasts, labels in sent
        ]

    before = await send("a")
    terms = {"starts_at": caller.at(-250), "ends_at": caller.at(-120)}
    seen = await caller.preview(**terms)
    wanted = {one["id"] for one in seen["newest"]}
    await caller.silence(**terms)
    after = await send("b")
    silenced = [(await caller.incident(one))["silenced_by"] is not None for one in after]
    assert [one in wanted for one in before] == silenced
    assert 0 < sum(silenced) == seen["incidents"] < len(sent)


async def test_a_recurring_window_is_previewed_over_the_past(caller: Caller) -> None:
    one = await caller.post(
        starts_at=caller.at(-60 * 24), ends_at=caller.at(-60 * 24 + 1), status="resolved"
    )
    began = caller.clock.now - timedelta(days=1, minutes=5)
    window = {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "minutes": 30}
    hit = await caller.preview(recurrence={**window, "from": began.strftime("%H:%M")})
    assert [shown["id"] for shown in hit["newest"]] == [one]
    other = began + timedelta(hours=12)
    miss = await caller.preview(recurrence={**window, "from": other.strftime("%H:%M")})
    assert miss["incidents"] == 0


async def test_a_thousand_silences_are_enough(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.incidents.silences.commands.MOST", 2)
    await caller.silence()
    await caller.silence(-10, -5)
    await caller.silence()
    body = {"comment": "x", "matchers": MATCHERS, "ends_at": caller.at(60)}
    answer = await caller.client.post("/v1/silences", json=body)
    assert answer.status_code == 409
    assert "end some" in answer.json()["detail"]


async def test_nothing_that_is_silenced_is_dropped(caller: Caller, db: Database) -> None:
    await caller.silence()
    for n in range(20):
        await caller.post(f"f{n}")
    async with db.read() as conn:
        stored = (await conn.execute(select(func.count()).select_from(signals))).scalar_one()
    assert stored == 20
    assert (await caller.get("/v1/incidents/summary"))["silenced"] == 20


async def test_trying_a_mapping_says_that_it_would_be_silenced(caller: Caller) -> None:
    made = await caller.silence(matchers=[{"label": "source", "value": "generic.tried"}])
    body = {"mapping": {"title": "$.t"}, "body": {"t": "x"}}
    answer = await caller.client.post("/v1/mappings/try", json=body)
    assert answer.json()["signals"][0]["says"] == f"opens an incident; silenced by {made['id']}"
