"""CloudEvents by their project's own packages for Python and node, unmodified, over real HTTP."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGKILL
from typing import Any

import httpx
import pytest

from tests.senders.cloudevents_clients import (
    PYTHON,
    Send,
    batch_by_python,
    by_node,
    installed,
)
from tests.senders.groundswell import Groundswell
from tests.senders.integrations import PER_MINUTE, Integration, integration, refused_for_now

PATH = "/ingest/cloudevents"
WAYS = [f"{language} {how}" for language in ("python", "node") for how in ("structured", "binary")]
WAIT_SECONDS = 2.0
"""How long a limited sender is refused."""

Json = Any


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("npm") / "node")


@pytest.fixture
def send(request: pytest.FixtureRequest) -> Send:
    """One of the packages in one of its modes."""
    language, how = request.param.split()
    return PYTHON[how] if language == "python" else by_node(request.getfixturevalue("node"), how)


def someone(system: Groundswell, **own: Any) -> Integration:
    """A sender nobody heard of before."""
    return integration(system, f"scanners-{uuid.uuid4().hex[:8]}", **own)


@pytest.fixture
def account(system: Groundswell) -> Integration:
    return someone(system, service="warehouse")


@pytest.fixture
def limited(system: Groundswell) -> Integration:
    return someone(system, signals_per_minute=PER_MINUTE)


@pytest.fixture
def url(system: Groundswell) -> str:
    return system.url + PATH


def event(word: str, at: datetime, subject: str = "shelf-1") -> Json:
    """What began, or ended, at that moment."""
    return {
        "id": str(uuid.uuid4()),
        "source": "/warehouse/oslo",
        "type": f"com.example.scanner.{word}",
        "subject": subject,
        "time": at.isoformat(timespec="milliseconds"),
        "data": {"title": f"The scanner of {subject} is lost", "severity": "error", "rack": 7},
    }


def ago(seconds: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=seconds)


@pytest.mark.parametrize("send", [*WAYS, "node emitter"], indirect=True)
def test_an_event_begins_is_repeated_and_ends(send: Send, account: Integration, url: str) -> None:
    began, over = ago(60), ago(10)
    first = event("opened", began)
    answer = send(url, account.key, first)
    assert (answer.status or 202, answer.refused, answer.body["accepted"]) == (202, 0, 1)
    [opened] = account.incidents()
    assert answer.body["signals"][0]["incident_id"] == opened["id"]
    assert opened["title"] == "The scanner of shelf-1 is lost"
    assert (opened["service"], opened["severity"]) == ("warehouse", "high")
    assert opened["state"] == "open"
    assert datetime.fromisoformat(opened["opened_at"]) == began
    [kept] = account.signals()
    assert kept["annotations"] == {
        "event_id": first["id"],
        "event_type": first["type"],
        "event_source": "/warehouse/oslo",
        "event_subject": "shelf-1",
        "rack": "7",
    }

    assert send(url, account.key, first).body["signals"][0]["status"] == "repeat"
    assert account.incidents() == [opened]
    assert [one["repeats"] for one in account.signals()] == [1]

    send(url, account.key, event("closed", over))
    [resolved] = account.incidents()
    assert (resolved["id"], resolved["state"]) == (opened["id"], "resolved")
    assert datetime.fromisoformat(resolved["resolved_at"]) == over

    send(url, account.key, event("opened", ago(0)))
    assert account.states() == ["open", "resolved"]


@pytest.mark.parametrize("send", WAYS, indirect=True)
def test_an_event_that_is_refused_for_now_is_sent_again_until_it_is_taken(
    system: Groundswell, send: Send, limited: Integration, url: str
) -> None:
    refused = refused_for_now(system, PATH)
    limited.overspend(WAIT_SECONDS)
    answer = send(url, limited.key, event("opened", ago(5)))
    assert (answer.status, answer.body["accepted"]) == (202, 1)
    assert answer.refused >= 1
    assert refused_for_now(system, PATH) == refused + answer.refused
    assert limited.states().count("open") == 1
    assert limited.signals()[0]["repeats"] == 0, "nothing is kept of what was refused"


def test_a_batch_is_taken_whole_and_an_empty_one_says_nothing(
    account: Integration, url: str
) -> None:
    shelves = [f"shelf-{number}" for number in range(40)]
    began = [event("opened", ago(60), shelf) for shelf in shelves]
    over = [event("closed", ago(5), shelf) for shelf in shelves]
    assert batch_by_python(url, account.key, began).body["accepted"] == len(shelves)
    assert account.states() == ["open"] * len(shelves)
    again = batch_by_python(url, account.key, began).body["signals"]
    assert {one["status"] for one in again} == {"repeat"}
    assert batch_by_python(url, account.key, over).status == 202
    assert account.states() == ["resolved"] * len(shelves)
    assert batch_by_python(url, account.key, []).body == {"accepted": 0, "signals": []}


def test_a_batch_that_is_refused_for_now_is_taken_whole_later(
    limited: Integration, url: str
) -> None:
    limited.overspend(WAIT_SECONDS)
    events = [event("opened", ago(5), f"shelf-{number}") for number in range(20)]
    answer = batch_by_python(url, limited.key, events)
    assert (answer.status, answer.body["accepted"]) == (202, len(events))
    assert answer.refused >= 1
    assert limited.states().count("open") == len(events)


def test_events_outlive_a_kill_and_those_without_an_answer_change_nothing_when_sent_again(
    system: Groundswell, account: Integration, url: str
) -> None:
    events = [event("opened", ago(30), f"shelf-{number:02}") for number in range(20)]
    taken: list[str] = []

    def send_all() -> None:
        for one in events:
            answer = PYTHON["structured"](url, account.key, one)
            taken.append(answer.body["signals"][0]["id"])
            if len(taken) == len(events) // 2:
                system.program.signal(SIGKILL)

    with ThreadPoolExecutor(1) as pool, pytest.raises(httpx.TransportError):
        pool.submit(send_all).result(60)
    assert len(taken) < len(events), "it was killed in the middle"
    system.program.stop(SIGKILL)
    system.program.start()
    assert set(taken) <= {one["id"] for one in account.signals()}
    for one in events:
        PYTHON["binary"](url, account.key, one)
    system.settle()
    assert account.states() == ["open"] * len(events)
    assert len(account.signals()) == len(events)


def test_a_sender_asks_whether_it_may_deliver_and_at_which_rate(url: str) -> None:
    asked = {"WebHook-Request-Origin": "events.example.com", "WebHook-Request-Rate": "120"}
    answer = httpx.options(url, headers=asked, trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["WebHook-Allowed-Origin"] == "events.example.com"
    assert answer.headers["WebHook-Allowed-Rate"] == "120"
    assert "POST" in answer.headers["Allow"]
    unasked = httpx.options(url, trust_env=False)
    assert "WebHook-Allowed-Origin" not in unasked.headers


@pytest.mark.parametrize("format", ["cloudevents+avro", "cloudevents-batch+xml"])
def test_another_format_than_json_is_refused(account: Integration, url: str, format: str) -> None:
    headers = {"Authorization": f"Bearer {account.key}", "Content-Type": f"application/{format}"}
    answer = httpx.post(url, content=b"{}", headers=headers, trust_env=False)
    assert answer.status_code == 415
    assert account.signals() == []


def test_an_attribute_beyond_ascii_arrives_as_it_was_meant(account: Integration, url: str) -> None:
    stated = event("opened", ago(5), "hylle-\u00f8 100 % \u2013 r\u00f8d")
    for send in PYTHON.values():
        send(url, account.key, stated)
    [kept] = account.signals()
    assert kept["annotations"]["event_subject"] == stated["subject"]
    assert kept["repeats"] == 1, "both modes say the same"
