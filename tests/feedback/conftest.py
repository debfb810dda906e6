"""A feedback service over a fresh database, and events as the other services publish them."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from services.feedback.app import MIGRATIONS, create_app
from services.feedback.consumers import take_incidents, take_roadmap
from services.feedback.worker import review
from shared.contracts import Contract, incidents, roadmap
from shared.database import Database
from shared.envelope import Event
from shared.ids import new_id
from shared.outbox import outbox
from tests.conftest import MakeDatabase, MovingClock, client_of, signed_in

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
"""A Monday; tests count days and hours from here."""


def day(days: float) -> datetime:
    return START + timedelta(days=days)


def event(data: Contract, subject: str, version: int, at: datetime) -> Event:
    return Event(
        id=new_id("evt"),
        source="/groundswell/elsewhere",
        subject=subject,
        time=at,
        version=version,
        correlation_id=f"cor_{subject}",
        causation_id=None,
        traceparent=None,
        data=data,
    )


def opened(incident_id: str, at: datetime, **said: Any) -> Event:
    """An incident of one usual theme, unless told otherwise."""
    known: dict[str, Any] = {
        "source": "test",
        "title": "Checkout answers slowly",
        "alert_name": "SlowCheckout",
        "service": "payments",
        "product": "Checkout",
        "severity": "medium",
    }
    data = incidents.IncidentOpened(incident_id=incident_id, at=at, **{**known, **said})
    return event(data, incident_id, 1, at)


def of_incident(
    contract: type[Contract], incident_id: str, version: int, at: datetime, **said: Any
) -> Event:
    return event(contract(incident_id=incident_id, at=at, **said), incident_id, version, at)


def resolved(incident_id: str, version: int, at: datetime, opened_at: datetime) -> Event:
    return of_incident(incidents.IncidentResolved, incident_id, version, at, opened_at=opened_at)


def reassigned(
    incident_id: str, version: int, at: datetime, service: str, product: str = "Checkout"
) -> Event:
    said = {"service": service, "product": product, "tier": 3}
    was = {"was_service": "payments", "was_product": "Checkout"}
    return of_incident(incidents.IncidentServiceAssigned, incident_id, version, at, **said, **was)


def redated(
    incident_id: str, version: int, at: datetime, was: datetime, silenced_by: str | None = None
) -> Event:
    said = {"was_opened_at": was, "silenced_by": silenced_by}
    return of_incident(incidents.IncidentRedated, incident_id, version, at, **said)


def recurring(count: int, first: float = 0.0, prefix: str = "inc", **said: Any) -> list[Event]:
    """One incident a day: enough of them make the theme rise under the default policy."""
    return [opened(f"{prefix}_{n}", day(first + n), **said) for n in range(count)]


def candidate(
    contract: type[Contract], theme_id: str, version: int, at: datetime, **said: Any
) -> Event:
    known = {"candidate_id": "cnd_1", "theme_id": theme_id, "at": at}
    data = contract(**known, title="Checkout answers slowly", product="Checkout", **said)
    return event(data, "cnd_1", version, at)


def item(
    contract: type[Contract], theme_ids: Sequence[str], version: int, at: datetime, **said: Any
) -> Event:
    known: dict[str, Any] = {
        "item_id": "itm_1",
        "at": at,
        "title": "Faster checkout",
        "product": "Checkout",
        "state": "planned",
        "horizon": "now",
        "quarter": "2026Q2",
        "theme_ids": list(theme_ids),
    }
    data = contract(**{**known, **said})
    return event(data, str(data.model_dump()["item_id"]), version, at)


def delivered(theme_ids: Sequence[str], at: datetime, version: int = 3, **said: Any) -> Event:
    known = {"state": "delivered", "expected_reduction": 0.5}
    return item(roadmap.ItemDelivered, theme_ids, version, at, **{**known, **said})


class Feedback:
    """The service as others meet it: events go in, answers and outbox rows come out."""

    def __init__(self, db: Database, client: httpx.AsyncClient, clock: MovingClock) -> None:
        self.db = db
        self.client = client
        self.clock = clock

    async def hear(self, *events: Event) -> None:
        """One batch of incident events."""
        async with self.db.begin() as conn:
            await take_incidents(conn, events, self.clock)

    async def hear_roadmap(self, *events: Event) -> None:
        async with self.db.begin() as conn:
            await take_roadmap(conn, events, self.clock)

    async def review(self, before: datetime | None = None) -> datetime | None:
        """One look of the worker's timer; `before` is what the look before it returned."""
        return await review(self.db, self.clock, before)

    async def settle(self) -> None:
        """What it does once nothing comes in any more."""
        await self.review(await self.review())

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, **body: Any) -> Any:
        answer = await self.client.post(path, json=body)
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()

    async def themes(self, **params: Any) -> list[Any]:
        return (await self.get("/v1/themes", **params))["items"]

    async def the_theme(self) -> Any:
        """The only live theme there is, in full."""
        (theme,) = await self.themes()
        return await self.get(f"/v1/themes/{theme['id']}")

    async def the_theme_of(self, service: str) -> Any:
        """The only live theme of this service, in full."""
        (theme,) = await self.themes(service=service)
        return await self.get(f"/v1/themes/{theme['id']}")

    async def rows(self) -> list[Any]:
        async with self.db.read() as conn:
            return list((await conn.execute(select(outbox).order_by(outbox.c.seq))).all())

    async def said(self) -> list[tuple[str, dict[str, Any]]]:
        """What was published so far: (short type, payload)."""
        return [
            (
                row.headers["ce_type"].removeprefix("groundswell.").removesuffix(".v1"),
                _loads(row.value),
            )
            for row in await self.rows()
        ]

    async def types(self) -> list[str]:
        return [type_ for type_, _ in await self.said()]


def _loads(value: bytes) -> dict[str, Any]:
    import json

    return json.loads(value)


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database("feedback", MIGRATIONS)


@pytest.fixture
async def feedback(db: Database, clock: MovingClock) -> AsyncIterator[Feedback]:
    async with client_of(signed_in(create_app(db, clock))) as client:
        yield Feedback(db, client, clock)
