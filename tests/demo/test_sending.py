"""How the demo sends, waits, and remembers; against a Groundswell that only pretends."""

import asyncio
import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from services import quiet
from services.demo import sender
from services.demo.progress import FILE, Progress, begun, noted
from services.demo.run import not_reached
from services.demo.sender import CONNECTIONS, NotTaken, send_all
from services.demo.steps import quarter_of
from services.demo.stream import Record, load
from services.quiet import StillBusy, until_quiet

ANCHOR = datetime(2026, 8, 1, tzinfo=UTC)
RECORDS = load().records[:60]


class Receiver:
    """Takes webhooks as the road from a sender would: each waits its turn in the loop."""

    def __init__(self, status: Callable[[int], int] = lambda _: 202) -> None:
        self.status = status
        self.groups: list[str] = []
        self.under_way: list[str] = []
        self.overlaps = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        group = json.loads(request.content)["groupKey"]
        self.overlaps += group in self.under_way
        self.under_way.append(group)
        self.groups.append(group)
        turn = len(self.groups)
        await asyncio.sleep(0.001 * (turn % 5))
        self.under_way.remove(group)
        return httpx.Response(self.status(turn), json={"accepted": 1})

    async def take(self, records: list[Record]) -> int:
        transport = httpx.MockTransport(self)
        async with httpx.AsyncClient(transport=transport, base_url="http://demo.test") as client:
            return await send_all(client, records, ANCHOR, lambda _: None)


async def test_every_record_is_sent_once_and_counted() -> None:
    receiver = Receiver()
    assert await receiver.take(RECORDS) == len(RECORDS)
    assert sorted(receiver.groups) == sorted(record.body.group_key for record in RECORDS)


async def test_a_group_keeps_its_order_and_nothing_runs_far_ahead() -> None:
    receiver = Receiver()
    await receiver.take(RECORDS)
    assert receiver.overlaps == 0
    wanted = [record.body.group_key for record in RECORDS]
    for group in set(wanted):
        for was, now in zip(
            (i for i, key in enumerate(wanted) if key == group),
            (i for i, key in enumerate(receiver.groups) if key == group),
            strict=True,
        ):
            assert abs(was - now) <= 3 * CONNECTIONS


async def test_told_to_come_back_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "PAUSE_SECONDS", 0.001)
    receiver = Receiver(lambda turn: 503 if turn <= 3 else 202)
    assert await receiver.take(RECORDS[:2]) == 2
    assert len(receiver.groups) == 5


@pytest.mark.parametrize("status", [400, 401, 413, 500, 503])
async def test_a_refusal_that_stays_is_told(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setattr(sender, "PAUSE_SECONDS", 0.001)
    with pytest.raises(NotTaken, match=str(status)):
        await Receiver(lambda _: status).take(RECORDS)


def scrape(pending: int, lag: int, sent: int) -> str:
    return (
        "# TYPE outbox_pending gauge\n"
        f'outbox_pending{{service="a"}} {pending}\noutbox_pending{{service="b"}} 0\n'
        "# TYPE consumer_lag_records gauge\n"
        f'consumer_lag_records{{group="a"}} {lag}\n'
        "# TYPE outbox_events_sent counter\n"
        f'outbox_events_sent_total{{service="a"}} {sent}\n'
    )


async def scrapes_until_quiet(*texts: str) -> int:
    """How many of these scrapes, of which the last repeats, it takes."""
    taken = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal taken
        taken += 1
        return httpx.Response(200, text=texts[min(taken, len(texts)) - 1])

    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, base_url="http://demo.test") as client:
        await until_quiet(client, deadline=1.0)
    return taken


async def test_it_is_quiet_when_two_scrapes_show_that_nothing_waits_and_nothing_moved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quiet, "POLL_SECONDS", 0.001)
    still = scrape(0, 0, 7)
    assert await scrapes_until_quiet(still) == 2
    assert await scrapes_until_quiet(scrape(1, 0, 6), still) == 3
    assert await scrapes_until_quiet(scrape(0, 2, 7), still) == 3
    assert await scrapes_until_quiet(scrape(0, 0, 5), scrape(0, 0, 6), still) == 4


async def test_what_never_gets_quiet_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "POLL_SECONDS", 0.001)
    with pytest.raises(StillBusy, match="'consumer_lag_records': 3"):
        await scrapes_until_quiet(scrape(0, 3, 7))


def test_the_stream_ends_in_the_hour_before_the_first_run_and_stays_there(tmp_path: Path) -> None:
    now, lasts = datetime(2026, 11, 21, 15, 42, 7, tzinfo=UTC), timedelta(weeks=12)
    first = begun(tmp_path, now, lasts)
    assert first.anchor + lasts == datetime(2026, 11, 21, 15, tzinfo=UTC)
    assert begun(tmp_path, now + timedelta(days=3), lasts) == first
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_the_choice_is_remembered(tmp_path: Path) -> None:
    chosen = noted(tmp_path, Progress(ANCHOR, "cnd_1"))
    assert begun(tmp_path, datetime.now(UTC), timedelta(weeks=12)) == chosen


@pytest.mark.parametrize(
    ("month", "quarter"), [(1, "2026Q1"), (3, "2026Q1"), (4, "2026Q2"), (12, "2026Q4")]
)
def test_the_quarter_is_the_calendars(month: int, quarter: str) -> None:
    assert quarter_of(datetime(2026, month, 15, tzinfo=UTC)) == quarter


def test_a_station_that_was_not_reached_is_named() -> None:
    reached = {
        "signals": 5,
        "top_candidate": {
            "raised_by": "service:roadmap",
            "reasons": ["5 occurrences"],
            "state": "accepted",
        },
        "item": {"delivered_at": "2026-10-24T14:00:00Z"},
        "outcome": {"verdict": "verified"},
    }
    assert not_reached(reached) == []
    by_hand = {**reached["top_candidate"], "raised_by": "ann"}
    assert not_reached({**reached, "top_candidate": by_hand}) == [
        "a candidate was raised by the system"
    ]
    assert not_reached({**reached, "outcome": {"verdict": None}}) == ["the outcome has a verdict"]
