"""An incident shows its theme and the roadmap item that deals with it, as other services say."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from services.incidents.incidents.consumers import SUBSCRIPTION, handle
from shared.contracts import Contract
from shared.contracts.feedback import EvidenceRecorded, ThemeMerged
from shared.contracts.roadmap import ItemCancelled, ItemChanged, ItemDelivered, ItemPlanned
from shared.database import Database
from shared.envelope import Event
from shared.ids import new_id

AT = datetime(2026, 11, 2, tzinfo=UTC)


def event(data: Contract, version: int = 1) -> Event:
    return Event(new_id("evt"), "/groundswell/test", "s", AT, version, "c", None, None, data)


def recorded(theme_id: str, *incident_ids: str) -> Event:
    about: dict[str, Any] = {"product": "p", "service": "s", "title": "t", "at": AT}
    return event(EvidenceRecorded(theme_id=theme_id, incident_ids=list(incident_ids), **about))


def merged(theme_id: str, into: str) -> Event:
    about: dict[str, Any] = {"product": "p", "service": "s", "title": "t", "at": AT}
    return event(ThemeMerged(theme_id=theme_id, into_theme_id=into, by="ada", reason="", **about))


def item(cls: type[Any], version: int = 1, **more: Any) -> Event:
    about: dict[str, Any] = {
        "item_id": "itm_1",
        "at": AT,
        "title": "Bigger disks",
        "product": "p",
        "state": "planned",
        "horizon": "next",
        "quarter": "2026Q4",
        "theme_ids": ["thm_1"],
        **more,
    }
    return event(cls(**about), version)


@pytest.fixture
async def incident_id(client: httpx.AsyncClient) -> str:
    answer = await client.post("/v1/incidents", json={"title": "Disk full", "severity": "low"})
    return answer.json()["id"]


async def heard(db: Database, *events: Event) -> None:
    async with db.begin() as conn:
        await handle(conn, events)


async def shown(client: httpx.AsyncClient, incident_id: str) -> dict[str, Any]:
    return (await client.get(f"/v1/incidents/{incident_id}")).json()


async def test_an_incident_shows_the_item_of_its_theme(
    client: httpx.AsyncClient, db: Database, incident_id: str
) -> None:
    assert (await shown(client, incident_id))["theme_id"] is None
    await heard(db, recorded("thm_1", incident_id), item(ItemPlanned))
    incident = await shown(client, incident_id)
    assert incident["theme_id"] == "thm_1"
    assert incident["item"] == {
        "item_id": "itm_1",
        "title": "Bigger disks",
        "state": "planned",
        "horizon": "next",
        "quarter": "2026Q4",
        "delivered_at": None,
    }


async def test_an_older_event_of_an_item_changes_nothing(
    client: httpx.AsyncClient, db: Database, incident_id: str
) -> None:
    delivered = item(ItemDelivered, 4, state="delivered", expected_reduction=0.5)
    await heard(db, recorded("thm_1", incident_id), delivered, item(ItemPlanned, 1))
    shown_item = (await shown(client, incident_id))["item"]
    assert (shown_item["state"], shown_item["delivered_at"]) == (
        "delivered",
        "2026-11-02T00:00:00Z",
    )
    await heard(db, item(ItemChanged, 5, state="delivered", title="Disks"))
    shown_item = (await shown(client, incident_id))["item"]
    assert (shown_item["title"], shown_item["delivered_at"]) == ("Disks", "2026-11-02T00:00:00Z")


async def test_a_cancelled_item_deals_with_nothing(
    client: httpx.AsyncClient, db: Database, incident_id: str
) -> None:
    cancelled = item(ItemCancelled, 2, state="cancelled", reason="no budget")
    await heard(db, recorded("thm_1", incident_id), item(ItemPlanned), cancelled)
    assert (await shown(client, incident_id))["item"] is None


async def test_a_merge_takes_incidents_and_items_along_whenever_it_is_heard(
    client: httpx.AsyncClient, db: Database, incident_id: str
) -> None:
    events = [recorded("thm_1", incident_id), item(ItemPlanned), merged("thm_1", "thm_2")]
    await heard(db, *events)
    first = await shown(client, incident_id)
    await heard(db, merged("thm_1", "thm_2"), item(ItemChanged, 2), merged("thm_2", "thm_3"))
    second = await shown(client, incident_id)
    assert (first["theme_id"], first["item"]["item_id"]) == ("thm_2", "itm_1")
    assert (second["theme_id"], second["item"]["item_id"]) == ("thm_3", "itm_1")


async def test_the_newest_word_about_a_theme_counts_whatever_comes_last(
    client: httpx.AsyncClient, db: Database, incident_id: str
) -> None:
    older, newer = recorded("thm_1", incident_id), recorded("thm_2", incident_id)
    await heard(db, newer, older)
    assert (await shown(client, incident_id))["theme_id"] == "thm_2"
    assert older.type in SUBSCRIPTION.types
