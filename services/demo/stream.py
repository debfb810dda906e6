"""The demo's recorded stream: twelve weeks of a webshop's alerts, as Alertmanager told them.

Its webhook bodies came from a real Alertmanager; only their times are kept as minutes since the
stream's start, so that whoever sends them can date them into the weeks before today.
"""

import gzip
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from shared.clock import rfc3339

PATH = Path(__file__).with_name("stream.jsonl.gz")


class Offset(msgspec.Struct, frozen=True):
    """A moment, as minutes since the stream's start."""

    offset_minutes: float


class StreamAlert(msgspec.Struct, frozen=True):
    """One alert of a webhook body; `ends_at` is Alertmanager's year 1 while it fires."""

    status: str
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: Offset | str = msgspec.field(name="startsAt")
    ends_at: Offset | str = msgspec.field(name="endsAt")
    generator_url: str = msgspec.field(name="generatorURL")
    fingerprint: str


class Body(msgspec.Struct, frozen=True, rename="camel"):
    """A webhook body, in Alertmanager's own order of fields."""

    receiver: str
    status: str
    alerts: list[StreamAlert]
    group_labels: dict[str, str]
    common_labels: dict[str, str]
    common_annotations: dict[str, str]
    external_url: str = msgspec.field(name="externalURL")
    version: str
    group_key: str
    truncated_alerts: int


class Record(msgspec.Struct, frozen=True):
    """One webhook, and when it arrived: sometimes hours after what it tells, sometimes twice."""

    at_minutes: float
    body: Body


class StreamService(msgspec.Struct, frozen=True):
    """A service of the webshop, as its catalog lists it."""

    name: str
    product: str
    owner: str
    tier: int
    dependencies: list[str]


class Fix(msgspec.Struct, frozen=True):
    """A fix that was delivered while the stream ran, and the alert whose cause it took away."""

    alert_name: str
    service: str
    at_minutes: float


class Header(msgspec.Struct, frozen=True):
    """The stream's first line."""

    name: str
    weeks: int
    recorded_with: str
    services: list[StreamService]
    """Alerts of one further service come too: the catalog doesn't list it."""
    fixes: list[Fix]


class Stream(msgspec.Struct, frozen=True):
    """The recording: `records` in the order in which they arrived."""

    header: Header
    records: list[Record]

    @property
    def lasts(self) -> timedelta:
        """From the stream's start to its end: a stream that ends now is anchored so far back."""
        return timedelta(weeks=self.header.weeks)


_HEADER = msgspec.json.Decoder(Header)
_RECORD = msgspec.json.Decoder(Record)


def load(path: Path = PATH) -> Stream:
    """Reads a recording. Raises OSError or msgspec.DecodeError if it isn't one."""
    first, *lines = gzip.decompress(path.read_bytes()).splitlines()
    return Stream(_HEADER.decode(first), [_RECORD.decode(line) for line in lines])


def moment(offset_minutes: float, anchor: datetime) -> datetime:
    """When that minute of the stream is, if it started at `anchor`."""
    return anchor + timedelta(minutes=offset_minutes)


def redate(record: Record, anchor: datetime) -> bytes:
    """The webhook's body as Alertmanager sends it when the stream starts at `anchor` (aware)."""
    alerts = [
        msgspec.structs.replace(
            alert,
            starts_at=_dated(alert.starts_at, anchor),
            ends_at=_dated(alert.ends_at, anchor),
        )
        for alert in record.body.alerts
    ]
    return msgspec.json.encode(msgspec.structs.replace(record.body, alerts=alerts))


def _dated(time: Offset | str, anchor: datetime) -> str:
    return time if isinstance(time, str) else rfc3339(moment(time.offset_minutes, anchor))
