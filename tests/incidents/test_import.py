"""Import of another tool's incidents: in bulk, whole or not at all, and safe to repeat."""

from typing import Any

import httpx
import pytest

from shared.database import Database
from tests.incidents.conftest import published

OPENED = "2026-03-01T10:00:00Z"


def record(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "source": "servicenow",
        "external_ref": f"INC{number}",
        "title": "Mail is late",
        "opened_at": OPENED,
        "service": "mail",
        "severity": "medium",
        "labels": {"category": "42"},
        "links": [{"kind": "problem", "reference": "PRB1"}],
        "history": [
            {"kind": "acknowledged", "at": "2026-03-01T10:05:00Z", "by": "ada"},
            {"kind": "severity_changed", "at": "2026-03-01T10:06:00Z", "severity": "high"},
            {"kind": "resolved", "at": "2026-03-01T12:00:00Z"},
        ],
        **more,
    }


async def imported(client: httpx.AsyncClient, *records: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post("/v1/incidents/import", json={"incidents": list(records)})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_imported_incident_has_its_whole_history_by_event_time(
    client: httpx.AsyncClient, db: Database
) -> None:
    answer = await imported(client, record())
    assert {**answer, "items": None} == {"items": None, "opened": 1, "resolved": 1, "reopened": 0}
    (item,) = answer["items"]
    assert (item["external_ref"], item["status"], item["skipped"]) == ("INC1", "created", 0)
    incident = (await client.get(f"/v1/incidents/{item['incident_id']}")).json()
    assert (incident["state"], incident["severity"]) == ("resolved", "high")
    assert (incident["opened_at"], incident["resolved_at"]) == (OPENED, "2026-03-01T12:00:00Z")
    assert incident["links"] == [{"kind": "problem", "reference": "PRB1"}]
    assert await published(db) == [
        "incident.opened",
        "incident.acknowledged",
        "incident.severity_changed",
        "incident.resolved",
    ]


async def test_importing_again_changes_nothing(client: httpx.AsyncClient, db: Database) -> None:
    first = await imported(client, record(1), record(2))
    before = await published(db)
    again = await imported(client, record(1), record(2))
    assert [item["status"] for item in again["items"]] == ["unchanged", "unchanged"]
    assert [i["incident_id"] for i in again["items"]] == [i["incident_id"] for i in first["items"]]
    assert again["opened"] == again["resolved"] == 0
    assert await published(db) == before


async def test_a_longer_history_adds_only_what_is_new(
    client: httpx.AsyncClient, db: Database
) -> None:
    await imported(client, record())
    before = len(await published(db))
    more = [
        *record()["history"],
        {"kind": "reopened", "at": "2026-03-01T13:00:00Z"},
        {"kind": "commented", "at": "2026-03-01T13:01:00Z", "text": "again"},
        {"kind": "closed", "at": "2026-03-02T00:00:00Z"},
    ]
    answer = await imported(client, record(history=more))
    assert [item["status"] for item in answer["items"]] == ["updated"]
    assert (answer["opened"], answer["resolved"], answer["reopened"]) == (0, 1, 1)
    assert (await published(db))[before:] == [
        "incident.reopened",
        "incident.commented",
        "incident.resolved",
        "incident.closed",
    ]


async def test_the_same_record_twice_in_one_import_is_one_incident(
    client: httpx.AsyncClient, db: Database
) -> None:
    answer = await imported(client, record(history=[]), record())
    assert len({item["incident_id"] for item in answer["items"]}) == 1
    assert [item["status"] for item in answer["items"]] == ["created", "updated"]
    assert (await published(db)).count("incident.opened") == 1


async def test_what_the_incident_no_longer_admits_is_skipped_and_counted(
    client: httpx.AsyncClient,
) -> None:
    history = [
        {"kind": "resolved", "at": "2026-03-01T12:00:00Z"},
        {"kind": "acknowledged", "at": "2026-03-01T12:30:00Z"},
    ]
    answer = await imported(client, record(history=history))
    assert answer["items"][0]["skipped"] == 1


@pytest.mark.parametrize(
    ("broken", "where"),
    [
        ({"title": ""}, "body.incidents.1.title"),
        ({"opened_at": "2031-01-01T00:00:00Z"}, "body.incidents.1.opened_at"),
        ({"history": [{"kind": "resolved", "at": "2026-02-01T00:00:00Z"}]}, "body.incidents.1"),
        ({"history": [{"kind": "severity_changed", "at": OPENED}]}, "body.incidents.1.history.0"),
        ({"history": [{"kind": "vanished", "at": OPENED}]}, "body.incidents.1.history.0.kind"),
    ],
)
async def test_an_invalid_item_is_named_and_nothing_is_written(
    client: httpx.AsyncClient, db: Database, broken: dict[str, Any], where: str
) -> None:
    body = {"incidents": [record(1), record(2, **broken), record(3)]}
    answer = await client.post("/v1/incidents/import", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith(where)
    assert await published(db) == []


async def test_a_service_that_the_catalog_knows_gives_the_product(
    client: httpx.AsyncClient,
) -> None:
    await client.put("/v1/catalog/services/mail", json={"product": "Office", "tier": 2})
    answer = await imported(client, record())
    incident = (await client.get(f"/v1/incidents/{answer['items'][0]['incident_id']}")).json()
    assert (incident["product"], incident["tier"]) == ("Office", 2)
