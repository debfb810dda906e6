"""Replays a file through the API, and says what the API then has: nothing is counted on this side."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from rich.progress import Progress

from services.replay.batches import Batch, batches_of
from services.replay.cells import Cells, Remarks
from services.replay.incidents import ReplayedIncident, incidents_of, known_by
from services.replay.mapping import ColumnMapping
from services.replay.resume import Bookmark, identity
from services.replay.sending import PATIENCE_SECONDS, NotTaken, Sender, sentence_of
from services.replay.settle import settle, top_candidates
from services.replay.source import Unreadable, digest_of, lines_of
from shared.clock import SKEW, utc_now

TOP = 5


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is shown of a candidate."""

    id: str
    title: str
    score: float


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What the API has of this source after the replay, read back from it; and what the run took.

    `opened`, `resolved` and `reopened` count incidents to which that happened at least once;
    `resolutions` and `reopenings` count how often it happened.
    """

    incidents: int
    opened: int
    resolved: int
    reopened: int
    resolutions: int
    reopenings: int
    requests: int
    rows: int
    rows_passed_over: int
    sent_seconds: float
    seconds: float
    settled: bool
    top_candidates: Sequence[Candidate]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file, understood."""

    replay: str
    source: str
    incidents: Sequence[ReplayedIncident]
    remarks: Remarks


def load(path: Path, mapping: ColumnMapping, until: datetime | None, url: str) -> Loaded:
    """Read the file, up to a moment or all of it. Raises Unreadable, also when nothing is left."""
    now = utc_now()
    cells = Cells(mapping, now)
    incidents = known_by(incidents_of(lines_of(path, mapping), cells), until or now + SKEW)
    if not incidents:
        why = next(cells.remarks.sentences(), "none in the time that was asked for")
        raise Unreadable(f"{path} holds no incident: {why}")
    replay = identity(digest_of(path), mapping, f"{url} {until}")
    return Loaded(replay, mapping.source, incidents, cells.remarks)


async def replay(
    client: httpx.AsyncClient,
    path: Path,
    mapping: ColumnMapping,
    *,
    state: Path | None,
    progress: Progress,
    wait_seconds: float,
    until: datetime | None = None,
    patience: float = PATIENCE_SECONDS,
) -> ReplayResult:
    """Bring the incidents of `path` in. Safe to repeat, and to go on with after an interruption.

    `state` is where the progress is noted, None: nowhere. Waits up to `wait_seconds` for the
    candidates, 0: not at all. `until`: only what had happened by then. Raises Unreadable,
    UnusableMapping or NotTaken.
    """
    started = time.perf_counter()
    reading = progress.add_task("reading", total=None)
    loaded = load(path, mapping, until, str(client.base_url))
    count = len(loaded.incidents)
    progress.update(reading, total=count, completed=count)
    for remark in loaded.remarks.sentences():
        progress.console.print(f"note: {remark}", markup=False, highlight=False)

    sender = Sender(client, patience)
    await send(sender, loaded, state, progress)
    counts = await counts_of(client, loaded.source)
    sent = time.perf_counter() - started

    settling = progress.add_task("settling", total=None, visible=wait_seconds > 0)

    def waiting(events: int) -> None:
        progress.update(settling, description=f"settling, {events} events on their way")

    settled = wait_seconds > 0 and await settle(client, wait_seconds, waiting)
    top = await top_candidates(client, TOP) if wait_seconds > 0 else []
    progress.update(settling, description="settling", total=1, completed=1)
    return ReplayResult(
        **counts,
        requests=sender.requests,
        rows=loaded.remarks.rows,
        rows_passed_over=loaded.remarks.passed_over,
        sent_seconds=round(sent, 2),
        seconds=round(time.perf_counter() - started, 2),
        settled=settled,
        top_candidates=[Candidate(c["id"], c["title"], c["score"]) for c in top],
    )


async def send(sender: Sender, loaded: Loaded, state: Path | None, progress: Progress) -> None:
    """Send what an earlier run of the same replay did not bring in."""
    batches = list(batches_of(loaded.incidents))
    bookmark = Bookmark(state, loaded.replay)
    there = (await counts_of(sender.client, loaded.source))["incidents"]
    begun = bookmark.found()
    if there < sum(batch.opens for batch in batches[:begun]):
        begun = 0  # the earlier run filled another data folder
    bookmark.begin(begun)
    sending = progress.add_task("sending", total=len(batches), completed=begun)

    def taken(batch: Batch) -> None:
        bookmark.acknowledged(batch.number)
        progress.advance(sending)

    await sender.send(batches[begun:], taken)
    bookmark.done()


COUNTS = ("incidents", "opened", "resolved", "reopened", "resolutions", "reopenings")


async def counts_of(client: httpx.AsyncClient, source: str) -> dict[str, Any]:
    """What the API has of this source. Raises NotTaken with its own sentence when it won't say."""
    answer = await client.get("/v1/incidents/summary", params={"source": source})
    if not answer.is_success:
        raise NotTaken(f"Groundswell doesn't say what it has: {sentence_of(answer)}")
    summary = answer.json()
    return {name: summary[name] for name in COUNTS}
