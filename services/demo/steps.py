"""The demo's steps, each through the API, and each safe to take again after a crash.

Event times are those of the recording: what is decided "in week eight" is dated there.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from services.demo.api import Api, Json, Unexpected
from services.demo.stream import StreamService
from shared.clock import rfc3339

SENDER = "demo sender"
EXPECTED_REDUCTION = 0.5
RELEASE = "payments 2026.3"

SETTLED_SECONDS = 6.0
"""Longer than the pause between two looks of the service that assesses outcomes."""
OUTCOME_SECONDS = 60.0
POLL_SECONDS = 0.5


async def sender_key(api: Api) -> str:
    """A key that may send signals and nothing else. Those of earlier runs are revoked."""
    for key in (await api.get("/v1/keys", limit=200))["items"]:
        if key["name"] == SENDER and key["revoked_at"] is None:
            await api.post(f"/v1/keys/{key['id']}/revoke")
    made = await api.post("/v1/keys", {"name": SENDER, "scopes": ["ingest"]})
    return made["key"]


async def register(api: Api, services: Sequence[StreamService]) -> None:
    """Enter the webshop's services into the catalog; the one it doesn't list stays unknown."""
    for service in services:
        entry = {
            "product": service.product,
            "owner": service.owner,
            "tier": service.tier,
            "dependencies": service.dependencies,
        }
        await api.put(f"/v1/catalog/services/{service.name}", entry)


async def top_candidate(api: Api) -> Json:
    """The open candidate with the highest score. Raises Unexpected when none has been raised."""
    found = (await api.get("/v1/candidates", limit=1))["items"]
    if not found:
        raise Unexpected("No candidate was raised from eight weeks of alerts.")
    return found[0]


async def accept(api: Api, candidate_id: str, at: datetime) -> Json:
    """Accept the candidate into a new item, as of `at`, unless that is done; returns the item."""
    candidate = await api.get(f"/v1/candidates/{candidate_id}")
    if candidate["item_id"] is None:
        body = {"horizon": "now", "quarter": quarter_of(at), "at": rfc3339(at)}
        candidate = await api.post(f"/v1/candidates/{candidate_id}/accept", body)
    return await api.get(f"/v1/items/{candidate['item_id']}")


async def deliver(api: Api, item: Json, at: datetime) -> Json:
    """Commit to the item with a success criterion, start it, ship it; goes on from where it is."""
    moment = rfc3339(at)
    steps = (
        ("planned", "commit", {"expected_reduction": EXPECTED_REDUCTION, "at": moment}),
        ("committed", "start", {"at": moment}),
        ("started", "deliver", {"at": moment, "release": RELEASE}),
    )
    for state, verb, body in steps:
        if item["state"] == state:
            item = await api.post(f"/v1/items/{item['id']}/{verb}", body)
    return item


async def outcome_of(api: Api, item_id: str) -> Json:
    """The outcome of a delivered item, once nothing more is said of it.

    Raises Unexpected when there is none in time.
    """
    outcome: Json = None
    since = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(OUTCOME_SECONDS):
            while True:
                found = (await api.get("/v1/outcomes", item_id=item_id))["items"]
                now = asyncio.get_running_loop().time()
                if not found or outcome is None or found[0]["version"] != outcome["version"]:
                    outcome, since = (found[0] if found else None), now
                elif now - since >= SETTLED_SECONDS:
                    return outcome
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as late:
        raise Unexpected(
            f"The item {item_id} has no settled outcome after {OUTCOME_SECONDS:.0f} s."
        ) from late


async def incident_of(api: Api, candidate_id: str) -> str:
    """The incident with which the candidate rose: the newest of its theme at that moment."""
    candidate = await api.get(f"/v1/candidates/{candidate_id}")
    path = f"/v1/themes/{candidate['theme_id']}/evidence"
    rows = (await api.get(path, kind="incident", limit=200))["items"]
    rose_at = datetime.fromisoformat(candidate["raised_at"])
    led = [row["source_id"] for row in rows if datetime.fromisoformat(row["at"]) <= rose_at]
    if not led:
        raise Unexpected(f"The candidate {candidate_id} rose before its theme had an incident.")
    return led[0]


def quarter_of(moment: datetime) -> str:
    return f"{moment.year}Q{(moment.month + 2) // 3}"
