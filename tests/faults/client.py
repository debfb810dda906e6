"""A sender that logs all it does: posts signals, reads them back, scrapes the metrics.

It works over any httpx client: one of an app in this process, or one of a real address, which
carries the key. Every wait is bounded.
"""

import asyncio
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import httpx
from prometheus_client.parser import text_string_to_metric_families

from shared.clock import rfc3339, utc_now
from tests.faults.history import History, Op, Type

Format = Literal["native", "alertmanager"]

ADDRESS: Mapping[Format, str] = {"native": "/v1/signals", "alertmanager": "/ingest/alertmanager"}
SOURCE: Mapping[Format, str] = {"native": "faults", "alertmanager": "prometheus"}
"""The source under which each format's signals are stored."""

RETRIED: Mapping[Format, frozenset[int]] = {
    "native": frozenset({429, *range(500, 600)}),
    "alertmanager": frozenset(range(500, 600)),
}
"""On which answers the real senders of a format try again; all do when no answer came."""

YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)

SCRAPED = (
    "ingest_accepted_total",
    "signals_stored",
    "outbox_pending",
    "outbox_events_sent_total",
    "consumer_lag_records",
    "consumer_events_total",
    "inbox_duplicates_total",
    "dead_letters_total",
)


@dataclass(frozen=True, slots=True)
class Stated:
    """A signal to send. `id` is its fingerprint: one alert of its own, which nobody else sends.

    The same `starts_at` at every attempt is what makes a second one a repeat. `pain` says which of
    the sender's signals belong to one theme: same service, alert name and title, same pain.
    """

    id: str
    starts_at: datetime
    ends_at: datetime | None = None
    """Set: it says that the alert is resolved."""
    service: str = "payments"
    alert_name: str = "SlowCheckout"
    title: str = "Checkout answers slowly"
    severity: str = "high"
    pain: str | None = None

    @property
    def op(self) -> Op:
        return "fire" if self.ends_at is None else "resolve"


def new_signal(pain: str = "checkout", **stated: Any) -> Stated:
    """A signal nobody sent before, of one pain: its service and alert are named after it."""
    usual = {
        "starts_at": utc_now(),
        "service": f"{pain}-service",
        "alert_name": f"{pain}-alert",
        "title": f"Pain of {pain}",
    }
    return Stated(id=f"sig-{uuid.uuid4().hex}", pain=pain, **{**usual, **stated})


@dataclass(slots=True)
class Sender:
    """One client with its own history. Not for two tasks at once: use one each."""

    client: httpx.AsyncClient
    history: History
    format: Format = "native"
    timeout: float = 10.0
    attempts: int = 5
    pause: float = 0.2
    unsure: frozenset[str] = frozenset()
    """Problem types (the last part of `type`) of 4xx and 503 answers that refuse nothing definitely:
    a database that goes away in the middle of a commit may have kept it."""
    taken: dict[str, str] = field(default_factory=dict[str, str])
    """Of what was acknowledged: id → the id that it is stored under."""

    async def send(self, signals: Sequence[Stated], *, read_back: bool = True) -> bool:
        """Post these signals in one request, again and again as the format's sender does.

        True once they are acknowledged; then they are read back, unless told otherwise.
        """
        for attempt in range(self.attempts):
            if attempt:
                await asyncio.sleep(self.pause)
            status = await self.post(signals)
            if status is not None and 200 <= status < 300:
                if read_back:
                    for one in signals:
                        await self.read_back(one.id)
                return True
            if status is not None and status not in RETRIED[self.format]:
                return False
        return False

    async def post(self, signals: Sequence[Stated]) -> int | None:
        """One attempt. The status of the answer, or None when none came."""
        for one in signals:
            self.history.write(one.id, one.op, "invoke", pain=one.pain)
        type_: Type = "info"
        detail: dict[str, Any] = {"error": "cancelled"}
        stored: list[str] = []
        try:
            async with asyncio.timeout(self.timeout):
                answer = await self.client.post(ADDRESS[self.format], json=_body(self, signals))
            type_, detail = self._judged(answer)
            if type_ == "ok":
                stored = [one["id"] for one in answer.json()["signals"]]
        except (httpx.TransportError, TimeoutError, OSError) as error:
            detail = {"error": type(error).__name__}
        finally:
            for index, one in enumerate(signals):
                told = {"stored_id": stored[index]} if index < len(stored) else {}
                self.history.write(one.id, one.op, type_, pain=one.pain, **detail, **told)
                if told:
                    self.taken[one.id] = stored[index]
        return detail.get("status")

    def _judged(self, answer: httpx.Response) -> tuple[Type, dict[str, Any]]:
        detail: dict[str, Any] = {"status": answer.status_code}
        if answer.is_success:
            return "ok", detail
        detail["problem"] = _problem(answer)
        refused = 400 <= answer.status_code < 500 or answer.status_code == 503
        return ("fail" if refused and detail["problem"] not in self.unsure else "info"), detail

    async def read_back(self, id: str) -> int | None:
        """GET a signal that was acknowledged. The status of the answer, or None when none came."""
        return await self._get(id, "read", f"/v1/signals/{self.taken[id]}")

    async def scrape(self) -> None:
        """Log the metrics that say where signals and events are, summed over their labels."""
        await self._get("metrics", "scrape", "/metrics")

    async def _get(self, id: str, op: Op, path: str) -> int | None:
        self.history.write(id, op, "invoke")
        type_: Type = "info"
        detail: dict[str, Any] = {"error": "cancelled"}
        try:
            async with asyncio.timeout(self.timeout):
                answer = await self.client.get(path)
            type_ = "ok" if answer.is_success else "fail" if answer.is_client_error else "info"
            detail = {"status": answer.status_code}
            if op == "scrape" and answer.is_success:
                detail["metrics"] = totals(answer.text)
        except (httpx.TransportError, TimeoutError, OSError) as error:
            detail = {"error": type(error).__name__}
        finally:
            self.history.write(id, op, type_, **detail)
        return detail.get("status")


def totals(exposition: str) -> dict[str, float]:
    """Each metric of SCRAPED, summed over its labels; what was not exposed is absent."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name in SCRAPED:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def _problem(answer: httpx.Response) -> str | None:
    try:
        said = answer.json()
    except json.JSONDecodeError:
        return None
    return (
        str(said["type"]).rpartition(":")[2] if isinstance(said, dict) and "type" in said else None
    )


def _body(sender: Sender, signals: Sequence[Stated]) -> Any:
    if sender.format == "native":
        return [_native(one) for one in signals]
    return {
        "version": "4",
        "status": "firing",
        "receiver": "faults",
        "alerts": [_alert(one) for one in signals],
    }


def _native(one: Stated) -> dict[str, Any]:
    ended = {} if one.ends_at is None else {"status": "resolved", "ends_at": rfc3339(one.ends_at)}
    return {
        "source": SOURCE["native"],
        "fingerprint": one.id,
        "title": one.title,
        "alert_name": one.alert_name,
        "service": one.service,
        "severity": one.severity,
        "starts_at": rfc3339(one.starts_at),
        **ended,
    }


def _alert(one: Stated) -> dict[str, Any]:
    return {
        "status": "firing" if one.ends_at is None else "resolved",
        "fingerprint": one.id,
        "labels": {
            "alertname": one.alert_name,
            "service": one.service,
            "severity": one.severity,
        },
        "annotations": {"summary": one.title},
        "startsAt": rfc3339(one.starts_at),
        "endsAt": rfc3339(one.ends_at or YEAR_ONE),
    }
