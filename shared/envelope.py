"""The envelope around every event: CloudEvents 1.0 in binary mode (`ce_*` headers, JSON data)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from shared.clock import parse_rfc3339, rfc3339
from shared.contracts import EVENTS, Contract


@dataclass(frozen=True, slots=True)
class Record:
    """What a bus carries. Records of one key stay in order; those of different keys need not."""

    topic: str
    key: str
    headers: Mapping[str, str]
    value: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `time` is event time; `version` counts the aggregate's changes."""

    id: str
    source: str
    subject: str
    time: datetime
    version: int
    correlation_id: str
    causation_id: str | None
    traceparent: str | None
    data: Contract

    @property
    def type(self) -> str:
        return self.data.TYPE


class UnreadableEvent(Exception):
    """These bytes are not an event that this code knows how to read; says which part is not."""


def encode(event: Event) -> Record:
    """The event as a record of its contract's topic, keyed by its subject."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event.id,
        "ce_type": event.type,
        "ce_source": event.source,
        "ce_subject": event.subject,
        "ce_time": rfc3339(event.time),
        "ce_aggregateversion": str(event.version),
        "ce_correlationid": event.correlation_id,
        "content-type": "application/json",
    }
    if event.causation_id:
        headers["ce_causationid"] = event.causation_id
    if event.traceparent:
        headers["ce_traceparent"] = event.traceparent
    return Record(event.data.TOPIC, event.subject, headers, event.data.model_dump_json().encode())


LONGEST_HEADER = 512
"""Characters; ids and subjects become keys of tables."""

NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""A NUL character inside a JSON string: PostgreSQL can't keep it, so no handler could ever take it."""


def decode(record: Record) -> Event:
    """The inverse of `encode`. Raises UnreadableEvent, and nothing else, on anything foreign."""
    headers = record.headers
    try:
        contract = EVENTS[headers["ce_type"]]
        if b"\\u0000" in record.value and NUL.search(record.value):
            raise UnreadableEvent("the data holds a NUL character; send it without")
        return Event(
            id=_text(headers, "ce_id"),
            source=_text(headers, "ce_source"),
            subject=_text(headers, "ce_subject"),
            time=parse_rfc3339(headers["ce_time"]),
            version=_version(headers["ce_aggregateversion"]),
            correlation_id=_text(headers, "ce_correlationid"),
            causation_id=_text(headers, "ce_causationid") if "ce_causationid" in headers else None,
            traceparent=_text(headers, "ce_traceparent") if "ce_traceparent" in headers else None,
            data=contract.model_validate_json(record.value),
        )
    except KeyError as missing:
        raise UnreadableEvent(f"no header or no known event type {missing}") from missing
    except ValidationError as wrong:
        raise UnreadableEvent(f"the data breaks its contract: {_said(wrong)}") from wrong
    except (ValueError, OverflowError) as wrong:
        raise UnreadableEvent(f"a header can't be read: {wrong}") from wrong


def _text(headers: Mapping[str, str], name: str) -> str:
    text = headers[name]
    if not 0 < len(text) <= LONGEST_HEADER:
        raise ValueError(f"{name} has {len(text)} characters, not 1 to {LONGEST_HEADER}")
    if "\x00" in text:
        raise ValueError(f"{name} holds a NUL character")
    text.encode()  # a lone surrogate raises
    return text


def _version(text: str) -> int:
    version = int(text)
    if not 0 <= version < 2**63:
        raise ValueError(f"{version} is no version")
    return version


def _said(wrong: ValidationError) -> str:
    """Which fields are wrong, and how, without what they hold."""
    errors = wrong.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'all'}: {e['msg']}" for e in errors[:10])
