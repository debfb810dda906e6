"""Lists, search, summary, CSV; and odd input, which is never a fault of ours."""

import csv
import io
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from services.incidents import metrics
from shared.database import Database


async def opened(client: httpx.AsyncClient, title: str, **more: Any) -> str:
    body = {"title": title, "severity": "low", **more}
    answer = await client.post("/v1/incidents", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def found(client: httpx.AsyncClient, **params: Any) -> list[str]:
    answer = await client.get("/v1/incidents", params=params)
    assert answer.status_code == 200, answer.text
    return [item["title"] for item in answer.json()["items"]]


async def test_incidents_are_filtered_and_paged_newest_first(client: httpx.AsyncClient) -> None:
    for day in (1, 2, 3, 4):
        at = f"2026-03-0{day}T00:00:00Z"
        severity = "high" if day % 2 else "low"
        await opened(client, f"i{day}", opened_at=at, severity=severity, service=f"s{day}")
    second = (await client.get("/v1/incidents", params={"service": "s2"})).json()["items"][0]
    await client.post(f"/v1/incidents/{second['id']}/resolve")
    await client.post(f"/v1/incidents/{second['id']}/assign", json={"assignee": "ada"})
    assert await found(client) == ["i4", "i3", "i2", "i1"]
    assert await found(client, state=["resolved", "closed"]) == ["i2"]
    assert await found(client, severity="high") == ["i3", "i1"]
    assert await found(client, assignee="ada", product="unassigned", source="api") == ["i2"]
    window = {"opened_after": "2026-03-02T00:00:00Z", "opened_before": "2026-03-04T00:00:00Z"}
    assert await found(client, **window) == ["i3", "i2"]
    titles: list[str] = []
    cursor = None
    for _ in range(4):
        params = {"limit": 1, "sort": "updated", **({"cursor": cursor} if cursor else {})}
        page = (await client.get("/v1/incidents", params=params)).json()
        titles += [item["title"] for item in page["items"]]
        cursor = page["next"]
    assert sorted(titles) == ["i1", "i2", "i3", "i4"]
    assert cursor is None


async def test_words_are_found_in_title_description_labels_links_and_comments(
    client: httpx.AsyncClient,
) -> None:
    link = {"kind": "problem", "reference": "PRB4711"}
    incident_id = await opened(
        client,
        "Zahlungen schlagen fehl",
        description="Timeouts since the rollout",
        labels={"region": "frankfurt"},
        links=[link],
    )
    await opened(client, "Something else")
    await client.post(f"/v1/incidents/{incident_id}/comments", json={"text": "Rolled back café."})
    for q in ("zahlungen", "TIMEOUTS", "frankfurt", "prb4711", "cafe", "roll", "fehl rollout cafe"):
        assert await found(client, q=q) == ["Zahlungen schlagen fehl"], q
    assert await found(client, q="zahlungen else") == []


@pytest.mark.parametrize(
    "q",
    [
        '"',
        "a OR b",
        "NOT x",
        "a AND",
        "words:x",
        "incident_id : x",
        "x*",
        "NEAR(a b)",
        "a' OR 1=1 --",
    ],
)
async def test_no_query_is_an_operator(client: httpx.AsyncClient, q: str) -> None:
    await opened(client, "nothing of the sort")
    answer = await client.get("/v1/incidents", params={"q": q})
    assert answer.status_code == (422 if q == '"' else 200)
    if answer.status_code == 200:
        assert answer.json()["items"] == []


async def test_the_summary_counts(client: httpx.AsyncClient) -> None:
    first, _ = await opened(client, "a", severity="critical"), await opened(client, "b")
    for verb in ("resolve", "reopen", "resolve", "reopen"):
        assert (await client.post(f"/v1/incidents/{first}/{verb}")).status_code == 200
    signal = {"title": "c", "fingerprint": "f", "starts_at": "2026-03-01T00:00:00Z"}
    await client.post("/v1/signals", json=[signal, signal])
    assert (await client.get("/v1/incidents/summary")).json() == {
        "signals": 1,
        "repeats": 1,
        "incidents": 3,
        "open": 3,
        "opened": 3,
        "resolved": 1,
        "reopened": 1,
        "resolutions": 2,
        "reopenings": 2,
        "silenced": 0,
        "correlated": 0,
        "by_severity": {"critical": 1, "high": 0, "medium": 1, "low": 1},
        "open_by_severity": {"critical": 1, "high": 0, "medium": 1, "low": 1},
    }
    other = (await client.get("/v1/incidents/summary", params={"source": "servicenow"})).json()
    assert (other["incidents"], other["signals"]) == (0, 0)


async def test_gauges_say_what_the_tables_hold(client: httpx.AsyncClient, db: Database) -> None:
    await opened(client, "a", severity="critical")
    async with db.read() as conn:
        await metrics.measure(conn)
    assert REGISTRY.get_sample_value("incidents_open", {"severity": "critical"}) == 1
    assert REGISTRY.get_sample_value("incidents_unassigned") == 1
    assert (REGISTRY.get_sample_value("incidents_opened_total", {"severity": "critical"}) or 0) >= 1


async def test_a_list_is_taken_away_as_csv_and_runs_no_formula(client: httpx.AsyncClient) -> None:
    await opened(client, "=HYPERLINK(1)", opened_at="2026-03-02T00:00:00Z")
    await opened(client, 'quoted, "so"', opened_at="2026-03-01T00:00:00Z")
    first = await client.get("/v1/incidents", params={"limit": 1}, headers={"Accept": "text/csv"})
    cursor = first.headers["X-Next-Cursor"]
    second = await client.get(
        "/v1/incidents", params={"limit": 1, "cursor": cursor, "format": "csv"}
    )
    assert first.headers["content-type"].startswith("text/csv")
    rows = [next(csv.DictReader(io.StringIO(answer.text))) for answer in (first, second)]
    assert [row["title"] for row in rows] == ["'=HYPERLINK(1)", 'quoted, "so"']
    assert "X-Next-Cursor" not in second.headers


ODD: list[tuple[str, str, bytes]] = [
    ("POST", "/v1/incidents", rb'{"title":"a\u0000b","severity":"low"}'),
    ("POST", "/v1/incidents", rb'{"title":"\ud800","severity":"low"}'),
    ("POST", "/v1/incidents", b'{"title":"x","severity":"low","customers_affected":1e400}'),
    (
        "POST",
        "/v1/incidents",
        b'{"title":"x","severity":"low","customers_affected":99999999999999999999}',
    ),
    ("POST", "/v1/incidents", b'{"title":"x","severity":"low","opened_at":"0001-01-01T00:00:00Z"}'),
    ("POST", "/v1/incidents", b'{"title":"x","severity":"low","opened_at":"2026-01-01T00:00:00"}'),
    ("POST", "/v1/incidents", b'{"title":"x","severity":"low","state":"closed"}'),
    ("POST", "/v1/incidents", b'{"title":"  ","severity":"low"}'),
    ("POST", "/v1/incidents", b'{"title":"x","severity":"low","labels":{"":"x"}}'),
    ("POST", "/v1/incidents", rb'{"title":"x","severity":"low","labels":{"\ud800":"\ud800"}}'),
    ("POST", "/v1/incidents", b"[]"),
    ("POST", "/v1/incidents", b"\xff"),
    ("POST", "/v1/incidents/import", b'{"incidents":[]}'),
    ("POST", "/v1/incidents/inc_%00/resolve", b"{}"),
    ("POST", "/v1/incidents/inc_x/impact", b'{"revenue_at_risk":NaN}'),
    ("POST", "/v1/incidents/inc_x/comments", rb'{"text":"\ud800"}'),
    ("POST", "/v1/signals", rb'{"title":"\ud800"}'),
    ("GET", "/v1/incidents?cursor=bm90", b""),
    ("GET", "/v1/incidents?cursor=W3sidCI6IjAwMDEtMDEtMDFUMDA6MDA6MDBaIn0sMV0", b""),
    ("GET", "/v1/incidents?limit=99999999999999999999", b""),
    ("GET", "/v1/incidents?state=ajar", b""),
    ("GET", "/v1/incidents?opened_after=yesterday", b""),
    ("GET", "/v1/incidents?q=%00", b""),
    ("GET", "/v1/incidents/%00", b""),
    ("GET", "/v1/incidents/inc_x/timeline?cursor=WzFlOTk5XQ", b""),
    ("GET", "/v1/signals?status=%00", b""),
]


@pytest.mark.parametrize(("method", "path", "body"), ODD)
async def test_odd_input_is_answered_as_the_callers_fault(
    client: httpx.AsyncClient, method: str, path: str, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await client.request(method, path, content=body, headers=headers)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["detail"]


@pytest.mark.parametrize("name", ["service", "product", "assignee", "source", "q"])
async def test_no_filter_is_ever_a_fault(client: httpx.AsyncClient, name: str) -> None:
    for value in ("\x00", "\ud800", "a" * 200, "é\u202e", "%", "'"):
        quoted = "".join(f"%{byte:02x}" for byte in value.encode("utf-8", "surrogatepass"))
        answer = await client.get(f"/v1/incidents?{name}={quoted}")
        assert answer.status_code < 500, (value, answer.text)
