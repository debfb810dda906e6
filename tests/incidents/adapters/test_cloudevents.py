"""CloudEvents over HTTP; the `cloudevents` package writes what is read here, in all its modes."""

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from services.incidents.signals.adapters.cloudevents import parse
from services.incidents.signals.adapters.cloudevents_event import WrongMediaType
from services.incidents.signals.signal import BadBody, Signal
from tests.incidents.adapters.spoiled import NOW, check, document, recorded, spoiled

STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AT = datetime(2026, 11, 21, 13, 58, 42, 315_000, tzinfo=UTC)


def structured(**more: object) -> Signal:
    body = json.dumps(document("cloudevents_structured") | more).encode()
    (signal,) = parse(body, NOW, STRUCTURED)
    return signal


def event(data: Any = None, **attributes: Any) -> CloudEvent:
    needed = {"specversion": "1.0", "id": "1", "source": "/probes/2", "type": "disk.full"}
    return CloudEvent(attributes=needed | attributes, data=data)


def received(message: HTTPMessage) -> list[Signal]:
    headers = {name.lower(): value for name, value in message.headers.items()}
    return parse(message.body, NOW, headers)


def binary(body: bytes = b"", **headers: str) -> list[Signal]:
    stated = {"specversion": "1.0", "id": "1", "source": "/probes/2", "type": "disk.full"}
    named = {f"ce-{name}": value for name, value in stated.items()}
    return parse(body, NOW, named | {name.replace("_", "-"): v for name, v in headers.items()})


def test_the_data_of_an_event_may_hold_our_own_fields() -> None:
    signal = structured()
    assert (signal.source, signal.status) == ("cloudevents", "firing")
    assert (signal.starts_at, signal.ends_at) == (AT, None)
    assert (signal.title, signal.severity) == ("The disk of orders-db-1 is full", "critical")
    assert (signal.service, signal.customers_affected) == ("orders-db", 412)
    assert signal.labels == {"host": "orders-db-1", "team": "orders"}
    assert signal.url == "https://monitor.lantern.example/checks/disk"
    assert signal.annotations == {
        "customers_affected": "412",
        "event_id": "b7c1a1a2-0a2c-4a38-9a8e-51c6b6a6a9b4",
        "event_type": "example.lantern.disk.full.opened",
        "event_source": "/lantern/probes/2",
        "event_subject": "orders-db-1",
        "free.bytes": "120",
        "free.percent": "0.1",
    }


def test_a_batch_is_its_events_in_their_order_and_may_be_empty() -> None:
    firing, ended = parse(recorded("cloudevents_batch"), NOW, BATCH)
    assert firing == structured()
    assert (ended.fingerprint, ended.status) == (firing.fingerprint, "resolved")
    assert (ended.starts_at, ended.ends_at) == (datetime(2026, 11, 21, 14, 1, tzinfo=UTC),) * 2
    assert parse(b"[]", NOW, BATCH) == []


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
printable = texts.filter(lambda text: bool(text.strip()))


@given(
    source=printable,
    subject=printable,
    at=st.integers(10**15, 10**15 + 10**14).map(lambda us: EPOCH + timedelta(microseconds=us)),
    title=printable,
    labels=st.dictionaries(printable, printable, max_size=3),
)
@settings(max_examples=150, deadline=None)
def test_one_event_says_the_same_in_every_mode(
    source: str, subject: str, at: datetime, title: str, labels: dict[str, str]
) -> None:
    sent = event(
        {"title": title, "labels": labels},
        source=source,
        subject=subject,
        time=at,
        datacontenttype="application/json",
    )
    in_binary, in_json = to_binary_event(sent), to_structured_event(sent)
    (signal,) = received(in_binary)
    assert received(in_json) == [signal]
    assert parse(b"[" + in_json.body + b"]", NOW, BATCH) == [signal]
    assert signal.starts_at == at
    assert signal.annotations["event_source"] == source
    assert signal.annotations["event_subject"] == subject
    check(signal)


def test_data_in_base64_is_read_as_its_content_type_says() -> None:
    stated = {"id": "1", "source": "/a", "type": "b", "specversion": "1.0"}
    raw = json.dumps({"title": "Écran"}).encode()
    for kind, title in (("application/json", "Écran"), ("text/plain", raw.decode()), (None, "b")):
        body = stated | {"data_base64": b64encode(raw).decode(), "datacontenttype": kind}
        (signal,) = parse(json.dumps(body).encode(), NOW, STRUCTURED)
        assert signal.title == title


def test_bytes_that_the_package_sends_are_taken_without_being_read() -> None:
    sent = event(b"\x00\xff", datacontenttype="application/octet-stream")
    for message in (to_binary_event(sent), to_structured_event(sent)):
        (signal,) = received(message)
        assert signal.title == "disk.full"


@pytest.mark.parametrize(
    ("body", "content_type", "title"),
    [
        (b'{"title":"Full"}', "application/json", "Full"),
        (b'{"title":"Full"}', "application/vnd.probe+json; charset=utf-8", "Full"),
        (b'{"title":"Full"}', "", "Full"),
        (b"Full\nVery", "text/plain", "Full"),
        (b"<full/>", "application/xml", "disk.full"),
        (b"", "application/json", "disk.full"),
        (b'"Full"', "application/json", "Full"),
        (b"null", "application/json", "disk.full"),
    ],
)
def test_the_body_in_binary_mode_is_the_data(body: bytes, content_type: str, title: str) -> None:
    (signal,) = binary(body, content_type=content_type)
    assert signal.title == title


@pytest.mark.parametrize(
    ("value", "subject"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%e2%82%ac", "€"),
        ("%25E2%2582%25AC", "%E2%82%AC"),
        ('"a \\"quoted\\" \\\\ %41"', 'a "quoted" \\ A'),
        ("€".encode().decode("latin-1"), "€"),
        ("100%", "100%"),
    ],
)
def test_a_header_is_unquoted_and_percent_decoded_once(value: str, subject: str) -> None:
    (signal,) = binary(ce_subject=value)
    assert signal.annotations["event_subject"] == subject


@pytest.mark.parametrize("value", ["%FF", "%C3%28", "%ED%A0%80", "\xff", "\u20ac"])
def test_a_header_that_is_not_utf_8_is_refused(value: str) -> None:
    with pytest.raises(BadBody, match="ce-subject: is not UTF-8"):
        binary(ce_subject=value)


@pytest.mark.parametrize(
    ("type_", "status"),
    [
        ("disk.full.resolved", "resolved"),
        ("disk.full.Closed", "resolved"),
        ("disk.full.recovered.v1", "resolved"),
        ("disk.full.ok", "resolved"),
        ("disk.full.ended", "resolved"),
        ("disk.full.opened.v2", "firing"),
        ("disk.full", "firing"),
        ("disk.closed.often", "firing"),
    ],
)
def test_the_last_word_of_the_type_says_whether_it_fires(type_: str, status: str) -> None:
    assert structured(type=type_).status == status


@pytest.mark.parametrize(
    ("stated", "status"),
    [
        ("resolved", "resolved"),
        ("OK", "resolved"),
        ("firing", "firing"),
        ("what", "resolved"),
        (7, "resolved"),
    ],
)
def test_the_data_s_status_comes_before_the_type_s(stated: object, status: str) -> None:
    assert structured(type="disk.full.closed", data={"status": stated}).status == status


def test_an_alert_is_known_by_source_type_and_subject_without_the_state() -> None:
    began = structured()
    for same in ("example.lantern.disk.full", "example.lantern.disk.full.closed.v1"):
        assert structured(type=same).fingerprint == began.fingerprint
    others = ({"type": "example.lantern.disk.slow"}, {"source": "/b"}, {"subject": None})
    assert all(structured(**other).fingerprint != began.fingerprint for other in others)
    assert structured(data={"fingerprint": "disk/7"}).fingerprint == "disk/7"


def test_titles_are_looked_for_in_the_data_then_the_subject_then_the_type() -> None:
    titles = [
        structured(data={"summary": "S", "message": "M"}).title,
        structured(data={"title": " ", "message": "M\nmore"}).title,
        structured(data={}).title,
        structured(data={}, subject=None).title,
    ]
    assert titles == ["S", "M", "orders-db-1", "example.lantern.disk.full.opened"]


def test_the_data_may_say_when_it_began_and_ended() -> None:
    times = {"starts_at": "2026-11-21T13:00:00Z", "ends_at": 1795267800}
    ended = structured(data={"status": "resolved", **times})
    assert ended.starts_at == datetime(2026, 11, 21, 13, tzinfo=UTC)
    assert ended.ends_at == ended.starts_at + timedelta(minutes=30)
    assert structured(data=times).ends_at is None
    ended = structured(data={"status": "resolved", "ends_at": "2026-11-21T13:30:00Z"})
    assert ended.starts_at == ended.ends_at == datetime(2026, 11, 21, 13, 30, tzinfo=UTC)


def test_an_event_without_a_time_happened_when_it_was_received() -> None:
    assert structured(time=None).starts_at == NOW


@pytest.mark.parametrize(
    "media_type",
    [
        "application/cloudevents+xml",
        "application/cloudevents",
        "application/cloudevents-batch+avro",
        "application/cloudevents-batch",
    ],
)
def test_an_event_format_other_than_json_is_415(media_type: str) -> None:
    with pytest.raises(
        WrongMediaType, match=r"send application/cloudevents(-batch)?\+json"
    ) as refusal:
        parse(b"[]", NOW, {"content-type": media_type})
    assert refusal.value.status == 415


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"source": ""}, "source"),
        ({"id": ""}, "id"),
        ({"type": ""}, "type"),
        ({"time": "yesterday"}, "time"),
        ({"data_base64": "%"}, "data_base64"),
        ({"data_base64": "é"}, "data_base64"),
        ({"id": 7}, "id"),
    ],
)
def test_a_bad_event_names_the_field_of_any_mode(change: dict[str, Any], field: str) -> None:
    body = json.dumps(document("cloudevents_structured") | change).encode()
    for raw, headers, prefix in ((body, STRUCTURED, ""), (b"[" + body + b"]", BATCH, "[0].")):
        with pytest.raises(BadBody) as refusal:
            parse(raw, NOW, headers)
        assert [error.field for error in refusal.value.errors] == [prefix + field]


def test_what_is_missing_in_the_headers_is_told_at_once() -> None:
    with pytest.raises(BadBody) as refusal:
        parse(b"{}", NOW, {"content-type": "application/json", "ce-type": "a"})
    fields = [error.field for error in refusal.value.errors]
    assert fields == ["ce-specversion", "ce-id", "ce-source"]


def test_a_thousand_events_fit_and_one_more_does_not() -> None:
    one = recorded("cloudevents_structured")
    assert len(parse(b"[" + b",".join([one] * 1_000) + b"]", NOW, BATCH)) == 1_000
    with pytest.raises(BadBody, match="holds 1,001 alerts; send at most 1,000"):
        parse(b"[" + b",".join([one] * 1_001) + b"]", NOW, BATCH)


@given(
    spoiled("cloudevents_structured", "cloudevents_batch"),
    st.sampled_from([STRUCTURED, BATCH]),
    st.text(max_size=12),
)
@settings(max_examples=200, deadline=None)
def test_anything_is_signals_or_a_bad_body(
    body: bytes, headers: dict[str, str], value: str
) -> None:
    readings = (
        lambda: parse(body, NOW, headers),
        lambda: binary(body, content_type="application/json", ce_subject=value, ce_time=value),
    )
    for read in readings:
        try:
            signals = read()
        except BadBody:
            continue  # any other exception fails
        for signal in signals:
            check(signal)
