"""One change of one candidate, in the caller's transaction: decide, evolve, save, log, publish.

People's decisions (`commands`), themes' events (`consumers`) and timers all come through here.
"""

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.candidates import store
from services.roadmap.candidates.domain import (
    Candidate,
    Command,
    Facts,
    RaiseCandidate,
    RescoreCandidate,
    decide,
    evolve,
    facts_of,
    is_news,
)
from services.roadmap.candidates.standing import Standing, rescored
from services.roadmap.candidates.store import Entry, Stored
from services.roadmap.scores import store as policies
from services.roadmap.scores.change import explain_change
from services.roadmap.scores.evidence import block_of, score_of
from services.roadmap.scores.policy import ScorePolicy
from services.roadmap.themes.store import Theme
from shared.context import Context
from shared.contracts.feedback import ReasonData
from shared.contracts.roadmap import CandidateEvent
from shared.ids import new_id
from shared.outbox import publish


@dataclass(frozen=True, slots=True)
class Told:
    """What the event of a score says beside it: why the score is so, and which place it takes."""

    cause: str
    rank: int | None


async def apply(
    conn: AsyncConnection,
    stored: Stored | None,
    command: Command,
    standing: Standing,
    ctx: Context,
    *,
    told: Told | None = None,
    policy: ScorePolicy | None = None,
) -> Candidate:
    """Do one command and publish its events under the candidate's own story.

    `standing` is what the candidate stands on afterwards; `told` goes to the history of scores.
    """
    before = stored[0] if stored else None
    events = decide(before, command)
    candidate = before
    for event in events:
        candidate = evolve(candidate, event)
    assert candidate is not None
    policy = policy or await policies.current(conn)
    was = before.version if before else None
    block = block_of(standing.scored, policy)
    await store.save(conn, candidate, standing, block, was=was)
    if events:
        await tell(conn, [(event, candidate.version, standing, told) for event in events], ctx)
    return candidate


Change = tuple[CandidateEvent, int, Standing, Told | None]


async def tell(conn: AsyncConnection, changes: Sequence[Change], ctx: Context) -> None:
    """Log and publish events, each with the version it made."""
    await tell_stories(conn, [(change, ctx) for change in changes])


async def tell_stories(conn: AsyncConnection, changes: Sequence[tuple[Change, Context]]) -> None:
    """The same, of events that have not happened in one story."""
    entries: list[tuple[Entry, Standing]] = []
    for (event, version, standing, told), ctx in changes:
        cause, rank = (told.cause, told.rank) if told else (None, None)
        entry = Entry(event, version, ctx.actor, ctx.now, cause, rank)
        entries.append((entry, standing))
    await store.write_down(conn, entries)
    await publish(
        conn,
        [
            ctx.about(standing.correlation_id).event(
                event, subject=event.candidate_id, version=version, at=event.at
            )
            for (event, version, standing, _), ctx in changes
        ],
    )


@dataclass(frozen=True, slots=True)
class Rise:
    """A theme, or a person, asks for a decision. `previous_id` and `why` where it returns."""

    theme_id: str | None
    title: str
    product: str
    service: str
    at: datetime
    reasons: tuple[ReasonData, ...]
    theme: Theme | None = None
    """What is known of the theme: its evidence is scored, or none at all."""
    previous_id: str | None = None
    why: str = ""


async def raise_candidate(conn: AsyncConnection, rise: Rise, ctx: Context) -> Candidate:
    """A new candidate, scored and ranked. The caller has seen that the theme has none waiting."""
    policy = await policies.current(conn)
    candidate_id = new_id("cnd")
    standing = _founded(rise, policy, ctx)
    scored = standing.scored
    rank = await store.rank_of(conn, block_of(scored, policy), scored.value, candidate_id)
    command = _asked(rise, candidate_id, scored.value)
    told = _raised(rise, standing, rank)
    return await apply(conn, None, command, standing, ctx, told=told, policy=policy)


async def raise_candidates(conn: AsyncConnection, rises: Sequence[tuple[Rise, Context]]) -> None:
    """The same for many, in their order: each ranks among those before it as if it came alone."""
    policy = await policies.current(conn)
    places = await store.places(conn)
    new: list[tuple[Candidate, Standing, int]] = []
    changes: list[tuple[Change, Context]] = []
    for rise, ctx in rises:
        candidate_id = new_id("cnd")
        standing = _founded(rise, policy, ctx)
        block = block_of(standing.scored, policy)
        place = (block, standing.scored.value, candidate_id)
        rank = 1 + len(places) - bisect_right(places, place)
        insort(places, place)
        (event,) = decide(None, _asked(rise, candidate_id, standing.scored.value))
        candidate = evolve(None, event)
        new.append((candidate, standing, block))
        told = _raised(rise, standing, rank)
        changes.append(((event, candidate.version, standing, told), ctx))
    await store.add(conn, new)
    await tell_stories(conn, changes)


def _founded(rise: Rise, policy: ScorePolicy, ctx: Context) -> Standing:
    """What the new candidate stands on."""
    evidence = rise.theme.evidence if rise.theme else None
    return Standing(
        service=rise.service,
        reasons=rise.reasons,
        evidence=evidence,
        correlation_id=ctx.correlation_id,
        scored=score_of(evidence, policy, at=rise.at),
        quiet_since=rise.theme.quiet_since if rise.theme else None,
    )


def _asked(rise: Rise, candidate_id: str, score: float) -> RaiseCandidate:
    return RaiseCandidate(
        candidate_id=candidate_id,
        theme_id=rise.theme_id,
        title=rise.title,
        product=rise.product,
        at=rise.at,
        score=score,
        reasons=rise.reasons,
        previous_id=rise.previous_id,
        why=rise.why,
    )


def _raised(rise: Rise, standing: Standing, rank: int) -> Told:
    return Told(f"{rise.why or 'Raised'}. {standing.scored.text}", rank)


async def rescore(
    conn: AsyncConnection,
    stored: Stored,
    standing: Standing,
    at: datetime,
    ctx: Context,
    *,
    because: str = "",
    always: bool = False,
    theme_id: str | None = None,
    facts: Facts | None = None,
) -> Candidate:
    """Score what the candidate stands on now; tell it when it is news, or `always`.

    What is no news is kept without a word. `theme_id` moves the candidate to another theme, `facts`
    correct what it says of its own. Raises what a decided candidate refuses.
    """
    candidate, before = stored
    policy = await policies.current(conn)
    after = rescored(standing, policy, at)
    rank_was = rank_now = await _rank(conn, candidate, before, policy)
    if _weight(after, policy) != _weight(before, policy):
        rank_now = await _rank(conn, candidate, after, policy)
    comparable = (before.scored.method, before.scored.unit) == (
        after.scored.method,
        after.scored.unit,
    )
    news = is_news(candidate.score, after.scored.value, rank_was, rank_now) or not comparable
    corrected = facts is not None and facts != facts_of(candidate)
    if not (news or corrected or always):
        block = block_of(after.scored, policy)
        await store.save(conn, candidate, after, block, was=candidate.version)
        return candidate
    cause = because_of(because, before, after, rank_was, rank_now)
    command = RescoreCandidate(at, after.scored.value, cause, theme_id, facts)
    told = Told(cause, rank_now)
    return await apply(conn, stored, command, after, ctx, told=told, policy=policy)


def because_of(
    because: str,
    before: Standing,
    after: Standing,
    rank_was: int | None,
    rank_now: int | None,
) -> str:
    """The cause of a new score in words: what happened, which parts moved, and what of the rank."""
    parts = [f"{because}."] if because else []
    parts.append(explain_change(before.scored, after.scored))
    if rank_was is not None and rank_now is not None and rank_was != rank_now:
        parts.append(f"Rank {rank_was} became {rank_now}.")
    return " ".join(parts)


async def _rank(
    conn: AsyncConnection, candidate: Candidate, standing: Standing, policy: ScorePolicy
) -> int | None:
    if candidate.state != "open":
        return None
    return await store.rank_of(conn, *_weight(standing, policy), candidate.candidate_id)


def _weight(standing: Standing, policy: ScorePolicy) -> tuple[int, float]:
    """What its place among the others follows from."""
    return block_of(standing.scored, policy), standing.scored.value
