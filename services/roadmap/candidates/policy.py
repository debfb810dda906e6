"""A new score policy, and with it a new score for every candidate that waits and every item at work."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.roadmap.candidates import store
from services.roadmap.candidates.changes import Told, because_of, tell
from services.roadmap.candidates.domain import Candidate, RescoreCandidate, decide, evolve
from services.roadmap.candidates.standing import Standing, rescored
from services.roadmap.items import ranking as item_ranking
from services.roadmap.items import store as items
from services.roadmap.scores import store as policies
from services.roadmap.scores.evidence import block_of
from services.roadmap.scores.policy import ScorePolicy
from shared.context import Context
from shared.contracts.roadmap import CandidateEvent
from shared.refusals import Refusal, VersionMismatch

MOST_AT_ONCE = 20_000
"""Waiting candidates that one transaction scores again."""


class TooManyToRescore(Refusal):
    """More candidates wait than one transaction may score again."""


@dataclass(frozen=True, slots=True)
class _Move:
    was: Candidate
    before: Standing
    after: Standing
    block: int
    rank_was: int | None
    rank_now: int | None


async def replace_policy(
    conn: AsyncConnection, wanted: ScorePolicy, ctx: Context, *, expected: int | None = None
) -> ScorePolicy:
    """Make `wanted` the policy, as the next version, and score everything by it in this transaction.

    Idempotent: an equal policy changes nothing. Raises VersionMismatch or TooManyToRescore.
    """
    current = await policies.current(conn)
    if expected is not None and expected != current.version:
        raise VersionMismatch(
            f"The score policy is at version {current.version}, not {expected}; read it again."
        )
    policy = wanted.model_copy(update={"version": current.version + 1})
    if wanted.model_copy(update={"version": current.version}) == current:
        return current
    await policies.save(conn, policy, actor=ctx.actor, recorded_at=ctx.now)
    await _rescore_all(conn, current, policy, ctx)
    for item_id in await items.all_in_work(conn):
        await item_ranking.weigh(conn, item_id)
    return policy


async def _rescore_all(
    conn: AsyncConnection, old: ScorePolicy, new: ScorePolicy, ctx: Context
) -> None:
    waiting = await store.all_waiting(conn, MOST_AT_ONCE + 1)
    if len(waiting) > MOST_AT_ONCE:
        raise TooManyToRescore(
            f"More than {MOST_AT_ONCE} candidates wait; decline or merge some, then change the policy."
        )
    scored = [(stored, rescored(stored[1], new, ctx.now)) for stored in waiting]
    ranks_were = _ranks([(c, s, old) for c, s in waiting])
    ranks_are = _ranks([(c, after, new) for (c, _), after in scored])
    moves = [
        _Move(
            was=candidate,
            before=before,
            after=after,
            block=block_of(after.scored, new),
            rank_was=ranks_were.get(candidate.candidate_id),
            rank_now=ranks_are.get(candidate.candidate_id),
        )
        for (candidate, before), after in scored
    ]
    await _write(conn, moves, f"{ctx.actor} changed the score policy", ctx)


def _ranks(entries: list[tuple[Candidate, Standing, ScorePolicy]]) -> dict[str, int]:
    """The places of the open ones, as `store.rank_of` would give them one by one."""
    keys = [
        (block_of(standing.scored, policy), standing.scored.value, candidate.candidate_id)
        for candidate, standing, policy in entries
        if candidate.state == "open"
    ]
    return {key[2]: place for place, key in enumerate(sorted(keys, reverse=True), start=1)}


async def _write(conn: AsyncConnection, moves: list[_Move], because: str, ctx: Context) -> None:
    rows: list[dict[str, Any]] = []
    changes: list[tuple[CandidateEvent, int, Standing, Told | None]] = []
    for move in moves:
        candidate, after = move.was, move.after
        cause = because_of(because, move.before, after, move.rank_was, move.rank_now)
        (event,) = decide(candidate, RescoreCandidate(ctx.now, after.scored.value, cause))
        candidate = evolve(candidate, event)
        changes.append((event, candidate.version, after, Told(cause, move.rank_now)))
        rows.append(store.score_values(candidate, after, move.block))
    if changes:
        await store.save_scores(conn, rows)
        await tell(conn, changes, ctx)
