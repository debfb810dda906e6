"""`groundswell demo`: a webshop's recorded alerts, from the first signal to the verdict on a fix.

Everything runs in this process, and everything is done over its own HTTP API, with keys, as anybody
else would do it. A run that was killed is gone on with by the next one.
"""

import asyncio
from datetime import timedelta

from services.demo import steps
from services.demo.api import Api, Json, Unexpected, api
from services.demo.progress import Progress, begun, noted
from services.demo.sender import NotTaken, send
from services.demo.stream import Record, load
from services.demo.telling import Teller, weeks_of
from services.gateway.access.first_start import ADMIN_KEY_FILE
from services.quiet import StillBusy, until_quiet
from services.standalone import Running, running, told_to_stop, until_told
from shared.clock import utc_now
from shared.settings import Settings

SHOWN = 5


async def run_demo(settings: Settings, *, once: bool, as_json: bool) -> int:
    """Tell the story; returns the exit status: 0 when every station was reached.

    Unless `once`, what was started stays up until SIGTERM or Ctrl-C.
    """
    told = told_to_stop()
    teller = Teller(as_json=as_json)
    async with running(settings) as groundswell:
        story = asyncio.create_task(_story(settings, groundswell, teller, once=once))
        stop = asyncio.create_task(told.wait())
        await asyncio.wait({story, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not story.done():
            story.cancel()
            await asyncio.gather(story, return_exceptions=True)
            return 1
        status = story.result()
        if status == 0 and not once:
            await until_told(told, groundswell)
    return status


async def _story(settings: Settings, groundswell: Running, teller: Teller, *, once: bool) -> int:
    key_file = settings.data / ADMIN_KEY_FILE
    if groundswell.admin_key is None:
        teller.complain(f"{key_file} is gone; set GROUNDSWELL_DATA to another folder.")
        return 1
    try:
        async with api(groundswell.url, groundswell.admin_key) as asking:
            result = await tell(settings, groundswell.url, asking, teller)
    except (Unexpected, StillBusy, NotTaken) as failed:
        teller.complain(str(failed))
        return 1
    if not once:
        teller.addresses(groundswell.url, str(key_file), result["traced_incident"])
    if missing := not_reached(result):
        teller.complain(f"Not reached: {'; '.join(missing)}.")
    if once or teller.as_json:
        teller.last_line(result)
    return 1 if missing else 0


async def tell(settings: Settings, url: str, asking: Api, teller: Teller) -> Json:
    """The story, station by station; returns what was reached, read back from the API."""
    stream = load()
    progress = begun(settings.data, utc_now(), stream.lasts)
    fix = stream.header.fixes[0]
    fixed_at = progress.anchor + timedelta(minutes=fix.at_minutes)
    teller.chapter(f"A webshop's alerts: {weeks_of(progress.anchor, stream.header.weeks)}")
    teller.say(f"Data folder {settings.data.absolute()}, API at {url}.")
    key = await steps.sender_key(asking)
    teller.say(
        "Made an API key with the scope `ingest` only: it can send signals, and read nothing."
    )
    await steps.register(asking, stream.header.services)
    teller.say(f"Registered {len(stream.header.services)} services; one more will send, unknown.")

    before = [record for record in stream.records if record.at_minutes < fix.at_minutes]
    await _send(url, key, before, progress, asking, teller, "Sending weeks 1–8")
    progress = await _choose(settings, progress, asking, teller)
    assert progress.candidate_id is not None
    item = await steps.accept(asking, progress.candidate_id, fixed_at)
    item = await steps.deliver(asking, item, fixed_at)
    teller.delivered(item)
    await until_quiet(asking.http)

    after = stream.records[len(before) :]
    await _send(url, key, after, progress, asking, teller, "Sending weeks 9–12")
    outcome = await steps.outcome_of(asking, item["id"])
    await until_quiet(asking.http)
    teller.outcome(outcome)
    incident_id = await steps.incident_of(asking, progress.candidate_id)
    teller.road(await asking.get(f"/v1/trace/{incident_id}"), incident_id)
    return await result_of(asking, progress.candidate_id, outcome, incident_id)


async def _send(
    url: str,
    key: str,
    records: list[Record],
    progress: Progress,
    asking: Api,
    teller: Teller,
    what: str,
) -> None:
    with teller.sending(what, len(records)) as sent:
        accepted = await send(url, key, records, progress.anchor, sent)
    await until_quiet(asking.http)
    teller.say(f"{what}: {accepted} alerts in {len(records)} webhooks, accepted and processed.")


async def _choose(settings: Settings, progress: Progress, asking: Api, teller: Teller) -> Progress:
    """Note which candidate the story follows, before anything is decided about it."""
    if progress.candidate_id is None:
        top = await steps.top_candidate(asking)
        progress = noted(settings.data, Progress(progress.anchor, top["id"]))
    chosen = await asking.get(f"/v1/candidates/{progress.candidate_id}")
    others = (await asking.get("/v1/candidates", limit=SHOWN))["items"]
    rows = [chosen, *(one for one in others if one["id"] != chosen["id"])]
    teller.candidates(rows[:SHOWN], chosen)
    return progress


async def result_of(asking: Api, candidate_id: str, outcome: Json, incident_id: str) -> Json:
    """The demo's last line: counts, the candidate and the verdict, as the API has them now."""
    counts = await asking.get("/v1/summary")
    candidate = await asking.get(f"/v1/candidates/{candidate_id}")
    item = await asking.get(f"/v1/items/{candidate['item_id']}")
    first = candidate["decisions"][0]
    said = ("id", "verdict", "final", "text", "numbers", "as_of", "watch_until")
    return {
        **{
            name: counts[name] for name in ("signals", "incidents", "themes", "candidates", "items")
        },
        "top_candidate": {
            "id": candidate_id,
            "title": candidate["title"],
            "score": candidate["score"],
            "state": candidate["state"],
            "raised_by": first["actor"] if first["kind"] == "raised" else None,
            "reasons": [reason["text"] for reason in candidate["reasons"]],
        },
        "item": {
            "id": item["id"],
            "state": item["state"],
            "delivered_at": item["delivered_at"],
        },
        "outcome": {name: outcome[name] for name in said},
        "traced_incident": incident_id,
    }


def not_reached(result: Json) -> list[str]:
    """The stations that the story should have reached and has not, in words."""
    candidate = result["top_candidate"]
    reached = {
        "the signals are counted": result["signals"],
        "a candidate was raised by the system": str(candidate["raised_by"]).startswith("service:"),
        "the candidate has reasons": candidate["reasons"],
        "the candidate was accepted": candidate["state"] == "accepted",
        "the item was delivered": result["item"]["delivered_at"],
        "the outcome has a verdict": result["outcome"]["verdict"],
    }
    return [station for station, holds in reached.items() if not holds]
