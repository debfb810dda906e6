"""Bodies of three senders that have no adapter of their own, and any JSON at all, by mappings."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.incidents.mappings.document import MappingDocument
from services.incidents.mappings.mapping import SenderMapping, mapping_of
from services.incidents.signals.adapters.generic import parse
from services.incidents.signals.signal import Acknowledgement, BadBody, FieldError, Said, Signal

BODIES = Path(__file__).parent / "bodies"
NOW = datetime(2026, 3, 21, 14, 3, 30, tzinfo=UTC)


def mapping(**document: Any) -> SenderMapping:
    return mapping_of("own", 1, MappingDocument.model_validate({"title": "$.t", **document}))


def recorded(sender: str) -> SenderMapping:
    text = (BODIES / f"generic_{sender}.mapping.json").read_text()
    return mapping_of(sender, 1, MappingDocument.model_validate_json(text))


def said(sender: str, body: str) -> list[Said]:
    return parse((BODIES / f"generic_{body}.json").read_bytes(), NOW, recorded(sender))


def one(body: object, **document: Any) -> Signal:
    (signal,) = parse(json.dumps(body).encode(), NOW, mapping(**document))
    assert isinstance(signal, Signal)
    return signal


def complaint(body: object, **document: Any) -> str:
    with pytest.raises(BadBody) as raised:
        parse(json.dumps(body).encode(), NOW, mapping(**document))
    return str(raised.value)


def test_an_uptime_checker_says_down() -> None:
    (signal,) = said("uptime", "uptime_down")
    assert signal == Signal(
        source="generic.uptime",
        fingerprint="88213",
        status="firing",
        starts_at=datetime(2026, 3, 20, 10, 1, tzinfo=UTC),
        ends_at=None,
        expires_at=None,
        title="Checkout API",
        alert_name="uptime",
        description="HTTP 503: upstream connect error or disconnect/reset before headers",
        service="checkout",
        severity="high",
        customers_affected=None,
        labels={"location": "fra-2", "code": "503", "team": "payments"},
        annotations={},
        url="https://status.uptime.example/r/88213",
    )


def test_an_end_without_a_start_ends_all_that_fires_of_its_alert() -> None:
    (down,), (up,) = said("uptime", "uptime_down"), said("uptime", "uptime_up")
    assert isinstance(up, Signal)
    assert up.fingerprint == down.fingerprint
    assert up.status == "resolved"
    assert up.starts_at == up.ends_at == datetime(2026, 3, 20, 10, 12, tzinfo=UTC)


def test_a_ci_system_tells_only_of_the_jobs_that_failed() -> None:
    found = said("ci", "ci_failed")
    assert [(s.title, s.severity, s.service) for s in found if isinstance(s, Signal)] == [
        ("migrate", "high", "orders"),
        ("deploy", "medium", "orders"),
    ]
    first, second = found
    assert isinstance(first, Signal)
    assert first.labels == {"project": "shop/orders", "branch": "main"}
    assert first.starts_at == datetime(2026, 3, 20, 10, 0, 41, tzinfo=UTC)
    assert first.fingerprint != second.fingerprint


def test_a_batch_scheduler_tells_of_all_its_jobs_in_one_list() -> None:
    late, seen, over = said("batch", "batch_report")
    assert isinstance(late, Signal)
    assert isinstance(over, Signal)
    assert (late.severity, late.service) == ("critical", "settlement")
    assert late.labels == {"app": "settlement", "calendar": "EU", "attempt": "1", "rerun": "false"}
    assert late.starts_at == datetime(2026, 3, 21, 2, 30, tzinfo=UTC)
    assert seen == Acknowledgement(
        source="generic.batch",
        fingerprint="ARCHIVE_INVOICES",
        by="j.doe",
        at=datetime(2026, 3, 21, 2, 29, 10, tzinfo=UTC),
    )
    assert (over.status, over.ends_at) == ("resolved", datetime(2026, 3, 21, 2, 28, tzinfo=UTC))


@pytest.mark.parametrize("sender", ["uptime_down", "ci_failed"])
def test_a_redelivery_is_the_same_occurrence(sender: str) -> None:
    document = recorded(sender.split("_")[0])
    body = (BODIES / f"generic_{sender}.json").read_bytes()
    assert parse(body, NOW, document) == parse(body, NOW, document)


def test_repeats_without_a_fingerprint_are_told_apart_as_in_our_own_format() -> None:
    first, second = one({"t": "41 orders stuck"}), one({"t": "8 orders stuck"})
    assert first.fingerprint == second.fingerprint != one({"t": "Disk full"}).fingerprint


@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        ("2026-03-20T10:00:00+01:00", datetime(2026, 3, 20, 9, tzinfo=UTC)),
        (1774000860, datetime(2026, 3, 20, 10, 1, tzinfo=UTC)),
        (1774000860.5, datetime(2026, 3, 20, 10, 1, 0, 500_000, tzinfo=UTC)),
        (1774000860500, datetime(2026, 3, 20, 10, 1, 0, 500_000, tzinfo=UTC)),
        ("1774000860", datetime(2026, 3, 20, 10, 1, tzinfo=UTC)),
        (1774000860500000000, datetime(2026, 3, 20, 10, 1, 0, 500_000, tzinfo=UTC)),
        (None, NOW),
        ("", NOW),
        (0, NOW),
    ],
)
def test_a_time_is_taken_in_every_usual_way(stated: object, meant: datetime) -> None:
    signal = one({"t": "x", "at": stated}, starts_at="$.at")
    assert (signal.starts_at, signal.skewed) == (meant, False)


@pytest.mark.parametrize("stated", [-1e10, -99_999_999_999, 99_999_999_999, "0004-01-01T00:00:00Z"])
def test_an_impossible_time_is_replaced_and_noted(stated: object) -> None:
    signal = one({"t": "x", "at": stated}, starts_at="$.at")
    assert (signal.starts_at, signal.skewed) == (NOW, True)


def test_a_word_is_known_whatever_its_case_and_else_has_the_default() -> None:
    rule = {"path": "$.s", "values": {"Kaputt": "critical"}, "default": "low"}
    assert one({"t": "x", "s": "KAPUTT"}, severity=rule).severity == "critical"
    assert one({"t": "x", "s": "heil"}, severity=rule).severity == "low"
    assert one({"t": "x"}, severity=rule).severity == "low"


def test_a_severity_that_no_rule_names_is_looked_up_as_any_sender_s() -> None:
    assert one({"t": "x", "s": "P1"}, severity="$.s").severity == "critical"
    assert one({"t": "x"}, labels={"severity": {"const": "warning"}}).severity == "medium"


@pytest.mark.parametrize(
    ("body", "document", "wanted"),
    [
        ({"x": 1}, {}, "title: the rule $.t found nothing; every alert needs a title"),
        ({"t": "  "}, {}, "title: the rule $.t found nothing"),
        ({"t": ["a", "b"]}, {}, "title: the rule $.t found a list of 2; point it to a text"),
        (
            {"t": "x", "s": "odd"},
            {"status": "$.s"},
            "status: the rule $.s found 'odd'; put it into",
        ),
        ({"t": "x", "a": "soon"}, {"starts_at": "$.a"}, "starts_at: 'soon' is not an RFC 3339"),
        ({"t": "x", "l": [1]}, {"labels": "$.l"}, "labels: the rule $.l found a list of 1"),
        ({"t": "x"}, {"each": "$.alerts"}, "each: the rule $.alerts found nothing"),
        ({"a": [3]}, {"each": "$.a"}, "[0]: is a number, true or false, not an alert"),
        ("text", {}, "body: is the text 'text', not an alert"),
        ([{"t": "x"}] * 1001, {}, "body: holds 1,001 alerts"),
        ({"a": [{"t": "x"}] * 1001}, {"each": "$.a[*]"}, "body: holds 1,001 alerts"),
    ],
)
def test_what_a_rule_can_t_use_is_named(
    body: object, document: dict[str, Any], wanted: str
) -> None:
    assert wanted in complaint(body, **document)


def test_all_alerts_of_a_body_are_complained_of_at_once() -> None:
    text = complaint([{"t": "fine"}, {}, {"t": {}}])
    assert "[1].title: " in text
    assert "[2].title: the rule $.t found an object" in text


@pytest.mark.parametrize("body", [[], {"a": []}])
def test_nothing_to_tell_is_no_error(body: object) -> None:
    each = "$.a" if isinstance(body, dict) else None
    assert parse(json.dumps(body).encode(), NOW, mapping(each=each)) == []


def test_long_texts_are_cut_and_a_long_fingerprint_is_shortened_without_loss() -> None:
    long = "ä" * 9_000
    fields = dict.fromkeys(("alert_name", "service", "fingerprint", "description"), "$.t")
    signal = one({"t": long}, **fields, labels={"l": "$.t"})
    assert len(signal.title) == 512
    assert len(signal.fingerprint) == 64
    assert len(signal.labels["l"].encode()) <= 4_096
    assert len(signal.description.encode()) <= 16_384
    assert signal.fingerprint != one({"t": long + "x"}, **fields).fingerprint


FILTER = "$.tags[?@.k == 'no' && @.v != null].v"


def test_a_body_made_to_take_long_is_refused_soon() -> None:
    rules = {f"l{i}": FILTER for i in range(64)}
    body = {"t": "x", "tags": [{"k": "a"}] * 40_000}
    began = time.process_time()
    assert "look at more than" in complaint(body, labels=rules)
    assert time.process_time() - began < 2


def test_the_most_alerts_with_the_most_labels_are_read_in_bounded_time() -> None:
    document = mapping(labels={f"l{i}": "$.a.b.c[0]" for i in range(64)}, each="$.all")
    body = json.dumps({"all": [{"t": "x", "a": {"b": {"c": [i]}}} for i in range(1000)]}).encode()
    began = time.process_time()
    assert len(parse(body, NOW, document)) == 1000
    assert time.process_time() - began < 4


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["firing", "2026-03-20T10:00:00Z", "\x00", "\ud800", "P1", "http://x"])
    | st.text(max_size=8)
)
KEYS = st.sampled_from(["a", "b", "t", "s"])
ANY_JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
)
PLAIN = ["$", "$.t", "$.s", "$.a.b", "$[0]", "$[-1].t"]
WIDE = ["$[*]", "$.a[*].t", "$.*", "$[?@.b]", "$[0:2].a", "$['a', 't']", "$[?!@.t || @.s > 1]"]
PATHS = st.sampled_from([*PLAIN, *WIDE, "$.a[?@.t == 's'].s"])
RULES = PATHS | st.builds(lambda path: {"path": path, "of": "body", "default": "firing"}, PATHS)
NAMES = ("fingerprint", "service", "starts_at", "ends_at", "alert_name", "description", "url")
MAPPINGS = st.fixed_dictionaries(
    {"title": RULES},
    optional={
        **dict.fromkeys(NAMES, RULES),
        "each": PATHS,
        "status": st.just({"path": "$.s", "default": "resolved"}) | PATHS,
        "severity": PATHS,
        "acknowledged_at": PATHS,
        "labels": PATHS | st.dictionaries(KEYS, RULES, max_size=3),
    },
)


def outcome_of(body: object, reader: SenderMapping) -> tuple[list[Said], tuple[FieldError, ...]]:
    """What the body says, or what is wrong with it; any other exception fails."""
    try:
        return parse(json.dumps(body).encode(), NOW, reader), ()
    except BadBody as error:
        return [], error.errors


@settings(max_examples=300, deadline=1000, suppress_health_check=[HealthCheck.too_slow])
@given(ANY_JSON, MAPPINGS)
def test_any_body_by_any_mapping_is_signals_or_an_error(
    body: object, document: dict[str, Any]
) -> None:
    reader = mapping_of("own", 1, MappingDocument.model_validate(document))
    found, wrong = outcome_of(body, reader)
    assert all(one.field and one.message for one in wrong)
    for signal in found:
        assert signal.source == "generic.own"
        assert 0 < len(signal.fingerprint) <= 256
        if isinstance(signal, Signal):
            assert signal.title.strip()
            assert (signal.ends_at is None) == (signal.status == "firing")
            assert signal.ends_at is None or signal.starts_at <= signal.ends_at
            assert b"\\u0000" not in msgspec.json.encode(signal)


@settings(max_examples=100, deadline=1000)
@given(st.binary(max_size=40))
def test_no_bytes_but_json_are_taken(body: bytes) -> None:
    try:
        json.loads(body)
    except ValueError:
        with pytest.raises(BadBody):
            parse(body, NOW, mapping())
