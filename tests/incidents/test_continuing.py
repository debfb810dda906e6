"""A sender that tells no start says "it fires" again and again: that is one firing, and its repeats."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import httpx
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from services.incidents.incidents.episodes import episodes
from services.incidents.signals.adapters import native
from services.incidents.signals.continuing import Post, continued
from services.incidents.signals.signal import Signal
from shared.context import Context
from shared.database import Database
from tests.conftest import MovingClock

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
FIRES = {"title": "Disk full", "fingerprint": "f1"}


def post(minute: int, *bodies: bytes, by_alert: bool = False) -> Post:
    at = NOW + timedelta(minutes=minute)
    signals = [one for body in bodies for one in native.parse(body, at)]
    return Post(signals, Context("incidents", "test", at, "req_1"), by_alert)


def fires(name: str = "a", since: int | None = None) -> bytes:
    start = (
        "" if since is None else f', "starts_at": "{(NOW + timedelta(minutes=since)).isoformat()}"'
    )
    return f'{{"title": "x", "fingerprint": "{name}"{start}}}'.encode()


def ends(name: str = "a") -> bytes:
    return f'{{"title": "x", "fingerprint": "{name}", "status": "resolved"}}'.encode()


def starts(posts: Sequence[Post]) -> list[int]:
    """The starts of what fires, in minutes."""
    fired = [s for post in posts for s in post.signals if s.status == "firing"]
    return [int((one.starts_at - NOW).total_seconds() // 60) for one in fired]


def test_what_tells_no_start_has_that_of_its_alert() -> None:
    told = [
        post(1, fires()),
        post(2, fires(), fires("b")),
        post(3, fires(), ends()),
        post(4, fires()),
    ]
    assert starts(continued(told, {})) == [1, 1, 2, 1, 4]
    assert starts(continued(told, {("api", "a"): NOW})) == [0, 0, 2, 0, 4]


def test_a_start_that_is_told_is_kept_unless_its_format_knows_none() -> None:
    for by_alert, expected in ((False, [0, 1, 0]), (True, [0, 0, 0])):
        told = [
            post(2, fires(since=0), by_alert=by_alert),
            post(3, fires(since=1), by_alert=by_alert),
            post(4, fires(), by_alert=by_alert),
        ]
        assert starts(continued(told, {})) == expected


MOMENTS = st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12)


@given(MOMENTS)
def test_between_two_ends_there_is_one_start_and_nothing_else_changes(
    said: list[tuple[int, bool]],
) -> None:
    told = [
        post(minute, fires(str(name)) if firing else ends(str(name)))
        for minute, (name, firing) in enumerate(said)
    ]
    after = continued(told, {})
    open_since: dict[str, datetime] = {}
    for before, now in zip(told, after, strict=True):
        (one,), (other,) = before.signals, now.signals
        assert (one.fingerprint, one.status, one.title) == (
            other.fingerprint,
            other.status,
            other.title,
        )
        if other.status == "resolved":
            assert other == one
            open_since.pop(other.fingerprint, None)
        else:
            assert other.starts_at == open_since.setdefault(other.fingerprint, one.starts_at)


async def test_a_thousand_repeats_are_one_episode(
    client: httpx.AsyncClient, db: Database, clock: MovingClock
) -> None:
    first = (await client.post("/v1/signals", json=FIRES)).json()["signals"][0]
    for _ in range(10):
        clock.move(minutes=1)
        answer = await client.post("/v1/signals", json=[FIRES] * 100)
        assert {(s["id"], s["status"]) for s in answer.json()["signals"]} == {
            (first["id"], "repeat")
        }
    async with db.read() as conn:
        assert (await conn.execute(select(func.count()).select_from(episodes))).scalar_one() == 1
    incident = (await client.get(f"/v1/incidents/{first['incident_id']}")).json()
    assert (incident["repeats"], incident["episodes"]) == (1000, 1)
    clock.move(minutes=1)
    ended = {**FIRES, "status": "resolved"}
    assert (await client.post("/v1/signals", json=ended)).status_code == 202
    clock.move(hours=1)
    again = (await client.post("/v1/signals", json=FIRES)).json()["signals"][0]
    assert again["status"] == "new"
    assert again["incident_id"] != first["incident_id"]


def test_the_signal_is_else_the_same() -> None:
    (before,), (after,) = (
        post(5, fires()).signals,
        continued([post(5, fires())], {("api", "a"): NOW})[0].signals,
    )
    assert isinstance(after, Signal)
    assert {f: getattr(after, f) for f in after.__struct_fields__ if f != "starts_at"} == {
        f: getattr(before, f) for f in before.__struct_fields__ if f != "starts_at"
    }
